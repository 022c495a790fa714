"""What a runtime model is: one bin in, one output out, and the same kernel over a whole session.

Whatever a champion can name obeys this protocol, so everything that can be swept can be served.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from numpy.typing import NDArray
from pydantic import BaseModel

from engine.schema import MboRecords

Columns = Mapping[str, NDArray[Any]]


class ModelContext(NamedTuple):
    """The grid a model reads: bin width in milliseconds, ticks each side of spot."""

    cell_width_ms: int
    radius: int


class RuntimeModel(Protocol):
    """An incremental scorer of bins with bounded state."""

    name: ClassVar[str]
    required_columns: ClassVar[tuple[str, ...]]  # of engine.schema.GRID_COLUMNS
    default_thresholds: ClassVar[tuple[float, ...]]
    Params: ClassVar[type[BaseModel]]  # frozen, unknown keys forbidden

    params: Any

    def __init__(self, params: Any, context: ModelContext) -> None: ...

    @property
    def memory_bins(self) -> int:
        """After this many bins the output no longer depends on where the model began."""
        ...

    def update(self, rows: Columns) -> MboRecords:
        """One bin: columns of shape (2 * radius + 1,) in, a MODEL_DTYPE array of shape () out."""
        ...

    def run(self, columns: Columns) -> MboRecords:
        """Many bins, shape (n, 2 * radius + 1); continues the state, bit-equal to `update` one by one."""
        ...

    def snapshot(self) -> bytes:
        """The whole state, with a format version and the parameters it belongs to."""
        ...

    def restore(self, data: bytes) -> None:
        """Take a `snapshot` of the same parameters back; raises ConfigError for a foreign or damaged one."""
        ...

    def warmup(self) -> None:
        """Compile what `run` and `update` need, leaving the state untouched."""
        ...
