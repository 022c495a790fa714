"""The trades of a walk as a table."""

import numpy as np
import polars as pl

from engine.constants import PRICE_SCALE
from engine.schema import Ints
from engine.trades.kernels import SL, TP
from engine.trades.paper import REASONS
from engine.trades.tape import Tape
from tune.rules import Rules
from tune.scoring import Scored


def trades_of(scored: Scored, at: int, rules: Rules, ts_ns: Ints, tape: Tape) -> pl.DataFrame:
    """The trades of one combination of a walk, a row each, in time.

    Columns ``fired_bin, entry_bin, exit_bin`` (bins of the session), ``entry_ns, exit_ns`` (UTC), ``direction`` (1 up, -1 down),
    ``entry_price_int, exit_price_int`` (1e-9 dollars), ``pnl_ticks`` from price to price, ``net_ticks`` with barriers and fees
    booked, ``reason`` (as `engine.trades.paper.REASONS` has them), ``met_gap`` (the record had a hole on the way).

    Parameters
    ----------
    at : int
        Which combination.
    ts_ns : NDArray[np.int64], shape (n,)
        Bin ends of the whole series.
    """
    t = scored.trades
    part = slice(int(t.first[at]), int(t.first[at + 1]))
    reason, pnl, sign, entry, leave = (x[part] for x in (t.reason, t.pnl, t.sign, t.entry, t.exit_bin))
    booked = np.where(reason == TP, rules.tp_ticks, pnl)
    if rules.fill == "mid":
        booked = np.where((reason == SL) & ~t.met_gap[part], -rules.sl_ticks, booked)
    paid = np.where(sign > 0, tape.ask[entry], tape.bid[entry])
    moved = np.rint(pnl * round(rules.tick_size / PRICE_SCALE)).astype(np.int64)
    return pl.DataFrame(
        {
            "fired_bin": t.fired[part],
            "entry_bin": entry,
            "exit_bin": leave,
            "entry_ns": ts_ns[entry],
            "exit_ns": ts_ns[leave],
            "direction": sign,
            "entry_price_int": paid,
            "exit_price_int": paid + sign * moved,
            "pnl_ticks": pnl,
            "net_ticks": booked - rules.fee_ticks,
            "reason": pl.Series([REASONS[int(code)] for code in reason], dtype=pl.String),
            "met_gap": t.met_gap[part],
        }
    )
