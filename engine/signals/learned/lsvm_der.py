"""`lsvm_der`: a linear machine on slow trends of the order-flow derivatives, learned partly as the bins come.

Source: signals.md section 5.5; section 14 items 1, 10, 14, 17 and 24.
"""

import math
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, require_rows
from engine.signals.learned.features import C6, N_ASYM, are_numbers, asymmetries, ring_slopes
from engine.signals.learned.labelled import SOON, LabelledParams, LabelledSignal
from engine.signals.learned.linear import as_fitted, blank, linear_of, score_rows
from engine.signals.learned.schedule import Bins
from engine.signals.learned.training import Fitted, Scaler, TrainingSet, standardiser
from engine.signals.parts.bands import BAND_REACH, inverse_distance, weighted_gap

NEAR_REACH: Final = 24  # ticks, of the inverse-distance means
MIN_NEW_ROWS: Final = 6
CLASSES: Final = np.array([-1, 1], np.int8)


class LsvmDerParams(LabelledParams):
    """Windows in bins."""

    min_train_bins: Bins = Field(1500, description="bins before the first fit")
    refit_interval_bins: Bins = Field(600, description="bins between two steps of the fit")
    full_refit_interval_bins: Bins = Field(1200, description="bins between two fits from nothing")
    slope_windows: Annotated[tuple[Annotated[int, Field(ge=2, le=100_000)], ...], Field(min_length=1, max_length=8)] = Field(
        (100, 300), description="bins"
    )
    alpha: Annotated[float, Field(gt=0)] = Field(1e-4, description="weight of the penalty")
    refit_clocks: Literal["separate", "shared"] = Field(
        "separate",
        description="separate: full refits on their own clock, one scaler between them, a step knows both classes; shared: "
        "every step sets the clock back, so that only the first fit is full, and brings a new scaler under the old weights",
    )


class _LsvmState(NamedTuple):
    asym: Floats  # (longest slope, 18)


class _LsvmInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_pull: Floats
    a_add: Floats
    a_pull: Floats
    j_add: Floats
    j_pull: Floats


@kernel
def take_features(
    state: _LsvmState,
    x: _LsvmInputs,
    first: int,
    last: int,
    t0: int,
    windows: Ints,
    near_weights: Floats,
    features: Floats,
    is_whole: NDArray[np.bool_],
) -> None:
    """Features of some bins of a block into a ring; a value that is no number counts as 0 in a slope and marks its row."""
    capacity = features.shape[0]
    length = state.asym.shape[0]
    n_windows = windows.shape[0]
    for i in range(first, last):
        t = t0 + i - first
        row = features[t % capacity]
        asymmetries(x.v_add[i], x.v_pull[i], x.a_add[i], x.a_pull[i], x.j_add[i], x.j_pull[i], row)
        place = t % length
        for series in range(N_ASYM):
            state.asym[place, series] = row[series] if math.isfinite(row[series]) else 0.0
        for w in range(n_windows):
            if t + 1 >= windows[w]:
                ring_slopes(state.asym, place, windows[w], row, N_ASYM + w, n_windows)
            else:
                for series in range(N_ASYM):
                    row[N_ASYM + series * n_windows + w] = 0.0
        at = N_ASYM * (1 + n_windows)
        row[at] = -weighted_gap(x.v_add[i], near_weights)
        row[at + 1] = weighted_gap(x.v_pull[i], near_weights)
        row[at + 2] = -weighted_gap(x.a_add[i], near_weights)
        row[at + 3] = weighted_gap(x.a_pull[i], near_weights)
        row[at + 4] = -weighted_gap(x.j_add[i], near_weights)
        row[at + 5] = weighted_gap(x.j_pull[i], near_weights)
        is_whole[t % capacity] = are_numbers(row, at + 6)


