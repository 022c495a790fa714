"""`order_flow_imbalance`: what came to the best bid and left the best ask over the last bins, in typical sizes of the queues.

The paper adds up book events; datasets keep the best quotes at bin ends, so ours goes from bin to bin: orders that came and went
within a bin, or a price that left and returned, are not in it. The paper's slope of price on flow is 1 / (2 depth); dividing by the
recent mean depth makes flows of a thin and of a deep book comparable.

Source: R. Cont, A. Kukanov, S. Stoikov, "The price impact of order book events", Journal of Financial Econometrics 12 (2014).
"""

from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Ints, Outputs
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.quotes import QUOTE_FIELDS, Quotes, has_quotes, order_flow, quotes_of
from engine.signals.parts.sums import WindowSums, add, make_window_sums

Bins = Annotated[int, Field(ge=1, le=100_000)]


class OrderFlowImbalanceParams(SignalParams):
    """Windows in bins; those without sound quotes bring nothing."""

    flow_window_bins: Bins = Field(10, description="bins whose flow is added up")
    depth_window_bins: Bins = Field(600, description="bins of the mean size of the best queues")


class _OrderFlowImbalanceState(NamedTuple):
    bins_seen: Ints
    last: Ints  # (5,) bid, ask, bid size, ask size, and whether there are any
    flow_ring: Ints
    flow_sum: Ints
    depth_ring: Ints
    depth_sum: Ints
    known_ring: Ints  # 1 where the bin's quotes were sound
    known_sum: Ints


@kernel
def run(state: _OrderFlowImbalanceState, q: Quotes, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of OrderFlowImbalance.output_dtype."""
    flows = WindowSums(state.flow_ring, state.flow_sum)
    depths = WindowSums(state.depth_ring, state.depth_sum)
    known = WindowSums(state.known_ring, state.known_sum)
    last = state.last
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        if not has_quotes(q, i):
            last[4] = 0
            add(flows, 0)
            add(depths, 0)
            add(known, 0)
            continue
        bid, ask, bid_size, ask_size = q.bid[i], q.ask[i], q.bid_size[i], q.ask_size[i]
        flow = 0
        if last[4]:
            flow = order_flow(bid, ask, bid_size, ask_size, last[0], last[1], last[2], last[3])
        add(flows, flow)
        add(depths, bid_size + ask_size)
        add(known, 1)
        out[i]["score"] = flows.totals[0] * known.totals[0] / (0.5 * depths.totals[0])
        out[i]["ready"] = last[4] == 1
        last[0], last[1], last[2], last[3], last[4] = bid, ask, bid_size, ask_size, 1


class OrderFlowImbalance(Signal):
    """Order flow imbalance of the best quotes, in mean queue sizes."""

    name: ClassVar[str] = "order_flow_imbalance"
    required_fields: ClassVar[tuple[str, ...]] = QUOTE_FIELDS
    default_thresholds: ClassVar[tuple[float, ...]] = (0.25, 0.5, 1.0, 2.0)
    Params: ClassVar[type[BaseModel]] = OrderFlowImbalanceParams
    test_params: ClassVar[Any] = ({}, {"flow_window_bins": 7, "depth_window_bins": 40})
    params: OrderFlowImbalanceParams

    def _fresh_state(self) -> _OrderFlowImbalanceState:
        flows = make_window_sums(self.params.flow_window_bins)
        depths = (*make_window_sums(self.params.depth_window_bins), *make_window_sums(self.params.depth_window_bins))
        return _OrderFlowImbalanceState(np.zeros(1, np.int64), np.zeros(5, np.int64), *flows, *depths)

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, quotes_of(x), out)

    @property
    def memory_bins(self) -> int:
        """The longer window, and the bin before it."""
        return max(self.params.flow_window_bins, self.params.depth_window_bins) + 1
