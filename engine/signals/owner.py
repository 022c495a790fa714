"""The owner that all signals share: it allocates, validates once and calls the signal's kernel. No arithmetic."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from engine.errors import ConfigError
from engine.schema import BIN_DTYPE, GRID_COLUMNS, Floats, Outputs, pack, unpack
from engine.signals.base import SCORE_DTYPE, Columns, LatePolicy, SignalContext


class SignalParams(BaseModel):
    """Parameters of a signal: frozen, and nothing beside them is taken.

    Examples
    --------
    >>> import engine
    >>> class Window(engine.SignalParams):
    ...     window_bins: int = 20
    >>> Window(window_bins=5)
    Window(window_bins=5)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Signal(ABC):
    """A signal over its kernel and its state, a NamedTuple of arrays.

    A class of one's own gives ``name``, ``required_columns``, ``default_thresholds``, ``Params``, `_fresh_state`, `_advance` and
    `memory_bins`; the rest has the values below. `engine.signals.check.check_signal` says what is wrong with it.

    Raises
    ------
    ConfigError
        Where the parameters do not fit the grid.

    Examples
    --------
    What rests just below spot less what rests just above it. A signal that does more than a line of numpy calls a `kernel`.

    >>> from typing import Any, NamedTuple
    >>> import numpy as np, engine
    >>> class Seen(NamedTuple):
    ...     bins: Any
    >>> class Nearest(engine.Signal):
    ...     name = "nearest"
    ...     required_columns = ("bid_depth", "ask_depth")
    ...     default_thresholds = (5.0, 10.0)
    ...     Params = engine.SignalParams
    ...     memory_bins = 1
    ...
    ...     def _fresh_state(self):
    ...         return Seen(np.zeros(1, np.int64))
    ...
    ...     def _advance(self, x, out):
    ...         spot = self.context.radius
    ...         score = x["bid_depth"][:, spot - 1] - x["ask_depth"][:, spot + 1]
    ...         out["ready"] = np.isfinite(score)
    ...         out["score"] = np.where(out["ready"], score, 0.0)
    ...         out["sample_count"] = self._state.bins[0] + 1 + np.arange(len(out))
    ...         self._state.bins[0] += len(out)
    >>> engine.run_signal(Nearest, "morning").columns
    ['bin_seq', 'score', 'ready', 'sample_count']
    """

    name: ClassVar[str]
    required_columns: ClassVar[tuple[str, ...]] = ()
    required_fields: ClassVar[tuple[str, ...]] = ()
    default_thresholds: ClassVar[tuple[float, ...]]
    trigger: ClassVar[Literal["edge", "level"]] = "edge"
    prediction_mode: ClassVar[Literal["score", "confidence", "probability"]] = "score"
    is_odd: ClassVar[bool] = True
    output_dtype: ClassVar[np.dtype[np.void]] = SCORE_DTYPE
    Params: ClassVar[type[BaseModel]]
    # Parameters the contract is tried with, quick enough for a few hundred bins; may also be a classmethod that gives them.
    test_params: ClassVar[Any] = ({},)

    def __init__(self, params: Any, context: SignalContext) -> None:
        self.params = params
        self.context = context
        self.late_policy: LatePolicy = "wait"
        self._state: Any = self._fresh_state()

    @abstractmethod
    def _fresh_state(self) -> Any:
        """A NamedTuple of arrays: the state before the first bin."""

    @abstractmethod
    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        """Call the kernel over n bins; columns are contiguous and read-only."""

    @property
    @abstractmethod
    def memory_bins(self) -> int:
        """After this many bins the output no longer depends on where the signal began."""

    @property
    def lookahead(self) -> tuple[str, ...]:
        """Parameters set to a form that reads later bins."""
        return ()

    @property
    def scored_from(self) -> int:
        """First bin that has no part in `thresholds`."""
        return 0

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """Levels to trade at; the fixed ones unless a signal knows better."""
        return self.default_thresholds

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Figures over a session's outputs."""
        return {}

    def update(self, rows: Columns) -> Outputs:
        """One bin."""
        self._refuse_lookahead()
        one = {name: np.asarray(rows[name])[np.newaxis] for name in (*self.required_columns, *self.required_fields)}
        scored: Outputs = self.run(one).reshape(())
        return scored

    def run(self, columns: Columns) -> Outputs:
        """Many bins; continues the state."""
        x = self._inputs(columns)
        n = len(next(iter(x.values())))
        out = np.zeros(n, self.output_dtype)
        if n:
            advance: Callable[..., Any] = self._advance
            self._take(advance(x, out))
        return out

    def snapshot(self) -> bytes:
        """The state as bytes."""
        return pack(self.name, self._key(), self._arrays())

    def restore(self, data: bytes) -> None:
        """Take a snapshot back."""
        self._state = type(self._state)(**unpack(self.name, self._key(), data))

    def warmup(self) -> None:
        """Compile the kernel on a twin."""
        self._twin().run(self._zero_bins(2))

    def _zero_bins(self, n: int) -> dict[str, NDArray[Any]]:
        rows = 2 * self.context.radius + 1
        x: dict[str, NDArray[Any]] = {name: np.zeros((n, rows), GRID_COLUMNS[name]) for name in self.required_columns}
        return x | {name: np.zeros(n, BIN_DTYPE[name]) for name in self.required_fields}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The state by name."""
        state = self._state
        if not isinstance(state, tuple) or not hasattr(state, "_asdict") or not all(isinstance(a, np.ndarray) for a in state):
            raise ConfigError(f"{self.name}: _fresh_state gave {type(state).__name__}; it must give a NamedTuple of arrays")
        arrays: dict[str, NDArray[Any]] = state._asdict()
        return arrays

    def _take(self, returned: Any) -> None:
        """Refuse outputs that were returned: they would be lost."""
        if returned is not None:
            raise ConfigError(
                f"{self.name}: _advance returned {type(returned).__name__}; it must write into out, which has a row a bin, and "
                "return nothing"
            )

    def _twin(self) -> Self:
        return type(self)(self.params, self.context)

    def _key(self) -> str:
        return f"{self.params.model_dump_json()} {self.context.cell_width_ms} {self.context.radius}"

    def _refuse_lookahead(self) -> None:
        if self.lookahead:
            raise ConfigError(
                f"{self.name} with {', '.join(self.lookahead)} reads later bins, so it can score a stored session only; "
                "leave the parameter out to stream it"
            )

    def _inputs(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Columns as one array kind for the compiler: blocks come sliced, datasets read-only."""
        x: dict[str, NDArray[Any]] = {}
        n = -1
        for name in (*self.required_columns, *self.required_fields):
            if name not in columns:
                raise ConfigError(f"{self.name}: column {name} is missing; given were: {', '.join(columns) or 'none'}")
            dtype = BIN_DTYPE[name] if name in self.required_fields else GRID_COLUMNS[name]
            x[name] = column = np.ascontiguousarray(columns[name], dtype).view()
            column.setflags(write=False)
            n = len(column) if n < 0 else n
            shape = (n,) if name in self.required_fields else (n, 2 * self.context.radius + 1)
            if column.shape != shape:
                raise ConfigError(f"{self.name}: column {name} has shape {column.shape}; it must be {shape}")
        return x
