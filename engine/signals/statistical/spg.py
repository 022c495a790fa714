"""`spg`: walls, where pressure rises away from spot, repel the price; vacuum that grows away from spot draws it.

Source: signals.md section 3.9; section 14 items 2, 11 and 22. The reference takes gradients along k, the same direction on both
sides: then a book and its mirror image get the same score. The sound form takes them outwards from spot.
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
from engine.signals.parts.averages import ema_memory
from engine.signals.parts.calibrated import REFERENCE_FALLBACK, signed_percentiles
from engine.signals.parts.robust_z import ZWindows
from engine.signals.parts.scaled import SCALED_THRESHOLDS, ScaledParams, ScaledSignal, in_typical_sizes

MIN_THRESHOLD: Final = 1e-8

Range = tuple[int, int]
Span = Annotated[int, Field(ge=1, le=100_000)]


class SpgParams(ScaledParams):
    """Spans in bins, rows in ticks from spot."""

    fast_span: Span = Field(5, description="bins")
    slow_span: Span = Field(20, description="bins")
    curv_k: Annotated[tuple[int, ...], Field(min_length=1)] = Field((-2, -1, 0, 1, 2), description="rows of the curvature")
    curv_span: Span = Field(10, description="bins")
    blend_smooth: float = 0.7
    blend_curv: float = 0.3
    ema_fast_weight: float = 0.6
    ema_slow_weight: float = 0.4
    ask_band: Range = Field((1, 16), description="first and last k above spot")
    bid_band: Range = Field((-16, -1), description="first and last k below spot")
    gradient_sense: Literal["outward", "along_k"] = Field(
        "outward", description="outward: per side, away from spot, rows weigh 1/|k|; along_k: one direction, blind to the mirror"
    )


class _SpgState(NamedTuple):
    bins_seen: Ints
    ema: Floats  # (3,) fast, slow, curvature
    seen: Ints
    size_ring: Floats
    size_ordered: Floats
    size_seen: Ints


class _SpgInputs(NamedTuple):
    pressure: Floats  # (n, rows)
    vacuum: Floats


class _SpgRows(NamedTuple):
    """Columns by index, outwards, with weights that sum to 1."""

    bid: Ints
    ask: Ints
    bid_weights: Floats
    ask_weights: Floats
    curv: Ints


class _SpgNumbers(NamedTuple):
    alpha_fast: float
    alpha_slow: float
    alpha_curv: float
    fast_weight: float
    slow_weight: float
    blend_smooth: float
    blend_curv: float
    is_outward: bool
    is_scaled: bool
    scale_min_periods: int


@kernel
def _gradient(row: Floats, r: int) -> float:
    """Change of a row per tick of k at column ``r``, one-sided at the grid's ends."""
    last = row.shape[0] - 1
    if r == 0:
        return row[1] - row[0]
    if r == last:
        return row[last] - row[last - 1]
    return 0.5 * (row[r + 1] - row[r - 1])


@kernel
def _mean_gradient(row: Floats, columns: Ints, weights: Floats) -> float:
    total = 0.0
    for i in range(columns.shape[0]):
        total += weights[i] * _gradient(row, columns[i])
    return total


@kernel
def _curvature(row: Floats, columns: Ints, is_outward: bool) -> float:
    """Mean second difference; outward: that of the rows above less that of the rows below."""
    centre = row.shape[0] // 2
    total = 0.0
    for i in range(columns.shape[0]):
        r = columns[i]
        bend = (row[r + 1] - row[r]) + (row[r - 1] - row[r])
        if is_outward and r < centre:
            bend = -bend
        elif is_outward and r == centre:
            bend = 0.0
        total += bend
    return total / columns.shape[0]


