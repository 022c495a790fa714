"""`ads`: the slope of the bid/ask imbalance of adding and pulling. When it changes fast, price follows.

Source: signals.md section 3.1; section 14 items 13 and 22.
"""

import math
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext, require_rows
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.bands import BAND_REACH, BANDS, side_gap
from engine.signals.parts.robust_z import ZWindows, make_z_windows, robust_z, take_in
from engine.signals.parts.slopes import ring_slope

MIN_PERIODS = 30  # values a z needs

Window = Annotated[int, Field(ge=2, le=100_000)]
BAND_WEIGHTS = np.array([1.0 / math.sqrt(last - first + 1) for first, last in BANDS])
BAND_WEIGHTS /= BAND_WEIGHTS.sum()


class AdsParams(SignalParams):
    """Windows in bins."""

    slope_windows: Annotated[tuple[Window, ...], Field(min_length=1, max_length=8)] = Field((10, 25, 50), description="bins")
    zscore_window: Annotated[int, Field(ge=MIN_PERIODS, le=100_000)] = Field(200, description="bins")
    blend_weights: Annotated[tuple[float, ...], Field(min_length=1)] = Field(
        (0.40, 0.35, 0.25), description="one a slope window, not normalised"
    )
    blend_scale: Annotated[float, Field(gt=0)] = Field(3.0, description="z units")
    slope_history: Literal["finite", "poison"] = Field(
        "finite", description="finite: a z window holds slopes that exist; poison: a missing slope spoils it until it has left"
    )
    mad_guard: Literal["relative", "absolute"] = Field(
        "relative", description="which spread of a z window counts as none: 1e-9 of its largest value, or 1e-12"
    )

    @model_validator(mode="after")
    def _agree(self) -> "AdsParams":
        if len(self.blend_weights) != len(self.slope_windows):
            raise ValueError(
                f"blend_weights has {len(self.blend_weights)} values and slope_windows {len(self.slope_windows)}; "
                "each window takes one weight"
            )
        return self


class SlopeNumbers(NamedTuple):
    """What the blend of slopes needs; arrays have one element a slope window."""

    windows: Ints
    blend: Floats
    scale: float
    zscore_window: int
    min_periods: int
    is_poisoned: bool
    is_relative: bool


class SlopeState(NamedTuple):
    """``ring`` (longest window,) last asymmetries, ``seen`` (1,) how many, ``z_*`` the slopes' z windows."""

    ring: Floats
    seen: Ints
    z_ring: Floats
    z_ordered: Floats
    z_seen: Ints


def make_slope_state(windows: tuple[int, ...], zscore_window: int) -> SlopeState:
    """The state before the first bin."""
    z = make_z_windows(len(windows), zscore_window)
    return SlopeState(np.zeros(max(windows)), np.zeros(1, np.int64), z.ring, z.ordered, z.seen)


@kernel
def combined_asymmetry(v_add: Floats, v_pull: Floats, band_weights: Floats) -> float:
    """Asymmetry of one bin over the three bands; positive where the bid side builds and the ask side pulls."""
    total = band_weights[0] * (side_gap(v_add, 1, 3) - side_gap(v_pull, 1, 3))
    total += band_weights[1] * (side_gap(v_add, 4, 11) - side_gap(v_pull, 4, 11))
    total += band_weights[2] * (side_gap(v_add, 12, 23) - side_gap(v_pull, 12, 23))
    return total


@kernel
def blend_slopes(state: SlopeState, c: float, p: SlopeNumbers) -> tuple[float, bool]:
    """Take a finite asymmetry in; the blend of its slopes' z-scores, and whether every one of them is there."""
    length = state.ring.shape[0]
    t = state.seen[0]
    state.ring[t % length] = c
    state.seen[0] = t + 1
    z_windows = ZWindows(state.z_ring, state.z_ordered, state.z_seen)
    total = 0.0
    is_ready = True
    for i in range(p.windows.shape[0]):
        window = p.windows[i]
        n = 0
        slope = 0.0
        if t + 1 >= window:
            slope = ring_slope(state.ring, t % length, window)
            n = take_in(z_windows, i, slope)
        if p.is_poisoned:
            if t < p.min_periods - 1:
                is_ready = False
                continue
            if t < p.zscore_window + window - 2:
                is_ready = False
                total = math.nan
                continue
        elif n < p.min_periods:
            is_ready = False
            continue
        z = robust_z(state.z_ordered[i], n, slope, p.is_relative)
        total += p.blend[i] * math.tanh(z / p.scale)
    if not (is_ready or p.is_poisoned):
        return 0.0, False
    return total, is_ready


class _AdsInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_pull: Floats


@kernel
def run(state: SlopeState, bins_seen: Ints, x: _AdsInputs, band_weights: Floats, p: SlopeNumbers, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of AdsSignal.output_dtype. A bin with a cell that is no number is left out."""
    for i in range(out.shape[0]):
        bins_seen[0] += 1
        c = combined_asymmetry(x.v_add[i], x.v_pull[i], band_weights)
        out[i]["sample_count"] = bins_seen[0]
        out[i]["combined_asym"] = c
        if math.isfinite(c):
            score, is_ready = blend_slopes(state, c, p)
            out[i]["score"] = score
            out[i]["ready"] = is_ready


class _AdsState(NamedTuple):
    bins_seen: Ints
    ring: Floats
    seen: Ints
    z_ring: Floats
    z_ordered: Floats
    z_seen: Ints


class Ads(Signal):
    """Asymmetric derivative slope."""

    name: ClassVar[str] = "ads"
    required_columns: ClassVar[tuple[str, ...]] = ("v_add", "v_pull")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.02, 0.05, 0.08, 0.10, 0.15, 0.20)
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype([*COMMON_FIELDS, ("combined_asym", "f8")])
    Params: ClassVar[type[BaseModel]] = AdsParams
    test_params: ClassVar[Any] = ({"zscore_window": 60},)
    params: AdsParams

    def __init__(self, params: AdsParams, context: SignalContext) -> None:
        require_rows(context, BAND_REACH, self.name)
        self._numbers = SlopeNumbers(
            np.array(params.slope_windows, np.int64),
            np.array(params.blend_weights),
            params.blend_scale,
            params.zscore_window,
            MIN_PERIODS,
            params.slope_history == "poison",
            params.mad_guard == "relative",
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _AdsState:
        return _AdsState(np.zeros(1, np.int64), *make_slope_state(self.params.slope_windows, self.params.zscore_window))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        state: _AdsState = self._state
        run(SlopeState(*state[1:]), state.bins_seen, _AdsInputs(x["v_add"], x["v_pull"]), BAND_WEIGHTS, self._numbers, out)

    @property
    def memory_bins(self) -> int:
        """The longest slope, then the z window."""
        return max(self.params.slope_windows) + self.params.zscore_window

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Spread of the asymmetry over all bins."""
        return {"combined_asym_std": float(np.std(outputs["combined_asym"]))} if len(outputs) else {}
