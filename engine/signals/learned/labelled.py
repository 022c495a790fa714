"""The owner of signals that learn from labelled bins: it keeps the rows, settles their labels and gathers what a fit may see.

Source: signals.md sections 4 and 5.1; section 14 items 1, 10, 17 and 24.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import ConfigError
from engine.jit import kernel
from engine.schema import Ints, Outputs
from engine.signals.base import Columns, SignalContext, require_tick
from engine.signals.learned.features import NO_MID, half_ticks
from engine.signals.learned.labels import UNKNOWN, LabelNumbers, LabelState, make_label_state, settle, settle_all, uniqueness
from engine.signals.learned.schedule import Bins, ScheduledSignal, ScheduleParams
from engine.signals.learned.training import Fitted, TrainingSet

Ticks = Annotated[float, Field(gt=0)]
MID: Final = "mid in half ticks"  # beside the columns of a block: made of them once,
SOUND: Final = "is sound"  # and which bins decide, open and move anything
# Windows so short that a few hundred bins reach every stage and several fits: what labelled signals are tested with.
SOON: Final[dict[str, Any]] = {
    "train_window_bins": 300,
    "max_hold_bins": 40,
    "embargo_bins": 20,
    "tp_ticks": 4.0,
    "sl_ticks": 2.0,
    "min_train_bins": 150,
    "refit_interval_bins": 100,
    "refit_delay_bins": 15,
}


class LabelledParams(ScheduleParams):
    """What is learned from; times in bins, barriers in ticks."""

    takes_tick_from_instrument: ClassVar[bool] = True
    learns_the_judged_trade: ClassVar[bool] = True  # a sweep's barriers and hold are the label's, unless it sets them

    train_window_bins: Bins = Field(9000, description="bins a fit looks back")
    label_purge: bool = Field(True, description="fit only on rows whose outcome was known by then; false reads later prices")
    embargo_bins: Annotated[int, Field(ge=0, le=100_000)] = Field(
        600, description="bins an outcome must be old; read with label_purge: true"
    )
    tp_ticks: Ticks = Field(
        8.0, description="profit barrier of the label, ticks; in a sweep that of the judged trade, unless set"
    )
    sl_ticks: Ticks = Field(4.0, description="stop barrier of the label, ticks; as tp_ticks")
    max_hold_bins: Annotated[int, Field(ge=2, le=100_000)] = Field(1200, description="bins until a label is 0; as tp_ticks")
    label_barriers: Literal["by_direction", "first_move"] = Field(
        "by_direction",
        description="by_direction: the side that reaches its profit before its stop; first_move: the nearer barrier touched",
    )
    flat_rows: Literal["half_each", "drop"] = Field(
        "half_each", description="rows that went nowhere: half an up and half a down, or left out"
    )
    row_weights: Literal["uniqueness", "equal"] = Field(
        "uniqueness", description="rows weigh by the share of their life that is not another row's too, or all the same"
    )
    unsound_bins: Literal["mask", "use"] = Field(
        "mask",
        description="bins of a doubtful book or without a mid: no label, no exit, no return; use takes every mid there is",
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(42, description="of whatever a fit draws")


class Rows(NamedTuple):
    """The features' ring (capacity, F), and which rows are whole."""

    features: NDArray[Any]  # f8, or f4 where the library reads no more
    is_whole: NDArray[np.bool_]


@kernel
def settle_block(
    labels: LabelState, mid: Ints, is_sound: NDArray[np.bool_], first: int, last: int, t0: int, p: LabelNumbers
) -> None:
    """Settle bins ``first`` to ``last`` of a block; ``first`` is the ``t0``-th bin seen, ``mid`` (n,) in half ticks."""
    for i in range(first, last):
        settle(labels, t0 + i - first, mid[i], is_sound[i], p)