@kernel
def run(state: _SpgState, x: _SpgInputs, rows: _SpgRows, p: _SpgNumbers, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of Spg.output_dtype."""
    windows = ZWindows(state.size_ring, state.size_ordered, state.size_seen)
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        p_bid = _mean_gradient(x.pressure[i], rows.bid, rows.bid_weights)
        p_ask = _mean_gradient(x.pressure[i], rows.ask, rows.ask_weights)
        v_bid = _mean_gradient(x.vacuum[i], rows.bid, rows.bid_weights)
        v_ask = _mean_gradient(x.vacuum[i], rows.ask, rows.ask_weights)
        if p.is_outward:  # below spot, outwards is against k
            p_bid = -p_bid
            v_bid = -v_bid
        wall_balance = p_ask - p_bid
        pull = v_ask - v_bid
        net = pull - wall_balance if p.is_outward else pull + wall_balance
        bend = -_curvature(x.pressure[i], rows.curv, p.is_outward)
        if not math.isfinite(net + bend):
            continue
        if state.seen[0] == 0:
            state.ema[0] = net
            state.ema[1] = net
            state.ema[2] = bend
        else:
            state.ema[0] = p.alpha_fast * net + (1.0 - p.alpha_fast) * state.ema[0]
            state.ema[1] = p.alpha_slow * net + (1.0 - p.alpha_slow) * state.ema[1]
            state.ema[2] = p.alpha_curv * bend + (1.0 - p.alpha_curv) * state.ema[2]
        state.seen[0] += 1
        smooth = p.fast_weight * state.ema[0] + p.slow_weight * state.ema[1]
        value = p.blend_smooth * smooth + p.blend_curv * state.ema[2]
        out[i]["net"] = net
        if p.is_scaled:
            score, is_ready = in_typical_sizes(windows, value, p.scale_min_periods)
            out[i]["score"] = score
            out[i]["ready"] = is_ready
        else:
            out[i]["score"] = value
            out[i]["ready"] = True


def _side(name: str, given: Range, sign: int, context: SignalContext) -> Ints:
    """Columns of a side, outwards."""
    if given[0] > given[1] or any(k * sign <= 0 for k in given):
        side = "below" if sign < 0 else "above"
        raise ConfigError(f"{name} was {list(given)}; give the first and the last k, ascending and both {side} 0")
    require_rows(context, max(abs(k) for k in given), f"{name} of spg")
    return np.array(sorted(range(given[0], given[1] + 1), key=abs), np.int64)


def _shares(side: Ints, by_distance: bool) -> Floats:
    """Weights of a side's rows, summing to 1."""
    weights = 1.0 / np.abs(side) if by_distance else np.ones(len(side))
    return weights / weights.sum()


class Spg(ScaledSignal):
    """Spatial pressure gradient.

    Raises
    ------
    ConfigError
        Where rows are not on their side of the grid, or the curvature has no neighbour.
    """

    name: ClassVar[str] = "spg"
    required_columns: ClassVar[tuple[str, ...]] = ("pressure_variant", "vacuum_variant")
    default_thresholds: ClassVar[tuple[float, ...]] = SCALED_THRESHOLDS
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype([*COMMON_FIELDS, ("net", "f8")])
    Params: ClassVar[type[BaseModel]] = SpgParams
    test_params: ClassVar[Any] = ({"scale_window_bins": 80, "scale_min_periods": 20},)
    params: SpgParams

    def __init__(self, params: SpgParams, context: SignalContext) -> None:
        bid, ask = _side("bid_band", params.bid_band, -1, context), _side("ask_band", params.ask_band, 1, context)
        require_rows(context, max(abs(k) for k in params.curv_k) + 1, "curv_k of spg, with its neighbours,")
        is_outward = params.gradient_sense == "outward"
        self._rows = _SpgRows(
            bid + context.radius,
            ask + context.radius,
            _shares(bid, is_outward),
            _shares(ask, is_outward),
            np.array(sorted(params.curv_k, key=abs), np.int64) + context.radius,
        )
        self._numbers = _SpgNumbers(
            2.0 / (params.fast_span + 1.0),
            2.0 / (params.slow_span + 1.0),
            2.0 / (params.curv_span + 1.0),
            params.ema_fast_weight,
            params.ema_slow_weight,
            params.blend_smooth,
            params.blend_curv,
            is_outward,
            params.normalisation == "rolling_median",
            params.scale_min_periods,
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _SpgState:
        return _SpgState(np.zeros(1, np.int64), np.zeros(3), np.zeros(1, np.int64), *self.scale_windows())

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, _SpgInputs(x["pressure_variant"], x["vacuum_variant"]), self._rows, self._numbers, out)

    @property
    def memory_bins(self) -> int:
        """Until the averages have forgotten their start, then the window of the scale."""
        slowest = max(self.params.fast_span, self.params.slow_span, self.params.curv_span)
        return ema_memory(2.0 / (slowest + 1.0)) + (self.params.scale_window_bins if self.is_scaled else 0)

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """Levels from the quartiles and tails of the signed score; the fallback where they are all nil."""
        sample = self._sample(score, self.params.warmup_bins)
        sample = sample[~np.isnan(sample)]
        if not len(sample):
            return self.fallback
        q5, q25, q75, q95 = (float(q) for q in np.percentile(sample, (5, 25, 75, 95)))
        spread, a75, a95 = q75 - q25, max(abs(q25), abs(q75)), max(abs(q5), abs(q95))
        levels = {round(level, 6) for level in (0.5 * spread, spread, a75, 0.5 * (a75 + a95), a95)}
        return tuple(sorted(level for level in levels if level > MIN_THRESHOLD)) or REFERENCE_FALLBACK

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Thresholds, percentiles of the score, figures of the net gradient."""
        score = outputs["score"]
        found: dict[str, Any] = {
            "adaptive_thresholds": list(self.thresholds(score)),
            "signal_pcts": signed_percentiles(score[self.params.warmup_bins :]),
        }
        if len(outputs):
            found |= {"net_signal_mean": float(np.mean(outputs["net"])), "net_signal_std": float(np.std(outputs["net"]))}
        return found
