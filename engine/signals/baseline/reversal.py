"""`reversal`: the mid's last move with its sign turned. What was pushed comes back.

Source: N. Jegadeesh, "Evidence of predictable behavior of security returns", Journal of Finance 45 (1990), for the effect; at a
second's range it is the bounce of the mid within the queues' life.
"""

from typing import Annotated, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Ints, Outputs
from engine.signals.base import SignalContext, require_tick
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.quotes import QUOTE_FIELDS, Quotes, has_quotes, quotes_of

NONE: Final = -(2**63)  # twice a mid that is not there


class ReversalParams(SignalParams):
    """How far back."""

    window_bins: Annotated[int, Field(ge=1, le=100_000)] = Field(10, description="bins of the move that is to come back")


class _ReversalState(NamedTuple):
    bins_seen: Ints
    mids: Ints  # (window_bins,) bid + ask, 1e-9 dollars, by bin modulo the window


@kernel
def run(state: _ReversalState, q: Quotes, tick_int: int, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of Reversal.output_dtype."""
    window = state.mids.shape[0]
    for i in range(out.shape[0]):
        place = state.bins_seen[0] % window
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        before = state.mids[place]
        now = NONE
        if has_quotes(q, i):
            now = q.bid[i] + q.ask[i]
            if before != NONE:
                out[i]["score"] = 0.5 * (before - now) / tick_int
                out[i]["ready"] = True
        state.mids[place] = now


class Reversal(Signal):
    """The mid some bins ago less the mid, ticks."""

    name: ClassVar[str] = "reversal"
    required_fields: ClassVar[tuple[str, ...]] = QUOTE_FIELDS
    default_thresholds: ClassVar[tuple[float, ...]] = (0.5, 1.0, 2.0, 3.0)
    Params: ClassVar[type[BaseModel]] = ReversalParams
    test_params: ClassVar[Any] = ({}, {"window_bins": 3})
    params: ReversalParams

    def __init__(self, params: ReversalParams, context: SignalContext) -> None:
        self._tick_int = require_tick(context, self.name)
        super().__init__(params, context)

    def _fresh_state(self) -> _ReversalState:
        return _ReversalState(np.zeros(1, np.int64), np.full(self.params.window_bins, NONE, np.int64))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, quotes_of(x), self._tick_int, out)

    @property
    def memory_bins(self) -> int:
        """The window."""
        return self.params.window_bins
