"""`queue_imbalance`: size at the best bid less size at the best ask, over both. The longer queue is not the one that breaks.

Source: M. Gould, J. Bonart, "Queue imbalance as a one-tick-ahead price predictor in a limit order book", Market Microstructure and
Liquidity 2 (2016), eq. 3.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from engine.jit import kernel
from engine.schema import Ints, Outputs
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.quotes import QUOTE_FIELDS, Quotes, has_quotes, quotes_of, size_imbalance


class QueueImbalanceParams(SignalParams):
    """None."""


class _QueueImbalanceState(NamedTuple):
    bins_seen: Ints


@kernel
def run(state: _QueueImbalanceState, q: Quotes, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of QueueImbalance.output_dtype."""
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        if has_quotes(q, i):
            out[i]["score"] = size_imbalance(q.bid_size[i], q.ask_size[i])
            out[i]["ready"] = True


class QueueImbalance(Signal):
    """Imbalance of the best queues, -1..1."""

    name: ClassVar[str] = "queue_imbalance"
    required_fields: ClassVar[tuple[str, ...]] = QUOTE_FIELDS
    default_thresholds: ClassVar[tuple[float, ...]] = (0.2, 0.4, 0.6, 0.8)
    Params: ClassVar[type[BaseModel]] = QueueImbalanceParams
    params: QueueImbalanceParams

    def _fresh_state(self) -> _QueueImbalanceState:
        return _QueueImbalanceState(np.zeros(1, np.int64))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, quotes_of(x), out)

    @property
    def memory_bins(self) -> int:
        """None beyond the bin."""
        return 1
