"""`multi_level_ofi`: order flow imbalance of the ticks behind the touch too, nearer ones weighing more.

Level m lies m - 1 ticks behind the best price, empty or not, so that all levels move with the touch; the flow of each is that of
the best quotes one tick further in, from bin end to bin end. The paper fits a weight a level; ours weigh 1 / m and fit nothing.

Source: R. Cont, A. Kukanov, S. Stoikov (2014), eq. 2; for the levels K. Xu, M. Gould, S. Howison, "Multi-level order-flow imbalance
in a limit order book", Market Microstructure and Liquidity 4 (2018), section 3.
"""

from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, require_rows, require_tick
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.quotes import QUOTE_FIELDS, Quotes, has_quotes, order_flow, quotes_of
from engine.signals.parts.sums import WindowSums, add, make_window_sums

Bins = Annotated[int, Field(ge=1, le=100_000)]


class MultiLevelOfiParams(SignalParams):
    """Windows in bins; those without sound quotes bring nothing."""

    n_levels: Annotated[int, Field(ge=2, le=10)] = Field(5, description="ticks a side, the best one among them")
    flow_window_bins: Bins = Field(10, description="bins whose flow is added up")
    depth_window_bins: Bins = Field(600, description="bins of the mean size of a level")


class _MultiLevelOfiState(NamedTuple):
    bins_seen: Ints
    last: Ints  # (3,) bid, ask, and whether there are any
    sizes: Ints  # (2, n_levels) contracts at the last bin's levels, bid then ask
    now: Ints  # (2, n_levels) room for those of the bin at hand
    flow_ring: Ints
    flow_sum: Ints
    depth_ring: Ints
    depth_sum: Ints
    known_ring: Ints  # 1 where the bin's quotes were sound
    known_sum: Ints


class _Depths(NamedTuple):
    bid: Floats  # (n, rows) contracts
    ask: Floats
    spot: Ints  # (n,) 1e-9 dollars


@kernel
def _read_levels(d: _Depths, q: Quotes, i: int, tick_int: int, now: Ints) -> bool:
    """Sizes of bin ``i``'s levels into ``now``; whether each lies on the grid and is a number."""
    n_levels = now.shape[1]
    rows = d.bid.shape[1]
    centre = rows // 2
    bid_row = centre + (q.bid[i] - d.spot[i]) // tick_int
    ask_row = centre + (q.ask[i] - d.spot[i]) // tick_int
    if bid_row - n_levels + 1 < 0 or bid_row >= rows or ask_row < 0 or ask_row + n_levels - 1 >= rows:
        return False
    for m in range(n_levels):
        bid_size = d.bid[i, bid_row - m]
        ask_size = d.ask[i, ask_row + m]
        if not (abs(bid_size) < 1e15 and abs(ask_size) < 1e15):
            return False
        now[0, m] = round(bid_size)
        now[1, m] = round(ask_size)
    return True


@kernel
def run(state: _MultiLevelOfiState, q: Quotes, d: _Depths, tick_int: int, scale: int, out: Outputs) -> None:
    """Many bins; ``scale`` is divisible by every level's number, so that weights of 1 / m add up exactly."""
    flows = WindowSums(state.flow_ring, state.flow_sum)
    depths = WindowSums(state.depth_ring, state.depth_sum)
    known = WindowSums(state.known_ring, state.known_sum)
    last, sizes, now = state.last, state.sizes, state.now
    n_levels = sizes.shape[1]
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        if not (has_quotes(q, i) and _read_levels(d, q, i, tick_int, now)):
            last[2] = 0
            add(flows, 0)
            add(depths, 0)
            add(known, 0)
            continue
        flow = 0
        depth = 0
        for m in range(n_levels):
            weight = scale // (m + 1)
            depth += weight * (now[0, m] + now[1, m])
            if last[2]:
                old_bid, old_ask = last[0], last[1]
                flow += weight * order_flow(
                    q.bid[i], q.ask[i], now[0, m], now[1, m], old_bid, old_ask, sizes[0, m], sizes[1, m]
                )
            sizes[0, m] = now[0, m]
            sizes[1, m] = now[1, m]
        add(flows, flow)
        add(depths, depth)
        add(known, 1)
        if depths.totals[0] > 0:
            out[i]["score"] = flows.totals[0] * (known.totals[0] / (0.5 * depths.totals[0]))
            out[i]["ready"] = last[2] == 1
        last[0], last[1], last[2] = q.bid[i], q.ask[i], 1


class MultiLevelOfi(Signal):
    """Order flow imbalance of several levels, in their mean sizes.

    Raises
    ------
    ConfigError
        Where the levels do not fit on the grid, or the instrument's tick is not told.
    """

    name: ClassVar[str] = "multi_level_ofi"
    required_columns: ClassVar[tuple[str, ...]] = ("bid_depth", "ask_depth")
    required_fields: ClassVar[tuple[str, ...]] = (*QUOTE_FIELDS, "spot_ref_price_int")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.25, 0.5, 1.0, 2.0)
    Params: ClassVar[type[BaseModel]] = MultiLevelOfiParams
    test_params: ClassVar[Any] = ({}, {"n_levels": 3, "flow_window_bins": 7, "depth_window_bins": 40})
    params: MultiLevelOfiParams

    def __init__(self, params: MultiLevelOfiParams, context: SignalContext) -> None:
        self._tick_int = require_tick(context, self.name)
        self._scale = int(np.lcm.reduce(np.arange(1, params.n_levels + 1)))
        require_rows(context, params.n_levels, self.name)
        super().__init__(params, context)

    def _fresh_state(self) -> _MultiLevelOfiState:
        p = self.params
        levels = np.zeros((2, p.n_levels), np.int64)
        windows = (p.flow_window_bins, p.depth_window_bins, p.depth_window_bins)
        rings = [array for window in windows for array in make_window_sums(window)]
        return _MultiLevelOfiState(np.zeros(1, np.int64), np.zeros(3, np.int64), levels, levels.copy(), *rings)

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        depths = _Depths(x["bid_depth"], x["ask_depth"], x["spot_ref_price_int"])
        run(self._state, quotes_of(x), depths, self._tick_int, self._scale, out)

    @property
    def memory_bins(self) -> int:
        """The longer window, and the bin before it."""
        return max(self.params.flow_window_bins, self.params.depth_window_bins) + 1
