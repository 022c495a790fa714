"""`gbm_mf`: gradient boosting on order-flow imbalances, their slopes, the force at spot and return statistics.

Source: signals.md section 5.3; section 14 items 1, 5, 10, 17, 24 and 31.
"""

import math
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints
from engine.signals.base import SignalContext, require_rows
from engine.signals.learned.boosted import BoostedParams, BoostedSignal, Setting
from engine.signals.learned.features import (
    C6,
    N_ASYM,
    are_numbers,
    asymmetries,
    no_mid_yet,
    ring_moments,
    ring_slopes,
    tick_return,
)
from engine.signals.learned.labelled import MID
from engine.signals.learned.schedule import Bins
from engine.signals.learned.training import Fitted, TrainingSet
from engine.signals.learned.trees import from_lightgbm
from engine.signals.parts.bands import BAND_REACH

SPOT_WINDOWS: Final = np.array([50, 300], np.int64)  # bins, of the force at spot
SPREAD_WINDOWS: Final = np.array([200], np.int64)
AT_SLOPES: Final = N_ASYM
AT_SPOT: Final = 2 * N_ASYM
AT_RETURNS: Final = AT_SPOT + 1 + 4


class GbmMfParams(BoostedParams):
    """Windows in bins."""

    min_train_bins: Bins = Field(2400, description="bins before the first fit")
    slope_window: Annotated[int, Field(ge=2, le=100_000)] = Field(50, description="bins")
    rolling_windows: Annotated[tuple[Bins, ...], Field(min_length=1, max_length=8)] = Field((50, 200, 600), description="bins")
    lgb_params: dict[str, Setting] = Field({}, description="LightGBM's own parameters, over the defaults")


class _GbmState(NamedTuple):
    """Rings of what came before: ``asym`` (slope window, 18), ``spot``, ``returns``, ``spread``; ``last_mid`` (1,) half ticks."""

    asym: Floats
    spot: Floats
    returns: Floats
    spread: Floats
    last_mid: Ints


class _GbmInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_pull: Floats
    a_add: Floats
    a_pull: Floats
    j_add: Floats
    j_pull: Floats
    pressure: Floats
    vacuum: Floats
    mid: Ints  # (n,) half ticks


@kernel
def _keep(ring: Floats, t: int, value: float) -> int:
    """Put a value into a ring; where it stands."""
    place = t % ring.shape[0]
    ring[place] = value if math.isfinite(value) else 0.0
    return place


@kernel
def take_features(
    state: _GbmState,
    x: _GbmInputs,
    is_sound: NDArray[np.bool_],
    first: int,
    last: int,
    t0: int,
    slope_window: int,
    windows: Ints,
    spot_windows: Ints,
    spread_windows: Ints,
    features: Floats,
    is_whole: NDArray[np.bool_],
) -> None:
    """Features of some bins of a block into a ring; a value that is no number counts as 0 and marks its row."""
    capacity = features.shape[0]
    centre = x.pressure.shape[1] // 2
    for i in range(first, last):
        t = t0 + i - first
        row = features[t % capacity]
        asymmetries(x.v_add[i], x.v_pull[i], x.a_add[i], x.a_pull[i], x.j_add[i], x.j_pull[i], row)
        spot = x.pressure[i, centre] - x.vacuum[i, centre]
        spread = x.pressure[i, centre + 1] - x.pressure[i, centre - 1]
        step = tick_return(state.last_mid, x.mid[i], is_sound[i])
        whole = are_numbers(row, N_ASYM) and math.isfinite(spot) and math.isfinite(spread) and math.isfinite(step)

        place = t % slope_window
        for series in range(N_ASYM):
            state.asym[place, series] = row[series] if math.isfinite(row[series]) else 0.0
            row[AT_SLOPES + series] = 0.0
        if t + 1 >= slope_window:
            ring_slopes(state.asym, place, slope_window, row, AT_SLOPES, 1)
        row[AT_SPOT] = spot
        ring_moments(state.spot, _keep(state.spot, t, spot), t + 1, spot_windows, False, row, AT_SPOT + 1)
        ring_moments(state.returns, _keep(state.returns, t, step), t + 1, windows, True, row, AT_RETURNS)
        at = AT_RETURNS + 3 * windows.shape[0]
        row[at] = spread
        ring_moments(state.spread, _keep(state.spread, t, spread), t + 1, spread_windows, False, row, at + 1)
        is_whole[t % capacity] = whole


