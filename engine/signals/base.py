"""What a signal is: one bin in, one output out, and the same kernel over a whole session.

Whatever a champion can name obeys this protocol, so everything that can be swept can be served.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from engine.errors import ConfigError
from engine.schema import BIN_DTYPE, MODEL_PREFIX, BinRows, Floats, Outputs

Columns = Mapping[str, NDArray[Any]]

# What every signal says about a bin; what else it has to say stands in further fields of its own ``output_dtype``.
COMMON_FIELDS: list[tuple[str, str]] = [
    ("score", "f8"),  # positive is up
    ("ready", "?"),
    ("sample_count", "i8"),  # bins seen
]
SCORE_DTYPE = np.dtype(COMMON_FIELDS)

LatePolicy = Literal["wait", "hold"]


class SignalContext(NamedTuple):
    """What a signal must know of the instrument: bin width in milliseconds, ticks each side of spot, the tick in 1e-9 dollars.

    The tick stands with the instrument and nowhere else. A signal that reads no prices does without it; one that does says so
    with `require_tick`.

    Examples
    --------
    >>> import engine
    >>> engine.SignalContext(cell_width_ms=100, radius=50, tick_int=250_000_000)
    SignalContext(cell_width_ms=100, radius=50, tick_int=250000000)
    """

    cell_width_ms: int
    radius: int
    tick_int: int | None = None


class SignalLike(Protocol):
    """An incremental scorer of bins with bounded state."""

    name: ClassVar[str]
    required_columns: ClassVar[tuple[str, ...]]  # of engine.schema.GRID_COLUMNS
    required_fields: ClassVar[tuple[str, ...]]  # of engine.schema.BIN_DTYPE: one number a bin
    default_thresholds: ClassVar[tuple[float, ...]]
    trigger: ClassVar[Literal["edge", "level"]]  # how the reference evaluates it: signals.md 6.1 or 6.4
    prediction_mode: ClassVar[Literal["score", "confidence", "probability"]]  # what the reference's series means
    is_odd: ClassVar[bool]  # a mirrored market negates the score, to rounding
    output_dtype: ClassVar[np.dtype[np.void]]  # COMMON_FIELDS, then the signal's own
    Params: ClassVar[type[BaseModel]]  # frozen, unknown keys forbidden

    params: Any
    late_policy: LatePolicy  # what happens at a bin whose fit is not done: "wait" for it, or "hold" the old one and count

    def __init__(self, params: Any, context: SignalContext) -> None: ...

    @property
    def memory_bins(self) -> int:
        """After this many bins the output no longer depends on where the signal began."""
        ...

    @property
    def lookahead(self) -> tuple[str, ...]:
        """Parameters set to a reference form that reads later bins; such a signal scores whole sessions only."""
        ...

    @property
    def scored_from(self) -> int:
        """First bin that has no part in `thresholds`."""
        ...

    def update(self, rows: Columns) -> Outputs:
        """One bin: columns of shape (2 * radius + 1,), fields of shape (), to an ``output_dtype`` array of shape ()."""
        ...

    def run(self, columns: Columns) -> Outputs:
        """Many bins, shapes (n, 2 * radius + 1) and (n,); continues the state, bit-equal to `update` one by one."""
        ...

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """Levels to trade a whole session at, ascending: of ``prediction`` where the outputs have it, else of ``score``."""
        ...

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Figures over a whole session's outputs, ready for JSON: signals.md section 3 and 5, "Metadata"."""
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


def signal_inputs(signal: SignalLike | type[SignalLike], grid: Columns, fields: Any) -> dict[str, NDArray[Any]]:
    """What a signal reads of a block of bins.

    Parameters
    ----------
    grid
        Columns of shape (n, 2 * radius + 1).
    fields
        Bin fields of shape (n,) by name: a structured array or a mapping.
    """
    return {name: grid[name] for name in signal.required_columns} | {name: fields[name] for name in signal.required_fields}


def write_outputs(outputs: Outputs, bins: BinRows) -> None:
    """Leave what the bins have room for of a signal's outputs in their ``runtime_model_*`` fields."""
    for name in outputs.dtype.names or ():
        if MODEL_PREFIX + name in BIN_DTYPE.fields:  # type: ignore[operator]
            bins[MODEL_PREFIX + name] = outputs[name]


def require_tick(context: SignalContext, what: str) -> int:
    """The instrument's tick, 1e-9 dollars.

    Raises
    ------
    ConfigError
        When the context does not say it.
    """
    if context.tick_int is None or context.tick_int < 1:
        raise ConfigError(
            f"{what} counts prices in ticks and was given tick_int {context.tick_int}; it must be the instrument's tick in 1e-9 "
            "dollars. Make it with SignalContext(cell_width_ms, radius, tick_int)"
        )
    return context.tick_int


def require_rows(context: SignalContext, reach: int, what: str) -> None:
    """Refuse a grid too narrow for a signal.

    Raises
    ------
    ConfigError
        When ``reach`` ticks from spot are not on the grid.
    """
    if reach > context.radius:
        raise ConfigError(
            f"{what} reaches {reach} ticks from spot; the grid has {context.radius} each side. "
            "Choose nearer rows, or a dataset with a larger grid_radius_ticks"
        )