class LabelledSignal(ScheduledSignal):
    """A classifier of what the price does next."""

    required_fields: ClassVar[tuple[str, ...]] = ("bin_seq", "mid_price", "quality")
    n_features: int
    feature_dtype: ClassVar[type] = np.float64
    min_rows: ClassVar[int]  # labelled rows a fit needs
    feature_memory_bins: int
    params: LabelledParams

    def __init__(self, params: LabelledParams, context: SignalContext) -> None:
        self._tick_int = require_tick(context, self.name)
        capacity = max(params.train_window_bins, params.max_hold_bins, params.refit_interval_bins) + 2
        self._rows = Rows(np.zeros((capacity, self.n_features), self.feature_dtype), np.zeros(capacity, np.bool_))
        self._labels = make_label_state(capacity, params.max_hold_bins)
        self._foreseen: LabelState | None = None
        self._label_numbers = LabelNumbers(
            2.0 * params.tp_ticks,
            2.0 * params.sl_ticks,
            params.max_hold_bins,
            params.label_barriers == "by_direction",
        )
        super().__init__(params, context)

    @abstractmethod
    def _take_features(self, x: dict[str, NDArray[Any]], is_sound: NDArray[np.bool_], first: int, last: int, t0: int) -> None:
        """Leave the features of some bins in the rows' ring."""

    @abstractmethod
    def _score_rows(self, first: int, last: int, t0: int, fitted: Fitted, out: Outputs) -> None:
        """Write ``prediction`` of bins ``first`` to ``last``, whose rows are in the ring."""

    @abstractmethod
    def _fit(self, data: TrainingSet, before: Fitted | None) -> Fitted:
        """Fit on rows; a pure function of its arguments, the parameters and the seed."""

    @property
    def memory_bins(self) -> int:
        """Until every row of the last fit came after the start."""
        p = self.params
        waits = p.refit_interval_bins + p.refit_delay_bins + p.embargo_bins
        return p.train_window_bins + p.max_hold_bins + waits + self.feature_memory_bins

    @property
    def lookahead(self) -> tuple[str, ...]:
        """Labels that are not known yet."""
        return () if self.params.label_purge else ("label_purge: false",)

    def run(self, columns: Columns) -> Outputs:
        """Many bins; without the purge a whole session, since its labels are looked up in the bins to come."""
        if self.params.label_purge:
            return super().run(columns)
        if self._clock.seen[0]:
            raise ConfigError(f"{self.name} with label_purge: false scores a session in one piece; build it anew for another")
        x = self._inputs(columns)
        self._foreseen = make_label_state(len(x[MID]) + 1, self.params.max_hold_bins)
        settle_all(self._foreseen, x[MID], x[SOUND], self._label_numbers)
        try:
            return super().run(columns)
        finally:
            self._foreseen = None

    def _inputs(self, columns: Columns) -> dict[str, NDArray[Any]]:
        x = super()._inputs(columns)
        x[MID] = half_ticks(x["mid_price"], self._tick_int)
        has_mid = x[MID] != NO_MID
        x[SOUND] = has_mid & (x["quality"] == 0) if self.params.unsound_bins == "mask" else has_mid
        return x

    def _ingest(self, x: dict[str, NDArray[Any]], first: int, last: int, out: Outputs) -> None:
        t0 = int(self._clock.seen[0])
        self._take_features(x, x[SOUND], first, last, t0)
        settle_block(self._labels, x[MID], x[SOUND], first, last, t0, self._label_numbers)

    def _predict(self, x: dict[str, NDArray[Any]], first: int, last: int, fitted: Fitted, out: Outputs) -> None:
        t0 = int(self._clock.seen[0]) - (last - first)
        places = np.arange(t0, t0 + last - first) % len(self._rows.is_whole)
        self._score_rows(first, last, t0, fitted, out)
        part = out[first:last]
        is_whole = self._rows.is_whole[places]
        neutral = 0.5 if self.prediction_mode == "probability" else 0.0
        part["prediction"][~is_whole] = neutral
        part["score"] = 2.0 * part["prediction"] - 1.0 if self.prediction_mode == "probability" else part["prediction"]
        part["ready"] = is_whole

    def _plan_fit(self, x: dict[str, NDArray[Any]], i: int) -> Callable[[], Fitted] | None:
        data = self._known_rows(int(self._clock.seen[0]))
        if data.n_moves < self.min_rows or not data.has_both or not self._is_enough(data):
            return None
        before = self._fitted
        is_weighted = self.params.row_weights == "uniqueness"

        def fit() -> Fitted:
            weighted = replace(data, weights=uniqueness(data.rows, data.exits)) if is_weighted else data
            return self._fit(weighted, before)

        return fit

    def _is_enough(self, data: TrainingSet) -> bool:
        """Whether a fit can use these rows."""
        return True

    def _known_rows(self, t: int) -> TrainingSet:
        """Rows whose outcome is known at bin ``t``, copied out of the ring."""
        p = self.params
        rows = np.arange(max(0, t - p.train_window_bins), t)
        places = rows % len(self._rows.is_whole)
        if self._foreseen is not None:
            labels, exits = self._foreseen.labels[rows], self._foreseen.exits[rows]
            is_known = labels != UNKNOWN
            is_new = rows >= t - p.refit_interval_bins
        else:
            labels, exits = self._labels.labels[places], self._labels.exits[places]
            is_known = (labels != UNKNOWN) & (exits <= t - p.embargo_bins)
            is_new = exits > t - p.embargo_bins - p.refit_interval_bins
        if p.flat_rows == "drop":
            is_known &= labels != 0
        is_known &= self._rows.is_whole[places]
        return TrainingSet(
            self._rows.features[places[is_known]],
            labels[is_known],
            np.ones(int(np.count_nonzero(is_known))),
            rows[is_known],
            exits[is_known],
            is_new[is_known],
            t,
        )

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Features, fits and predictions counted."""
        return {"n_features": self.n_features, **super().metadata(outputs)}

    def _key(self) -> str:
        return f"{super()._key()} {self._tick_int}"

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        parts = {"own": self._state, "rows": self._rows, "labels": self._labels}
        return {f"{part}.{k}": v for part, arrays in parts.items() for k, v in arrays._asdict().items()}

    def _set_state_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        def part(name: str) -> dict[str, NDArray[Any]]:
            return {k.split(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{name}.")}

        self._state = type(self._state)(**part("own"))
        self._rows = Rows(**part("rows"))
        self._labels = LabelState(**part("labels"))