class GbmMf(BoostedSignal):
    """LightGBM on derivative features."""

    name: ClassVar[str] = "gbm_mf"
    required_columns: ClassVar[tuple[str, ...]] = (*C6, "pressure_variant", "vacuum_variant")
    min_rows: ClassVar[int] = 40
    min_train: ClassVar[int] = 20
    Params: ClassVar[type[BaseModel]] = GbmMfParams
    params: GbmMfParams

    def __init__(self, params: GbmMfParams, context: SignalContext) -> None:
        require_rows(context, BAND_REACH, self.name)
        self._windows = np.array(sorted(params.rolling_windows), np.int64)
        self.n_features = AT_RETURNS + 3 * len(params.rolling_windows) + 3
        self.feature_memory_bins = max(*params.rolling_windows, params.slope_window, int(SPOT_WINDOWS[-1]))
        super().__init__(params, context)

    def _fresh_state(self) -> _GbmState:
        return _GbmState(
            np.zeros((self.params.slope_window, N_ASYM)),
            np.zeros(int(SPOT_WINDOWS[-1])),
            np.zeros(max(self.params.rolling_windows)),
            np.zeros(int(SPREAD_WINDOWS[-1])),
            no_mid_yet(),
        )

    def _take_features(self, x: dict[str, NDArray[Any]], is_sound: NDArray[np.bool_], first: int, last: int, t0: int) -> None:
        p = self.params
        take_features(
            self._state,
            _GbmInputs._make(x[name] for name in (*self.required_columns, MID)),
            is_sound,
            first,
            last,
            t0,
            p.slope_window,
            self._windows,
            SPOT_WINDOWS,
            SPREAD_WINDOWS,
            *self._rows,
        )

    def _boost(self, train: TrainingSet, validate: TrainingSet | None, n_rounds: int) -> tuple[Any, int]:
        import lightgbm

        is_soft = self.params.flat_rows == "half_each"
        settings: dict[str, Setting] = {
            "objective": "cross_entropy" if is_soft else "binary",
            "metric": "cross_entropy" if is_soft else "binary_logloss",
            "num_leaves": 31,
            "learning_rate": 0.05,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "bagging_freq": 5,
            "min_child_samples": 20,
            "n_jobs": 1,
            "seed": self.params.seed,
            "verbose": -1,
            "deterministic": True,
            "force_col_wise": True,
        }
        settings |= self.params.lgb_params
        data = lightgbm.Dataset(train.features, train.targets, weight=train.weights)
        if validate is None:
            return lightgbm.train(settings, data, num_boost_round=n_rounds), n_rounds
        judge = lightgbm.Dataset(validate.features, validate.targets, weight=validate.weights, reference=data)
        stop = lightgbm.early_stopping(self.params.early_stopping, verbose=False)
        booster = lightgbm.train(settings, data, num_boost_round=n_rounds, valid_sets=[judge], callbacks=[stop])
        return booster, int(booster.best_iteration) or n_rounds

    def _as_table(self, booster: Any, n_rounds: int) -> Fitted:
        gain = booster.feature_importance("gain", iteration=n_rounds)
        return from_lightgbm(booster, n_rounds) | {"gain": np.asarray(gain, np.float64)}

    @property
    def feature_names(self) -> list[str]:
        """As signals.md names them."""
        asym = [f"{column}_{band}_asym" for column in C6 for band in ("inner", "mid", "outer")]
        spot = [f"pv_spot_{what}_{w}" for w in SPOT_WINDOWS for what in ("mean", "std")]
        returns = [f"ret_{what}_{w}" for w in self._windows for what in ("mean", "std", "skew")]
        spread = ["spread_proxy", *(f"spread_{what}_{w}" for w in SPREAD_WINDOWS for what in ("mean", "std"))]
        return [*asym, *(f"slope_{name}" for name in asym), "pv_spot", *spot, *returns, *spread]

    def _load_library(self) -> None:
        import lightgbm  # noqa: F401
