"""`pca_ad`: a profile that recent principal components cannot explain announces a change; its tilt gives the direction.

Source: signals.md section 5.7; section 14 items 15 and 16. The decomposition is exact: 101 rows are cheap, and nothing is drawn.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext
from engine.signals.learned.features import are_numbers
from engine.signals.learned.schedule import LEARNED_FIELDS, Bins, ScheduledSignal, ScheduleParams
from engine.signals.learned.training import Fitted, standardiser
from engine.signals.parts.bands import side_gap
from engine.signals.parts.robust_z import ZWindows, make_z_windows, take_in_and_score

Z_WINDOW: Final = 300  # bins
MIN_PERIODS: Final = 30
N_SERIES: Final = 4  # reconstruction error, distance inside, first score, flow balance
LEAST_VARIANCE: Final = 1e-10  # of a component that counts in the distance


class PcaAdParams(ScheduleParams):
    """Times in bins."""

    min_train_bins: Bins = Field(700, description="bins before the first fit")
    refit_interval_bins: Bins = Field(100, description="bins between two fits")
    refit_delay_bins: Annotated[int, Field(ge=0, le=100_000)] = Field(
        10, description="bins between a fit's data end and the bin it takes effect at; 0 fits on the bin's path"
    )
    n_components: Annotated[int, Field(ge=1, le=1000)] = Field(10, description="principal components kept")
    pca_window: Annotated[int, Field(ge=2, le=100_000)] = Field(600, description="bins a fit looks back")
    z_start: Literal["first_fit", "zeros"] = Field(
        "first_fit", description="first_fit: z windows begin with the first model; zeros: with a 0 for every bin before it"
    )

    scale_floor_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="least scale of a row, of the largest row's; 0 lets a row that hardly moved outweigh all others"
    )

    @model_validator(mode="after")
    def _agree(self) -> "PcaAdParams":
        if self.pca_window > self.min_train_bins:
            raise ValueError(
                f"pca_window was {self.pca_window}; it must be at most min_train_bins, which is {self.min_train_bins}"
            )
        return self


class _PcaState(NamedTuple):
    """``profiles`` (pca_window + 1, rows) pressure less vacuum; ``whole`` beside it; the z windows; ``scored`` (1,) bins."""

    profiles: Floats
    whole: NDArray[np.bool_]
    z_ring: Floats
    z_ordered: Floats
    z_seen: Ints
    scored: Ints


class _PcaInputs(NamedTuple):
    pressure: Floats  # (n, rows)
    vacuum: Floats
    v_add: Floats
    v_pull: Floats


class _PcaComponents(NamedTuple):
    """``axes`` (components, rows), ``variances`` (components,), ``mean`` and ``scale`` (rows,), ``sense`` (1,) of the first."""

    axes: Floats
    variances: Floats
    mean: Floats
    scale: Floats
    sense: Floats


@kernel
def take_profiles(state: _PcaState, x: _PcaInputs, first: int, last: int, t0: int) -> None:
    """Profiles of some bins of a block into the ring."""
    capacity = state.profiles.shape[0]
    for i in range(first, last):
        place = (t0 + i - first) % capacity
        row = state.profiles[place]
        for r in range(row.shape[0]):
            row[r] = x.pressure[i, r] - x.vacuum[i, r]
        state.whole[place] = are_numbers(row, row.shape[0])


@kernel
def score_profiles(
    state: _PcaState, x: _PcaInputs, first: int, last: int, c: _PcaComponents, work: Floats, zeros_before: int, out: Outputs
) -> None:
    """Score bins ``first`` to ``last`` of a block by one model; ``work`` (rows,) is room for a standardised profile."""
    windows = ZWindows(state.z_ring, state.z_ordered, state.z_seen)
    n_rows = work.shape[0]
    radius = n_rows // 2
    if state.z_seen[0] == 0:
        for _ in range(zeros_before):
            for series in range(N_SERIES):
                take_in_and_score(windows, series, 0.0, MIN_PERIODS, False)
    for i in range(first, last):
        tilt = side_gap(x.v_add[i], 1, radius) - side_gap(x.v_pull[i], 1, radius)
        left = 0.0
        for r in range(n_rows):
            work[r] = (x.pressure[i, r] - x.vacuum[i, r] - c.mean[r]) / c.scale[r]
            left += work[r]
        if not math.isfinite(left + tilt):
            continue
        distance = 0.0
        first_score = 0.0
        for component in range(c.axes.shape[0]):
            y = 0.0
            for r in range(n_rows):
                y += c.axes[component, r] * work[r]
            for r in range(n_rows):
                work[r] -= y * c.axes[component, r]
            if c.variances[component] > LEAST_VARIANCE:
                distance += y * y / c.variances[component]
            if component == 0:
                first_score = c.sense[0] * y
        error = 0.0
        for r in range(n_rows):
            error += work[r] * work[r]
        z_error = take_in_and_score(windows, 0, math.sqrt(error), MIN_PERIODS, False)
        z_distance = take_in_and_score(windows, 1, math.sqrt(distance), MIN_PERIODS, False)
        z_first = take_in_and_score(windows, 2, first_score, MIN_PERIODS, False)
        z_tilt = take_in_and_score(windows, 3, tilt, MIN_PERIODS, False)
        gate = 0.5 * max(z_error, 0.0) + 0.5 * max(z_distance, 0.0)
        direction = 0.6 * math.tanh(z_first / 3.0) + 0.4 * math.tanh(z_tilt / 3.0)
        state.scored[0] += 1
        out[i]["prediction"] = direction * gate
        out[i]["score"] = direction * gate
        out[i]["ready"] = zeros_before > 0 or state.scored[0] >= MIN_PERIODS


class PcaAd(ScheduledSignal):
    """Rolling PCA anomaly with a directional gate."""

    name: ClassVar[str] = "pca_ad"
    required_columns: ClassVar[tuple[str, ...]] = ("pressure_variant", "vacuum_variant", "v_add", "v_pull")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0)
    is_odd: ClassVar[bool] = True
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype(LEARNED_FIELDS)
    Params: ClassVar[type[BaseModel]] = PcaAdParams
    test_params: ClassVar[Any] = ({"min_train_bins": 150, "pca_window": 120, "refit_interval_bins": 50, "refit_delay_bins": 5},)
    params: PcaAdParams

    def __init__(self, params: PcaAdParams, context: SignalContext) -> None:
        self._work = np.zeros(2 * context.radius + 1)
        super().__init__(params, context)

    def _fresh_state(self) -> _PcaState:
        capacity = self.params.pca_window + 1
        rows = 2 * self.context.radius + 1
        windows = make_z_windows(N_SERIES, Z_WINDOW)
        return _PcaState(np.zeros((capacity, rows)), np.zeros(capacity, np.bool_), *windows, np.zeros(1, np.int64))

    @property
    def memory_bins(self) -> int:
        """A fit's rows, the z windows, and the wait for the next fit."""
        p = self.params
        return max(p.min_train_bins, p.pca_window) + Z_WINDOW + p.refit_interval_bins + p.refit_delay_bins

    def _inputs_of(self, x: dict[str, NDArray[Any]]) -> _PcaInputs:
        return _PcaInputs._make(x[name] for name in self.required_columns)

    def _ingest(self, x: dict[str, NDArray[Any]], first: int, last: int, out: Outputs) -> None:
        take_profiles(self._state, self._inputs_of(x), first, last, int(self._clock.seen[0]))

    def _predict(self, x: dict[str, NDArray[Any]], first: int, last: int, fitted: Fitted, out: Outputs) -> None:
        components = _PcaComponents._make(fitted[name] for name in _PcaComponents._fields)
        zeros = int(self._clock.seen[0]) - (last - first) if self.params.z_start == "zeros" else 0
        score_profiles(self._state, self._inputs_of(x), first, last, components, self._work, zeros, out)

    def _plan_fit(self, x: dict[str, NDArray[Any]], i: int) -> Callable[[], Fitted] | None:
        t = int(self._clock.seen[0])
        state: _PcaState = self._state
        places = np.arange(max(0, t - self.params.pca_window), t) % len(state.whole)
        profiles = state.profiles[places[state.whole[places]]]
        return (lambda: self._fit(profiles)) if len(profiles) >= 2 else None

    def _fit(self, profiles: Floats) -> Fitted:
        scaler = standardiser(profiles)
        floor = self.params.scale_floor_share * float(profiles.std(axis=0).max())
        if floor > 0:
            scaler = scaler._replace(scale=np.maximum(scaler.scale, floor))
        centred = scaler(profiles)
        centred -= centred.mean(axis=0)
        with _blas().limit(limits=1, user_api="blas"):  # one thread: always the same sums, and none taken from the bins
            variances, axes = np.linalg.eigh(centred.T @ centred / (len(centred) - 1))
        n = min(self.params.n_components, *profiles.shape)
        axes = np.ascontiguousarray(axes[:, ::-1][:, :n].T)
        radius = self.context.radius
        below, above = axes[0, :radius][::-1].sum(), axes[0, radius + 1 :].sum()
        sense = np.array([1.0 if below > above else -1.0])
        return _PcaComponents(axes, np.maximum(variances[::-1][:n], 0.0), *scaler, sense)._asdict()

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Components, refits and predictions counted."""
        found = super().metadata(outputs)
        p = self.params
        return found | {"n_components": p.n_components, "pca_window": p.pca_window, "refit_count": found["retrain_count"]}

    def _blank(self) -> Fitted:
        rows, n = 2 * self.context.radius + 1, self.params.n_components
        return _PcaComponents(np.zeros((n, rows)), np.zeros(n), np.zeros(rows), np.ones(rows), np.ones(1))._asdict()

    def _load_library(self) -> None:
        _blas()


@cache
def _blas() -> Any:
    """What limits the threads of linear algebra; looking for its libraries takes longer than a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
