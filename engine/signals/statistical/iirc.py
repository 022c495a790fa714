"""`iirc`: momentum of adding against pulling and filling, one side against the other.

Source: signals.md section 3.5; section 14 items 2 and 22.
"""

import math
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.errors import ConfigError
from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext, require_rows
from engine.signals.parts.calibrated import CalibratedParams, CalibratedSignal, signed_percentiles
from engine.signals.parts.robust_z import ZWindows, make_z_windows, median_of, take_in
from engine.signals.parts.slopes import ring_slope

LARGEST: Final = float(np.finfo(np.float64).max)
# Above these 95th percentiles of the score's size, these thresholds join.
EXTENSIONS: Final = ((0.1, (0.08, 0.10)), (0.5, (0.20, 0.50)))

Range = tuple[int, int]


class IircParams(CalibratedParams):
    """Rows in ticks from spot, windows in bins."""

    bid_k_range: Range = Field((-16, -1), description="first and last k of the bid side")
    ask_k_range: Range = Field((1, 16), description="first and last k of the ask side")
    eps: Annotated[float, Field(gt=0)] = Field(1.0, description="velocity added to what leaves the book")
    fast_window: Annotated[int, Field(ge=2, le=100_000)] = Field(10, description="bins")
    slow_window: Annotated[int, Field(ge=2, le=100_000)] = Field(30, description="bins")
    fast_weight: float = 0.6
    slow_weight: float = 0.4
    noise_floor_source: Literal["rolling", "absolute"] = Field(
        "rolling", description="what an imbalance must exceed: a share of its own recent median size, or a fixed log ratio"
    )
    noise_floor: Annotated[float, Field(ge=0)] = Field(0.1, description="log ratio; read with noise_floor_source: absolute")
    noise_floor_share: Annotated[float, Field(ge=0)] = Field(0.25, description="of the median size; read with rolling")
    noise_floor_window: Annotated[int, Field(ge=30, le=100_000)] = Field(600, description="bins of that median")


class _IircState(NamedTuple):
    bins_seen: Ints
    ring: Floats  # (slower window,) imbalances
    is_number: NDArray[np.bool_]  # beside the ring
    seen: Ints
    size_ring: Floats
    size_ordered: Floats
    size_seen: Ints


class _IircInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_pull: Floats
    v_fill: Floats


class _IircNumbers(NamedTuple):
    bid_near: int  # columns, from spot outwards
    bid_far: int
    ask_near: int
    ask_far: int
    eps: float
    fast_window: int
    slow_window: int
    fast_weight: float
    slow_weight: float
    is_rolling: bool
    floor: float


@kernel
def _ratio(v_add: Floats, v_pull: Floats, v_fill: Floats, near: int, far: int, eps: float) -> float:
    """What comes to a side over what leaves it, rows ``near`` to ``far`` by column; NaN where a cell is no number."""
    step = 1 if far >= near else -1
    come = 0.0
    pulled = 0.0
    filled = 0.0
    for r in range(near, far + step, step):
        come += v_add[r]
        pulled += v_pull[r]
        filled += v_fill[r]
    if not math.isfinite(come + pulled + filled):
        return math.nan
    return come / (pulled + filled + eps)


@kernel
def _slope(state: _IircState, newest: int, window: int) -> float:
    """Slope of the last imbalances; NaN where one of them is no number."""
    length = state.ring.shape[0]
    place = newest
    for _ in range(window):
        if not state.is_number[place]:
            return math.nan
        place = place - 1 if place > 0 else length - 1
    return ring_slope(state.ring, newest, window)


