"""`weighted_mid`: how far the size-weighted mid lies from the mid, in ticks.

The weighted mid is (bid * ask_size + ask * bid_size) / (bid_size + ask_size), so its distance from the mid is half the spread times
the imbalance of the best queues.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from engine.jit import kernel
from engine.schema import Ints, Outputs
from engine.signals.base import SignalContext, require_tick
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.quotes import QUOTE_FIELDS, Quotes, has_quotes, quotes_of, size_imbalance


class WeightedMidParams(SignalParams):
    """None."""


class _WeightedMidState(NamedTuple):
    bins_seen: Ints


@kernel
def run(state: _WeightedMidState, q: Quotes, tick_int: int, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of WeightedMid.output_dtype."""
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        if has_quotes(q, i):
            half_spread = 0.5 * (q.ask[i] - q.bid[i]) / tick_int
            out[i]["score"] = half_spread * size_imbalance(q.bid_size[i], q.ask_size[i])
            out[i]["ready"] = True


class WeightedMid(Signal):
    """Size-weighted mid less mid, ticks."""

    name: ClassVar[str] = "weighted_mid"
    required_fields: ClassVar[tuple[str, ...]] = QUOTE_FIELDS
    default_thresholds: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.3, 0.4)  # half a tick is the most at a spread of one
    Params: ClassVar[type[BaseModel]] = WeightedMidParams
    params: WeightedMidParams

    def __init__(self, params: WeightedMidParams, context: SignalContext) -> None:
        self._tick_int = require_tick(context, self.name)
        super().__init__(params, context)

    def _fresh_state(self) -> _WeightedMidState:
        return _WeightedMidState(np.zeros(1, np.int64))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, quotes_of(x), self._tick_int, out)

    @property
    def memory_bins(self) -> int:
        """None beyond the bin."""
        return 1
