"""`pfp`: activity that spreads from the touch to deeper rows, or back, shows aggressive intent on that side.

Source: signals.md section 3.2; section 14 items 2, 12 and 22.
"""

import math
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.errors import ConfigError
from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SCORE_DTYPE, SignalContext, require_rows
from engine.signals.parts.averages import ema_memory
from engine.signals.parts.bands import mean_over
from engine.signals.parts.calibrated import (
    REFERENCE_FALLBACK,
    CalibratedParams,
    CalibratedSignal,
    percentile_thresholds,
    signed_percentiles,
)

N_ZONES: Final = 4  # inner bid, inner ask, outer bid, outer ask
N_FLOWS: Final = 2  # adding and filling; pulling
N_EMAS: Final = 3  # forward product, reverse product, product of the same bin

Rows = Annotated[tuple[int, ...], Field(min_length=1)]


class PfpParams(CalibratedParams):
    """Zones in ticks from spot, times in bins."""

    inner_bid_k: Rows = Field((-3, -2, -1), description="ticks from spot")
    inner_ask_k: Rows = Field((1, 2, 3), description="ticks from spot")
    outer_bid_k: Rows = Field(tuple(range(-12, -4)), description="ticks from spot")
    outer_ask_k: Rows = Field(tuple(range(5, 13)), description="ticks from spot")
    lag_bins: Annotated[int, Field(ge=0, le=10_000)] = Field(5, description="bins between the zones")
    ema_alpha: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="weight of the newest bin")
    eps: Annotated[float, Field(gt=0)] = Field(1e-12, description="activity squared; read with normaliser: signed_eps")
    add_weight: float = Field(0.6, description="of adding and filling, not normalised")
    pull_weight: float = Field(0.4, description="of pulling, not normalised")
    warmup_bins: Annotated[int, Field(ge=0, le=100_000)] = Field(300, description="bins left out of the thresholds")
    lag_pairing: Literal["inner_leads", "outer_leads"] = Field(
        "inner_leads",
        description="inner_leads: inner activity before outer, less the reverse; outer_leads: outer activity before inner",
    )
    normaliser: Literal["absolute_flow", "signed_eps"] = Field(
        "absolute_flow", description="what the products are divided by: their mean size, or their mean plus eps"
    )


class PfpNumbers(NamedTuple):
    """What the kernel needs beside the zones."""

    lag: int
    alpha: float
    eps: float
    add_weight: float
    pull_weight: float
    inner_leads: bool
    is_absolute: bool


class Zones(NamedTuple):
    """Columns of each zone by index."""

    inner_bid: Ints
    inner_ask: Ints
    outer_bid: Ints
    outer_ask: Ints


class PfpState(NamedTuple):
    """``ring`` (lag + 1, flows, zones) zone means, ``seen`` (1,) bins in it, ``ema`` (flows, sides, 3) products."""

    ring: Floats
    seen: Ints
    ema: Floats


def make_pfp_state(lag: int) -> PfpState:
    """The state before the first bin."""
    return PfpState(np.zeros((lag + 1, N_FLOWS, N_ZONES)), np.zeros(1, np.int64), np.zeros((N_FLOWS, 2, N_EMAS)))


@kernel
def _zone_means(state: PfpState, place: int, v_add: Floats, v_pull: Floats, v_fill: Floats, zones: Zones) -> bool:
    """Leave one bin's means in the ring; whether all of them are numbers."""
    adds = state.ring[place, 0]
    adds[0] = mean_over(v_add, zones.inner_bid) + mean_over(v_fill, zones.inner_bid)
    adds[1] = mean_over(v_add, zones.inner_ask) + mean_over(v_fill, zones.inner_ask)
    adds[2] = mean_over(v_add, zones.outer_bid) + mean_over(v_fill, zones.outer_bid)
    adds[3] = mean_over(v_add, zones.outer_ask) + mean_over(v_fill, zones.outer_ask)
    pulls = state.ring[place, 1]
    pulls[0] = mean_over(v_pull, zones.inner_bid)
    pulls[1] = mean_over(v_pull, zones.inner_ask)
    pulls[2] = mean_over(v_pull, zones.outer_bid)
    pulls[3] = mean_over(v_pull, zones.outer_ask)
    total = 0.0
    for zone in range(N_ZONES):
        total += adds[zone] + pulls[zone]
    return math.isfinite(total)