@kernel
def run(state: _IircState, x: _IircInputs, p: _IircNumbers, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of Iirc.output_dtype."""
    sizes = ZWindows(state.size_ring, state.size_ordered, state.size_seen)
    length = state.ring.shape[0]
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        bid = _ratio(x.v_add[i], x.v_pull[i], x.v_fill[i], p.bid_near, p.bid_far, p.eps)
        ask = _ratio(x.v_add[i], x.v_pull[i], x.v_fill[i], p.ask_near, p.ask_far, p.eps)
        if not math.isfinite(bid + ask):
            continue
        # A ratio below -1 has no logarithm: its bin is kept as a hole, and windows that touch it give nothing.
        is_number = bid > -1.0 and ask > -1.0
        imbalance = math.log(bid + 1.0) - math.log(ask + 1.0) if is_number else 0.0
        t = state.seen[0]
        place = t % length
        state.ring[place] = imbalance
        state.is_number[place] = is_number
        state.seen[0] = t + 1
        out[i]["imbalance"] = imbalance if is_number else math.nan
        floor = p.floor
        if p.is_rolling:
            if is_number:
                take_in(sizes, 0, abs(imbalance))
            if state.size_seen[0] > 0:
                floor = p.floor * median_of(sizes, 0)
        is_ready = t + 1 >= length
        out[i]["ready"] = is_ready
        if is_ready and is_number and abs(imbalance) >= floor:
            d = p.fast_weight * _slope(state, place, p.fast_window) + p.slow_weight * _slope(state, place, p.slow_window)
            if not math.isnan(d):
                out[i]["score"] = min(LARGEST, max(-LARGEST, d))


def _columns(name: str, given: Range, sign: int, radius: int) -> Range:
    """First and last column of a side, from spot outwards."""
    if given[0] > given[1] or any(k * sign <= 0 for k in given):
        side = "below" if sign < 0 else "above"
        raise ConfigError(f"{name} was {list(given)}; give the first and the last k, ascending and both {side} 0")
    near, far = (given[1], given[0]) if sign < 0 else given
    return near + radius, far + radius


class Iirc(CalibratedSignal):
    """Intensity imbalance rate of change.

    Raises
    ------
    ConfigError
        Where a side's rows are not on that side of the grid.
    """

    name: ClassVar[str] = "iirc"
    required_columns: ClassVar[tuple[str, ...]] = ("v_add", "v_pull", "v_fill")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.001, 0.005, 0.01, 0.02, 0.05)
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype([*COMMON_FIELDS, ("imbalance", "f8")])
    Params: ClassVar[type[BaseModel]] = IircParams
    params: IircParams

    def __init__(self, params: IircParams, context: SignalContext) -> None:
        require_rows(context, max(abs(k) for k in (*params.bid_k_range, *params.ask_k_range)), self.name)
        is_rolling = params.noise_floor_source == "rolling"
        self._numbers = _IircNumbers(
            *_columns("bid_k_range", params.bid_k_range, -1, context.radius),
            *_columns("ask_k_range", params.ask_k_range, 1, context.radius),
            params.eps,
            params.fast_window,
            params.slow_window,
            params.fast_weight,
            params.slow_weight,
            is_rolling,
            params.noise_floor_share if is_rolling else params.noise_floor,
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _IircState:
        p = self.params
        length = max(p.fast_window, p.slow_window)
        sizes = make_z_windows(1, p.noise_floor_window if p.noise_floor_source == "rolling" else 1)
        return _IircState(np.zeros(1, np.int64), np.zeros(length), np.zeros(length, np.bool_), np.zeros(1, np.int64), *sizes)

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, _IircInputs(x["v_add"], x["v_pull"], x["v_fill"]), self._numbers, out)

    @property
    def memory_bins(self) -> int:
        """The longest of its windows."""
        p = self.params
        floor = p.noise_floor_window if p.noise_floor_source == "rolling" else 1
        return max(p.fast_window, p.slow_window, floor)

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """The fixed ones, and more where the scores are large."""
        sizes = np.abs(self._sample(score, 0))
        sizes = sizes[sizes > 0]
        q95 = float(np.percentile(sizes, 95)) if len(sizes) else 0.0
        more = [level for limit, levels in EXTENSIONS if q95 > limit for level in levels]
        return tuple(sorted({*self.default_thresholds, *more}))

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Figures of the imbalance and of the scores that are not 0."""
        score = outputs["score"]
        nonzero = score[score != 0]
        imbalance = outputs["imbalance"][~np.isnan(outputs["imbalance"])]
        return {
            "n_nonzero": len(nonzero),
            "n_total": len(score),
            "nonzero_pcts": signed_percentiles(nonzero),
            "imbalance_mean": float(np.mean(imbalance)) if len(imbalance) else None,
            "imbalance_std": float(np.std(imbalance)) if len(imbalance) else None,
            "adaptive_thresholds": list(self.thresholds(score)),
        }
