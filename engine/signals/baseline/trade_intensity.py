"""`trade_intensity`: how fast market orders buy against how fast they sell, each trade forgotten exponentially.

The excitation of a Hawkes process with an exponential kernel, sum of size * exp(-age / tau), once for buys and once for sells; the
score is their difference over their sum and one contract, so that a silent market says 0. Bins are the clock: a bin's trades count
as made at its end. The parameters are not fitted.

Source: E. Bacry, I. Mastromatteo, J.-F. Muzy, "Hawkes processes in finance", Market Microstructure and Liquidity 1 (2015), section 2;
A. Hawkes, Biometrika 58 (1971).
"""

import math
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.averages import ema_memory


class TradeIntensityParams(SignalParams):
    """How fast a trade is forgotten."""

    decay_ms: Annotated[float, Field(gt=0, le=3_600_000)] = Field(1000.0, description="time to 1/e, milliseconds")


class _TradeIntensityState(NamedTuple):
    bins_seen: Ints
    excited: Floats  # (2,) contracts bought and sold, decayed


class _Trades(NamedTuple):
    bought: Ints  # (n,) contracts by aggressor
    sold: Ints
    quality: NDArray[np.uint16]


@kernel
def run(state: _TradeIntensityState, x: _Trades, keeps: float, out: Outputs) -> None:
    """Many bins; ``keeps`` is what a bin leaves of the one before."""
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        bought = keeps * state.excited[0] + x.bought[i]
        sold = keeps * state.excited[1] + x.sold[i]
        state.excited[0] = bought
        state.excited[1] = sold
        if x.quality[i] == 0:
            out[i]["score"] = (bought - sold) / (bought + sold + 1.0)
            out[i]["ready"] = True
        out[i]["buy_intensity"] = bought
        out[i]["sell_intensity"] = sold


class TradeIntensity(Signal):
    """Exponentially decaying intensity of market orders, buys against sells."""

    name: ClassVar[str] = "trade_intensity"
    required_fields: ClassVar[tuple[str, ...]] = ("buy_volume", "sell_volume", "quality")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.2, 0.4, 0.6, 0.8)
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype([*COMMON_FIELDS, ("buy_intensity", "f8"), ("sell_intensity", "f8")])
    Params: ClassVar[type[BaseModel]] = TradeIntensityParams
    test_params: ClassVar[Any] = ({}, {"decay_ms": 350.0})
    params: TradeIntensityParams

    def __init__(self, params: TradeIntensityParams, context: SignalContext) -> None:
        self._keeps = math.exp(-context.cell_width_ms / params.decay_ms)
        super().__init__(params, context)

    def _fresh_state(self) -> _TradeIntensityState:
        return _TradeIntensityState(np.zeros(1, np.int64), np.zeros(2))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, _Trades(x["buy_volume"], x["sell_volume"], x["quality"]), self._keeps, out)

    @property
    def memory_bins(self) -> int:
        """Until what a trade leaves is less than the last digit."""
        return ema_memory(1.0 - self._keeps)
