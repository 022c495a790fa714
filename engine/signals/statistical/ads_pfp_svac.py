"""`ads_pfp_svac`: a blend of `ads`, `pfp` and the asymmetry of vacuum; weights are shared out again while a part warms up.

Source: signals.md section 3.3; section 14 items 2, 12, 13 and 22.
"""

import math
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext, require_rows
from engine.signals.parts.averages import ema_memory
from engine.signals.parts.bands import BAND_REACH, inverse_distance, weighted_gap
from engine.signals.parts.calibrated import CalibratedParams, CalibratedSignal, percentile_thresholds
from engine.signals.statistical.ads import (
    BAND_WEIGHTS,
    SlopeNumbers,
    SlopeState,
    blend_slopes,
    combined_asymmetry,
    make_slope_state,
)
from engine.signals.statistical.pfp import (
    PfpNumbers,
    PfpParams,
    PfpState,
    Zones,
    front_score,
    make_pfp_state,
    make_zones,
)

Milliseconds = Annotated[int, Field(gt=0, le=3_600_000)]
Alpha = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class AdsPfpSvacParams(CalibratedParams):
    """Times in milliseconds; the grid's bin width turns them into bins."""

    ads_slope_windows_ms: Annotated[tuple[Milliseconds, ...], Field(min_length=1, max_length=8)] = Field(
        (1000, 2500, 5000), description="ms"
    )
    ads_zscore_window_ms: Milliseconds = Field(20000, description="ms")
    ads_zscore_min_periods_ratio: Alpha = Field(0.15, description="share of the z window that must be there")
    ads_blend_weights: Annotated[tuple[Weight, ...], Field(min_length=1)] = Field(
        (0.40, 0.35, 0.25), description="one a slope window, not normalised"
    )
    ads_blend_scale: Positive = Field(3.0, description="z units")
    ads_warmup_ms: Milliseconds = Field(20000, description="ms before the slopes take part")
    pfp_lag_ms: Milliseconds = Field(500, description="ms between the zones")
    pfp_ema_alpha: Alpha = Field(0.1, description="weight of the newest bin")
    pfp_eps: Positive = Field(1e-12, description="activity squared; read with normaliser: signed_eps")
    pfp_add_weight: Weight = 0.6
    pfp_pull_weight: Weight = 0.4
    svac_norm_alpha: Alpha = Field(0.05, description="weight of the newest bin in the vacuum's size")
    svac_norm_floor: Positive = Field(1e-6, description="smallest size, in units of the vacuum")
    composite_weight_ads: Weight = 0.40
    composite_weight_pfp: Weight = 0.30
    composite_weight_svac: Weight = 0.30
    slope_history: Literal["finite", "poison"] = Field("finite", description="as in ads")
    mad_guard: Literal["relative", "absolute"] = Field("relative", description="as in ads")
    lag_pairing: Literal["inner_leads", "outer_leads"] = Field("inner_leads", description="as in pfp")
    normaliser: Literal["absolute_flow", "signed_eps"] = Field("absolute_flow", description="as in pfp")

    @model_validator(mode="after")
    def _agree(self) -> "AdsPfpSvacParams":
        if len(self.ads_blend_weights) != len(self.ads_slope_windows_ms):
            raise ValueError(
                f"ads_blend_weights has {len(self.ads_blend_weights)} values and ads_slope_windows_ms "
                f"{len(self.ads_slope_windows_ms)}; each window takes one weight"
            )
        for names in (
            ("ads_blend_weights",),
            ("pfp_add_weight", "pfp_pull_weight"),
            ("composite_weight_ads", "composite_weight_pfp", "composite_weight_svac"),
        ):
            if np.sum([np.sum(getattr(self, name)) for name in names]) <= 0:
                raise ValueError(f"{' and '.join(names)} were all 0; at least one must be > 0")
        return self


class _CompositeWindows(NamedTuple):
    """The parameters' times in bins."""

    slopes: tuple[int, ...]
    zscore: int
    min_periods: int
    warmup: int
    lag: int


def _in_bins(params: AdsPfpSvacParams, cell_width_ms: int) -> _CompositeWindows:
    """Times rounded up to whole bins: signals.md P10."""

    def bins(ms: int, at_least: int) -> int:
        return max(at_least, math.ceil(ms / cell_width_ms))

    zscore = bins(params.ads_zscore_window_ms, 2)
    return _CompositeWindows(
        slopes=tuple(bins(ms, 2) for ms in params.ads_slope_windows_ms),
        zscore=zscore,
        min_periods=max(2, min(zscore, math.floor(zscore * params.ads_zscore_min_periods_ratio))),
        warmup=bins(params.ads_warmup_ms, 1),
        lag=bins(params.pfp_lag_ms, 1),
    )


class _CompositeState(NamedTuple):
    bins_seen: Ints
    size: Floats  # (1,) of the vacuum's asymmetry
    ring: Floats
    seen: Ints
    z_ring: Floats
    z_ordered: Floats
    z_seen: Ints
    zone_ring: Floats
    zone_seen: Ints
    zone_ema: Floats


class _CompositeInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_fill: Floats
    v_pull: Floats
    vacuum: Floats


class _CompositeNumbers(NamedTuple):
    warmup: int
    size_alpha: float
    size_floor: float
    weight_ads: float
    weight_pfp: float
    weight_svac: float