class LsvmDer(LabelledSignal):
    """Online linear SVM on derivative slopes."""

    name: ClassVar[str] = "lsvm_der"
    required_columns: ClassVar[tuple[str, ...]] = C6
    default_thresholds: ClassVar[tuple[float, ...]] = (0.3, 0.5, 0.7, 1.0)
    min_rows: ClassVar[int] = 30
    Params: ClassVar[type[BaseModel]] = LsvmDerParams
    test_params: ClassVar[Any] = (SOON | {"slope_windows": [20, 60], "full_refit_interval_bins": 200},)
    params: LsvmDerParams

    def __init__(self, params: LsvmDerParams, context: SignalContext) -> None:
        require_rows(context, max(BAND_REACH, NEAR_REACH), self.name)
        weights = inverse_distance(NEAR_REACH)
        self._near_weights = weights / weights.sum()
        self._windows = np.array(params.slope_windows, np.int64)
        self.n_features = N_ASYM * (1 + len(params.slope_windows)) + len(C6)
        self.feature_memory_bins = max(params.slope_windows)
        super().__init__(params, context)

    def _fresh_state(self) -> _LsvmState:
        return _LsvmState(np.zeros((max(self.params.slope_windows), N_ASYM)))

    def _take_features(self, x: dict[str, NDArray[Any]], is_sound: NDArray[np.bool_], first: int, last: int, t0: int) -> None:
        inputs = _LsvmInputs._make(x[name] for name in self.required_columns)
        take_features(self._state, inputs, first, last, t0, self._windows, self._near_weights, *self._rows)

    def _score_rows(self, first: int, last: int, t0: int, fitted: Fitted, out: Outputs) -> None:
        score_rows(self._rows.features, t0, linear_of(fitted), out[first:last])

    @property
    def memory_bins(self) -> int:
        """What a fit looks back, and the steps since the last fit from nothing."""
        return super().memory_bins + self.params.full_refit_interval_bins

    def _fit(self, data: TrainingSet, before: Fitted | None) -> Fitted:
        is_separate = self.params.refit_clocks == "separate"
        clock = "last_full" if is_separate else "last_step"
        is_full = before is None or data.end - int(np.asarray(before[clock])[0]) >= self.params.full_refit_interval_bins
        new = data.take(data.is_new)
        if is_full:
            done = np.zeros(2, np.int64) if before is None else np.asarray(before["counts"], np.int64)
            return self._fit_fully(data, done + np.array([1, 0]))
        assert before is not None
        machine = _Machine.of(before)
        scaler = machine.scaler if is_separate else standardiser(data.features)
        counts = machine.counts
        if len(new) >= MIN_NEW_ROWS:
            shares = data if is_separate else new  # whose class balance the step is weighted by
            machine = self._step(machine, scaler, new, shares)
            counts = counts + np.array([0, 1])
        return _fitted(scaler, machine, counts, int(np.asarray(before["last_full"])[0]), data.end)

    def _fit_fully(self, data: TrainingSet, counts: Ints) -> Fitted:
        scaler = standardiser(data.features)
        features, labels, weights = data.two_sided()
        machine = self._make_machine()
        machine.fit(scaler(features), labels, sample_weight=weights * balance(labels, weights, labels))
        learned = _Machine(scaler, machine.coef_[0], float(machine.intercept_[0]), float(machine.t_), counts)
        return _fitted(scaler, learned, counts, data.end, data.end)

    def _step(self, before: "_Machine", scaler: Scaler, new: TrainingSet, shares: TrainingSet) -> "_Machine":
        """One pass over the new rows, from the weights and the learning rate that stand."""
        features, labels, weights = new.two_sided()
        _, all_labels, all_weights = shares.two_sided()
        machine = self._make_machine()
        machine.partial_fit(scaler(features[:1]), labels[:1], classes=CLASSES)  # makes room; what it learned goes
        machine.coef_[0], machine.intercept_[0], machine.t_ = before.weights, before.intercept, before.t
        machine.partial_fit(scaler(features), labels, sample_weight=weights * balance(all_labels, all_weights, labels))
        return _Machine(scaler, machine.coef_[0], float(machine.intercept_[0]), float(machine.t_), before.counts)

    def _make_machine(self) -> Any:
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(
            loss="hinge", penalty="l2", alpha=self.params.alpha, max_iter=1000, tol=1e-3, random_state=self.params.seed
        )

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Features, predictions and both kinds of fit counted."""
        found = super().metadata(outputs)
        counts = [0, 0] if self._fitted is None else np.asarray(self._fitted["counts"]).tolist()
        return found | {"full_refit_count": counts[0], "partial_fit_count": counts[1]}

    def _blank(self) -> Fitted:
        return blank(self.n_features)

    def _load_library(self) -> None:
        import sklearn.linear_model  # noqa: F401


class _Machine(NamedTuple):
    """What the next step builds upon; ``t`` drives the learning rate, ``counts`` are full and partial fits."""

    scaler: Scaler
    weights: Floats
    intercept: float
    t: float
    counts: Ints

    @classmethod
    def of(cls, fitted: Fitted) -> "_Machine":
        linear = linear_of(fitted)
        t, counts = np.asarray(fitted["t"], np.float64), np.asarray(fitted["counts"], np.int64)
        return cls(Scaler(linear.mean, linear.scale), linear.weights, float(linear.intercept[0]), float(t[0]), counts)


def _fitted(scaler: Scaler, machine: _Machine, counts: Ints, last_full: int, last_step: int) -> Fitted:
    return as_fitted(scaler, machine.weights, machine.intercept) | {
        "t": np.array([machine.t]),
        "counts": counts,
        "last_full": np.array([last_full]),
        "last_step": np.array([last_step]),
    }


def balance(among: NDArray[np.int8], weights: Floats, labels: NDArray[np.int8]) -> Floats:
    """Weights that let both classes of ``among`` count the same, for rows of some ``labels``; a class that is absent counts 1."""
    total = float(weights.sum())
    factors = {}
    for side in (-1, 1):
        mass = float(weights[among == side].sum())
        factors[side] = total / (2.0 * mass) if mass > 0 else 1.0
    return np.where(labels > 0, factors[1], factors[-1])
