"""`svm_sp`: a linear support vector machine on the spatial profile of pressure less vacuum, with slow imbalance statistics.

Source: signals.md section 5.2; section 14 items 1, 10, 15, 17, 24 and 31.
"""

import math
import warnings
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, require_rows
from engine.signals.learned.features import are_numbers, no_mid_yet, ring_moments, tick_return
from engine.signals.learned.labelled import MID, SOON, LabelledParams, LabelledSignal
from engine.signals.learned.linear import as_fitted, blank, linear_of, score_rows
from engine.signals.learned.schedule import Bins
from engine.signals.learned.training import Fitted, TrainingSet, standardiser
from engine.signals.parts.bands import BAND_REACH, side_gap

N_BANDS = 3
MAX_ITERATIONS = 2000


class SvmSpParams(LabelledParams):
    """Rows in ticks from spot, windows in bins."""

    sampled_k: Annotated[tuple[int, ...], Field(min_length=1)] = Field(tuple(range(-50, 51, 5)), description="ticks from spot")
    rolling_windows: Annotated[tuple[Bins, ...], Field(min_length=1, max_length=8)] = Field((50, 200, 600), description="bins")
    svm_c: Annotated[float, Field(gt=0)] = Field(0.1, description="cost of a row on the wrong side")


class _SvmState(NamedTuple):
    """``rings`` (4, longest window): the three bands' asymmetry and the tick return; ``last_mid`` (1,) half ticks."""

    rings: Floats
    last_mid: Ints


class _SvmInputs(NamedTuple):
    pressure: Floats  # (n, rows)
    vacuum: Floats
    v_add: Floats
    v_pull: Floats
    mid: Ints  # (n,) half ticks


@kernel
def take_features(
    state: _SvmState,
    x: _SvmInputs,
    is_sound: NDArray[np.bool_],
    first: int,
    last: int,
    t0: int,
    sampled: Ints,
    windows: Ints,
    features: Floats,
    is_whole: NDArray[np.bool_],
) -> None:
    """Features of some bins of a block into a ring; a value that is no number counts as 0 and marks its row."""
    capacity = features.shape[0]
    length = state.rings.shape[1]
    n_moments = 2 * windows.shape[0]
    for i in range(first, last):
        t = t0 + i - first
        row = features[t % capacity]
        n = sampled.shape[0]
        for s in range(n):
            row[s] = x.pressure[i, sampled[s]] - x.vacuum[i, sampled[s]]
        whole = are_numbers(row, n)
        place = t % length
        for band in range(N_BANDS + 1):
            if band == 0:
                y = side_gap(x.v_add[i], 1, 3) - side_gap(x.v_pull[i], 1, 3)
            elif band == 1:
                y = side_gap(x.v_add[i], 4, 11) - side_gap(x.v_pull[i], 4, 11)
            elif band == 2:
                y = side_gap(x.v_add[i], 12, 23) - side_gap(x.v_pull[i], 12, 23)
            else:
                y = tick_return(state.last_mid, x.mid[i], is_sound[i])
            if not math.isfinite(y):
                y = 0.0
                whole = False
            state.rings[band, place] = y
            ring_moments(state.rings[band], place, t + 1, windows, False, row, n + band * n_moments)
        is_whole[t % capacity] = whole


class SvmSp(LabelledSignal):
    """Linear SVM on the spatial profile."""

    name: ClassVar[str] = "svm_sp"
    required_columns: ClassVar[tuple[str, ...]] = ("pressure_variant", "vacuum_variant", "v_add", "v_pull")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.2, 0.4, 0.6, 0.8)
    min_rows: ClassVar[int] = 20
    Params: ClassVar[type[BaseModel]] = SvmSpParams
    test_params: ClassVar[Any] = (SOON | {"rolling_windows": [20, 60]},)
    params: SvmSpParams

    def __init__(self, params: SvmSpParams, context: SignalContext) -> None:
        require_rows(context, max(BAND_REACH, *(abs(k) for k in params.sampled_k)), self.name)
        self._sampled = np.array(params.sampled_k, np.int64) + context.radius
        self._windows = np.array(sorted(params.rolling_windows), np.int64)
        self.n_features = len(params.sampled_k) + (N_BANDS + 1) * 2 * len(params.rolling_windows)
        self.feature_memory_bins = max(params.rolling_windows)
        super().__init__(params, context)

    def _fresh_state(self) -> _SvmState:
        return _SvmState(np.zeros((N_BANDS + 1, max(self.params.rolling_windows))), no_mid_yet())

    def _take_features(self, x: dict[str, NDArray[Any]], is_sound: NDArray[np.bool_], first: int, last: int, t0: int) -> None:
        inputs = _SvmInputs._make(x[name] for name in (*self.required_columns, MID))
        take_features(self._state, inputs, is_sound, first, last, t0, self._sampled, self._windows, *self._rows)

    def _score_rows(self, first: int, last: int, t0: int, fitted: Fitted, out: Outputs) -> None:
        score_rows(self._rows.features, t0, linear_of(fitted), out[first:last])

    def _fit(self, data: TrainingSet, before: Fitted | None) -> Fitted:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        scaler = standardiser(data.features)
        features, labels, weights = data.two_sided()
        machine = LinearSVC(
            C=self.params.svm_c,
            loss="hinge",
            penalty="l2",
            dual=True,
            class_weight="balanced",
            max_iter=MAX_ITERATIONS,
            tol=1e-4,
            random_state=self.params.seed,
        )
        # The reference stops at the limit too, and the machine is usable. Not in a context: that would be shared by all threads.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        machine.fit(scaler(features), labels, sample_weight=weights)
        return as_fitted(scaler, machine.coef_[0], float(machine.intercept_[0]))

    def _blank(self) -> Fitted:
        return blank(self.n_features)

    def _load_library(self) -> None:
        import sklearn.svm  # noqa: F401