@kernel
def run(
    state: _CompositeState,
    slopes: SlopeState,
    front: PfpState,
    x: _CompositeInputs,
    band_weights: Floats,
    near_weights: Floats,
    zones: Zones,
    p: _CompositeNumbers,
    slope_p: SlopeNumbers,
    front_p: PfpNumbers,
    out: Outputs,
) -> None:
    """Many bins; ``out`` (n,) of AdsPfpSvac.output_dtype. A bin with a cell that is no number is left out."""
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        asymmetry = combined_asymmetry(x.v_add[i], x.v_pull[i], band_weights)
        vacuum = weighted_gap(x.vacuum[i], near_weights)
        if not math.isfinite(asymmetry + vacuum):
            continue
        t = front.seen[0]
        pfp = front_score(front, x.v_add[i], x.v_pull[i], x.v_fill[i], zones, front_p)
        if not math.isfinite(pfp):
            continue
        ads, has_slopes = blend_slopes(slopes, asymmetry, slope_p)
        size = abs(vacuum)
        state.size[0] = size if t == 0 else p.size_alpha * size + (1.0 - p.size_alpha) * state.size[0]
        svac = vacuum / max(state.size[0], p.size_floor)

        # The reference calls the slopes warm by the clock, also where they are not there yet.
        is_ads_warm = t >= p.warmup - 1 and (has_slopes or slope_p.is_poisoned)
        is_pfp_warm = t >= front_p.lag - 1
        ads = ads if is_ads_warm else 0.0
        pfp = pfp if is_pfp_warm else 0.0
        weight_ads = p.weight_ads if is_ads_warm else 0.0
        weight_pfp = p.weight_pfp if is_pfp_warm else 0.0
        total = weight_ads + weight_pfp + p.weight_svac
        if total > 0.0:
            out[i]["score"] = (weight_ads * ads + weight_pfp * pfp + p.weight_svac * svac) / total
        out[i]["ready"] = is_ads_warm and is_pfp_warm and has_slopes
        out[i]["ads"] = ads
        out[i]["pfp"] = pfp
        out[i]["svac"] = svac
        out[i]["n_warm"] = 1 + is_ads_warm + is_pfp_warm


class AdsPfpSvac(CalibratedSignal):
    """Composite of asymmetric slopes, pressure fronts and spatial vacuum."""

    name: ClassVar[str] = "ads_pfp_svac"
    required_columns: ClassVar[tuple[str, ...]] = ("v_add", "v_fill", "v_pull", "vacuum_variant")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.02, 0.05, 0.08, 0.10, 0.15, 0.20)
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype(
        [*COMMON_FIELDS, ("ads", "f8"), ("pfp", "f8"), ("svac", "f8"), ("n_warm", "i1")]
    )
    Params: ClassVar[type[BaseModel]] = AdsPfpSvacParams
    test_params: ClassVar[Any] = ({"ads_zscore_window_ms": 6000, "ads_warmup_ms": 8000},)
    params: AdsPfpSvacParams

    def __init__(self, params: AdsPfpSvacParams, context: SignalContext) -> None:
        require_rows(context, BAND_REACH, self.name)
        self._windows = windows = _in_bins(params, context.cell_width_ms)
        self._near_weights = inverse_distance(context.radius)
        self._zones = make_zones(PfpParams(), context)
        self._numbers = _CompositeNumbers(
            windows.warmup,
            params.svac_norm_alpha,
            params.svac_norm_floor,
            params.composite_weight_ads,
            params.composite_weight_pfp,
            params.composite_weight_svac,
        )
        self._slope_numbers = SlopeNumbers(
            np.array(windows.slopes, np.int64),
            np.array(params.ads_blend_weights),
            params.ads_blend_scale,
            windows.zscore,
            windows.min_periods,
            params.slope_history == "poison",
            params.mad_guard == "relative",
        )
        self._front_numbers = PfpNumbers(
            windows.lag,
            params.pfp_ema_alpha,
            params.pfp_eps,
            params.pfp_add_weight,
            params.pfp_pull_weight,
            params.lag_pairing == "inner_leads",
            params.normaliser == "absolute_flow",
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _CompositeState:
        slopes = make_slope_state(self._windows.slopes, self._windows.zscore)
        return _CompositeState(np.zeros(1, np.int64), np.zeros(1), *slopes, *make_pfp_state(self._windows.lag))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        state: _CompositeState = self._state
        run(
            state,
            SlopeState(*state[2:7]),
            PfpState(*state[7:]),
            _CompositeInputs(x["v_add"], x["v_fill"], x["v_pull"], x["vacuum_variant"]),
            BAND_WEIGHTS,
            self._near_weights,
            self._zones,
            self._numbers,
            self._slope_numbers,
            self._front_numbers,
            out,
        )

    @property
    def memory_bins(self) -> int:
        """The slowest of its parts."""
        slopes = max(max(self._windows.slopes) + self._windows.zscore, self._windows.warmup)
        averages = min(self.params.pfp_ema_alpha, self.params.svac_norm_alpha)
        return max(slopes, self._windows.lag + ema_memory(averages))

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """Percentiles of the score once its parts are warm."""
        warm_from = max(self._windows.warmup, self._windows.lag) - 1
        return percentile_thresholds(self._sample(score, warm_from), self.default_thresholds)

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Thresholds, times in bins, the parts' spread and how much of the time they were warm."""
        found: dict[str, Any] = {
            "adaptive_thresholds": list(self.thresholds(outputs["score"])),
            "ads_warmup_bins": self._windows.warmup,
            "pfp_lag_bins": self._windows.lag,
            "ads_slope_windows_bins": list(self._windows.slopes),
            "ads_zscore_window_bins": self._windows.zscore,
            "ads_zscore_min_periods": self._windows.min_periods,
        }
        if len(outputs):
            parts = {"ads": "ads", "pfp": "pfp", "svac": "svac", "composite": "score"}
            found["component_std"] = {part: float(np.std(outputs[name])) for part, name in parts.items()}
            found["warmup_fraction_mean"] = float(np.mean(outputs["n_warm"]) / 3.0)
        return found