@kernel
def _lead(state: PfpState, flow: int, side: int, now: int, before: int, p: PfpNumbers) -> float:
    """How far one side's inner zone leads its outer zone; ``before`` is the place of the lagged bin, -1 where there is none."""
    inner = state.ring[now, flow, side]
    outer = state.ring[now, flow, 2 + side]
    forward = 0.0
    reverse = 0.0
    if before >= 0:
        forward = state.ring[before, flow, side] * outer
        reverse = inner * state.ring[before, flow, 2 + side]
    same = inner * outer
    if p.is_absolute:
        same = abs(same)
    ema = state.ema[flow, side]
    if state.seen[0] == 0:
        ema[0] = forward
        ema[1] = reverse
        ema[2] = same
    else:
        ema[0] = p.alpha * forward + (1.0 - p.alpha) * ema[0]
        ema[1] = p.alpha * reverse + (1.0 - p.alpha) * ema[1]
        ema[2] = p.alpha * same + (1.0 - p.alpha) * ema[2]
    lead = ema[0] - ema[1] if p.inner_leads else ema[1]
    if p.is_absolute:
        return lead / ema[2] if ema[2] > 0.0 else 0.0
    return lead / (ema[2] + p.eps)


@kernel
def front_score(state: PfpState, v_add: Floats, v_pull: Floats, v_fill: Floats, zones: Zones, p: PfpNumbers) -> float:
    """One bin's score; NaN, and nothing taken in, where a cell is no number."""
    length = p.lag + 1
    t = state.seen[0]
    now = t % length
    if not _zone_means(state, now, v_add, v_pull, v_fill, zones):
        return math.nan
    before = (t - p.lag) % length if t >= p.lag else -1
    add = _lead(state, 0, 0, now, before, p) - _lead(state, 0, 1, now, before, p)
    pull = _lead(state, 1, 1, now, before, p) - _lead(state, 1, 0, now, before, p)
    state.seen[0] = t + 1
    return p.add_weight * add + p.pull_weight * pull


class _PfpInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_pull: Floats
    v_fill: Floats


@kernel
def run(state: PfpState, bins_seen: Ints, x: _PfpInputs, zones: Zones, p: PfpNumbers, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of SCORE_DTYPE."""
    for i in range(out.shape[0]):
        bins_seen[0] += 1
        out[i]["sample_count"] = bins_seen[0]
        score = front_score(state, x.v_add[i], x.v_pull[i], x.v_fill[i], zones, p)
        if math.isfinite(score):
            out[i]["score"] = score
            out[i]["ready"] = state.seen[0] > p.lag


class _PfpKept(NamedTuple):
    bins_seen: Ints
    ring: Floats
    seen: Ints
    ema: Floats


def make_zones(params: PfpParams, context: SignalContext) -> Zones:
    """The zones as columns.

    Raises
    ------
    ConfigError
        A row is not on the grid, or a side's zone holds a row of the other.
    """
    columns = []
    for name, sign in (("inner_bid_k", -1), ("inner_ask_k", 1), ("outer_bid_k", -1), ("outer_ask_k", 1)):
        rows = getattr(params, name)
        require_rows(context, max(abs(k) for k in rows), f"{name} of pfp")
        if any(k * sign <= 0 for k in rows):
            raise ConfigError(
                f"{name} was {list(rows)}; it must hold {'bid' if sign < 0 else 'ask'} rows only (k {'<' if sign < 0 else '>'} 0)"
            )
        columns.append(np.array(sorted(rows, key=abs), np.int64) + context.radius)  # outwards, so that sides mirror
    return Zones(*columns)


def make_numbers(params: PfpParams) -> PfpNumbers:
    """The kernel's numbers."""
    return PfpNumbers(
        params.lag_bins,
        params.ema_alpha,
        params.eps,
        params.add_weight,
        params.pull_weight,
        params.lag_pairing == "inner_leads",
        params.normaliser == "absolute_flow",
    )


class Pfp(CalibratedSignal):
    """Pressure front propagation."""

    name: ClassVar[str] = "pfp"
    required_columns: ClassVar[tuple[str, ...]] = ("v_add", "v_pull", "v_fill")
    default_thresholds: ClassVar[tuple[float, ...]] = REFERENCE_FALLBACK
    output_dtype: ClassVar[np.dtype[np.void]] = SCORE_DTYPE
    Params: ClassVar[type[BaseModel]] = PfpParams
    params: PfpParams

    def __init__(self, params: PfpParams, context: SignalContext) -> None:
        self._zones = make_zones(params, context)
        self._numbers = make_numbers(params)
        super().__init__(params, context)

    def _fresh_state(self) -> _PfpKept:
        return _PfpKept(np.zeros(1, np.int64), *make_pfp_state(self.params.lag_bins))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        state: _PfpKept = self._state
        inputs = _PfpInputs(x["v_add"], x["v_pull"], x["v_fill"])
        run(PfpState(*state[1:]), state.bins_seen, inputs, self._zones, self._numbers, out)

    @property
    def memory_bins(self) -> int:
        """Until the first bin weighs less than the rounding of the averages."""
        return self.params.lag_bins + ema_memory(self.params.ema_alpha)

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """Percentiles of the score."""
        return percentile_thresholds(self._sample(score, self.params.warmup_bins), self.default_thresholds)

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Thresholds and percentiles of the score."""
        score = outputs["score"]
        return {
            "adaptive_thresholds": list(self.thresholds(score)),
            "signal_pcts": signed_percentiles(score[self.params.warmup_bins :]),
        }
