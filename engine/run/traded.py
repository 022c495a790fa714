"""What traded in the open bin, by price and aggressor, and its way into the rows once the bin ends.

Trades are kept by absolute tick until then: which ticks have a row is known only at the end, and slots may move in between.

Source: interfaces.md, "HTTP and WebSocket" (traded volume); engine.md section 4 (volumes by aggressor).
"""

from typing import Any, Final

import numpy as np

from engine import constants as c
from engine.book.kernels import NO_TICK, OFF_GRID, slot_of, tick_of
from engine.config import Params
from engine.jit import inline_kernel, kernel
from engine.run.state import BINS, CARE_TAPE, TRADED_DTYPE, Engine, Out
from engine.schema import GRID_TRADED, Record, Structured

BUY: Final = GRID_TRADED.index("traded_buy")
SELL: Final = GRID_TRADED.index("traded_sell")
LARGEST_CELL: Final = 2**31 - 1  # contracts that a row's column can hold
FIRST_TAPE: Final = 1 << 8  # entries


def make_tape(n_held: int = 0) -> Structured:
    """An empty tape with room for more than ``n_held`` entries."""
    room = FIRST_TAPE
    while room <= n_held:
        room *= 2
    return np.zeros(room, TRADED_DTYPE)


def grow_tape(tape: Structured) -> Structured:
    """The same entries in twice the room."""
    wide = np.zeros(2 * len(tape), TRADED_DTYPE)
    wide[: len(tape)] = tape
    return wide


@inline_kernel
def see_trade(engine: Engine, record: Record, p: Params) -> None:
    """Count a trade into the open bin. Without an aggressor it has no side, without a price no row."""
    run = engine.run[0]
    run["trade_count"] += 1
    size: Any = np.int64(record["size"])
    buy: Any = np.int64(0)
    sell: Any = np.int64(0)
    if record["side"] == c.SIDE_BID:
        buy = size
    elif record["side"] == c.SIDE_ASK:
        sell = size
    else:
        run["unsided_volume"] += size
    run["buy_volume"] += buy
    run["sell_volume"] += sell
    if record["price"] == c.UNDEF_PRICE:
        return
    run["last_trade_price"] = record["price"]
    if run["phase"] != BINS or buy + sell == 0:
        return
    tick, _ = tick_of(record["price"], p.tick_int)
    tape = engine.traded
    n = run["n_traded"]
    if n == 0 or tape[n - 1]["tick"] != tick:
        tape[n]["tick"] = tick
        tape[n]["buy"] = 0
        tape[n]["sell"] = 0
        n += 1
        run["n_traded"] = n
        if n == tape.shape[0]:
            run["care"] = run["care"] | CARE_TAPE
    tape[n - 1]["buy"] += buy
    tape[n - 1]["sell"] += sell


@kernel
def write_traded(engine: Engine, spot_tick: int, out: Out, i_out: int, p: Params) -> None:
    """Put the tape into the rows around spot; what finds no place there, or no room, is the bin's and stands outside."""
    run = engine.run[0]
    s = engine.book.scalars[0]
    rows = out.traded[i_out]
    for column in range(rows.shape[0]):
        for r in range(rows.shape[1]):
            rows[column, r] = 0
    buy_outside = run["buy_volume"]
    sell_outside = run["sell_volume"]
    n = run["n_traded"] if spot_tick != NO_TICK else 0
    for i in range(n):
        one = engine.traded[i]
        r = one["tick"] - spot_tick + p.radius
        if r < 0 or r > 2 * p.radius or slot_of(s, one["tick"], p.n_slots) == OFF_GRID:
            continue
        buy = min(one["buy"], LARGEST_CELL - rows[BUY, r])
        sell = min(one["sell"], LARGEST_CELL - rows[SELL, r])
        rows[BUY, r] += buy
        rows[SELL, r] += sell
        buy_outside -= buy
        sell_outside -= sell
    out.bins[i_out]["traded_buy_outside"] = buy_outside
    out.bins[i_out]["traded_sell_outside"] = sell_outside
