"""`xgb_snap`: trees that find spatial patterns in the raw fields around spot.

Source: signals.md section 5.6; section 14 items 1, 5, 10, 17, 24, 29 and 31.
"""

import math
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from engine.jit import kernel
from engine.schema import Floats, Ints
from engine.signals.base import SignalContext, require_rows
from engine.signals.learned.boosted import BoostedParams, BoostedSignal, Setting
from engine.signals.learned.features import no_mid_yet, ring_moments, tick_return
from engine.signals.learned.labelled import MID
from engine.signals.learned.schedule import Bins
from engine.signals.learned.training import Fitted, TrainingSet
from engine.signals.learned.trees import from_xgboost

SIDE_REACH: Final = 24  # ticks, of the sums per side
N_SIDE_SUMS: Final = 4


class XgbSnapParams(BoostedParams):
    """Rows in ticks from spot, windows in bins."""

    min_train_bins: Bins = Field(3000, description="bins before the first fit")
    center_k_range: tuple[int, int] = Field((-25, 25), description="first and last k of the snapshot")
    rolling_windows: Annotated[tuple[Bins, ...], Field(min_length=1, max_length=8)] = Field((50, 200, 600), description="bins")
    num_boost_round: Annotated[int, Field(ge=1, le=10_000)] = Field(150, description="rounds at most")
    early_stopping: Annotated[int, Field(ge=1, le=10_000)] = Field(15, description="rounds without a better validation loss")
    xgb_params: dict[str, Setting] = Field({}, description="XGBoost's own parameters, over the defaults")

    @model_validator(mode="after")
    def _ascend(self) -> "XgbSnapParams":
        if self.center_k_range[0] > self.center_k_range[1]:
            raise ValueError(f"center_k_range was {list(self.center_k_range)}; give the first and the last k, ascending")
        return self


class _XgbState(NamedTuple):
    """``returns`` (longest window,) ticks; ``moments`` (2 * windows,) of the bin at hand; ``last_mid`` (1,) half ticks."""

    returns: Floats
    moments: Floats
    last_mid: Ints


class _XgbInputs(NamedTuple):
    pressure: Floats  # (n, rows)
    vacuum: Floats
    score: Floats
    mid: Ints  # (n,) half ticks


@kernel
def take_features(
    state: _XgbState,
    x: _XgbInputs,
    is_sound: NDArray[np.bool_],
    first: int,
    last: int,
    t0: int,
    low: int,
    high: int,
    windows: Ints,
    features: NDArray[np.float32],
    is_whole: NDArray[np.bool_],
) -> None:
    """Features of some bins of a block into a ring, columns ``low`` to ``high`` of three fields first."""
    capacity = features.shape[0]
    centre = x.pressure.shape[1] // 2
    n = high - low + 1
    for i in range(first, last):
        t = t0 + i - first
        row = features[t % capacity]
        total = 0.0
        for r in range(n):
            row[r] = x.pressure[i, low + r]
            row[n + r] = x.vacuum[i, low + r]
            row[2 * n + r] = x.score[i, low + r]
            total += x.pressure[i, low + r] + x.vacuum[i, low + r] + x.score[i, low + r]
        step = tick_return(state.last_mid, x.mid[i], is_sound[i])
        place = t % state.returns.shape[0]
        state.returns[place] = step if math.isfinite(step) else 0.0
        ring_moments(state.returns, place, t + 1, windows, False, state.moments, 0)
        at = 3 * n
        for m in range(state.moments.shape[0]):
            row[at + m] = state.moments[m]
        at += state.moments.shape[0]
        p_below = p_above = v_below = v_above = 0.0
        for d in range(1, SIDE_REACH + 1):
            p_below += x.pressure[i, centre - d]
            p_above += x.pressure[i, centre + d]
            v_below += x.vacuum[i, centre - d]
            v_above += x.vacuum[i, centre + d]
        row[at] = p_below
        row[at + 1] = p_above
        row[at + 2] = v_below
        row[at + 3] = v_above
        is_whole[t % capacity] = math.isfinite(total + step + p_below + p_above + v_below + v_above)


class XgbSnap(BoostedSignal):
    """XGBoost on raw snapshots."""

    name: ClassVar[str] = "xgb_snap"
    required_columns: ClassVar[tuple[str, ...]] = ("pressure_variant", "vacuum_variant", "spectrum_score")
    feature_dtype: ClassVar[type] = np.float32  # what the library reads
    min_rows: ClassVar[int] = 50
    min_train: ClassVar[int] = 30
    Params: ClassVar[type[BaseModel]] = XgbSnapParams
    params: XgbSnapParams

    def __init__(self, params: XgbSnapParams, context: SignalContext) -> None:
        low, high = params.center_k_range
        require_rows(context, max(SIDE_REACH, abs(low), abs(high)), self.name)
        self._low, self._high = low + context.radius, high + context.radius
        self._windows = np.array(sorted(params.rolling_windows), np.int64)
        self.n_features = 3 * (high - low + 1) + 2 * len(params.rolling_windows) + N_SIDE_SUMS
        self.feature_memory_bins = max(params.rolling_windows)
        super().__init__(params, context)

    def _fresh_state(self) -> _XgbState:
        windows = self.params.rolling_windows
        return _XgbState(np.zeros(max(windows)), np.zeros(2 * len(windows)), no_mid_yet())

    def _take_features(self, x: dict[str, NDArray[Any]], is_sound: NDArray[np.bool_], first: int, last: int, t0: int) -> None:
        take_features(
            self._state,
            _XgbInputs._make(x[name] for name in (*self.required_columns, MID)),
            is_sound,
            first,
            last,
            t0,
            self._low,
            self._high,
            self._windows,
            *self._rows,
        )

    def _boost(self, train: TrainingSet, validate: TrainingSet | None, n_rounds: int) -> tuple[Any, int]:
        import xgboost

        settings: dict[str, Setting] = {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "max_depth": 4,
            "learning_rate": 0.05,
            "subsample": 0.8,
            "colsample_bytree": 0.6,
            "min_child_weight": 10,
            "gamma": 0.1,
            "seed": self.params.seed,
            "nthread": 1,
        }
        settings |= self.params.xgb_params
        data = xgboost.DMatrix(train.features, train.targets, weight=train.weights, nthread=1)
        if validate is None:
            return xgboost.train(settings, data, num_boost_round=n_rounds, verbose_eval=False), n_rounds
        judge = xgboost.DMatrix(validate.features, validate.targets, weight=validate.weights, nthread=1)
        booster = xgboost.train(
            settings,
            data,
            num_boost_round=n_rounds,
            evals=[(judge, "validate")],
            early_stopping_rounds=self.params.early_stopping,
            verbose_eval=False,
        )
        return booster, int(booster.best_iteration) + 1

    def _as_table(self, booster: Any, n_rounds: int) -> Fitted:
        gain = np.zeros(self.n_features)
        for name, value in booster[:n_rounds].get_score(importance_type="gain").items():
            gain[int(name[1:])] = value
        return from_xgboost(booster, n_rounds) | {"gain": gain}

    def _load_library(self) -> None:
        import xgboost  # noqa: F401
