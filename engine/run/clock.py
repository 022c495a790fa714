"""Bins that end by the clock: without a record, because everything up to then is known.

A bin that ends by the clock is, to the last bit, the one that the next record would have closed. So the clock closes only what a
record or the end of the data is sure to close, too: nothing outside the trading session of the last record, since a file that
ends in closed hours has no bins of them, and never before the first bin, which a record opens.

Source: engine.md sections 1 and 4.
"""

from typing import Final

from engine.config import Params
from engine.jit import kernel
from engine.run.bins import close_bin
from engine.run.silence import mark_gap
from engine.run.state import BINS, UNSET, Engine, Out

CLOSED: Final = 0  # all bins up to then are out
OUT_FULL: Final = 1  # the block of bins is full
FINISHED: Final = 2  # the last wanted bin is out


@kernel
def close_until(engine: Engine, until: int, with_rest: bool, out: Out, n_out: int, p: Params) -> tuple[int, int]:
    """Close every bin that ends at ``until`` or before, ns; ``with_rest`` also the one behind them, if it holds an event.

    Returns (status, bins in ``out``); a call that found the block full goes on with an empty one.
    """
    run = engine.run[0]
    if run["phase"] != BINS:
        return CLOSED, n_out
    while True:
        mark_gap(engine, p.bin_ns)
        is_whole = until != UNSET and run["bin_start"] + p.bin_ns <= until
        if not is_whole and not (with_rest and run["bin_events"] > 0):
            return CLOSED, n_out
        if n_out == out.bins.shape[0]:
            return OUT_FULL, n_out
        close_bin(engine, out, n_out, p)
        n_out += 1
        if not is_whole or run["bin_seq"] == run["max_bins"]:
            return FINISHED, n_out


def vouched_until(engine: Engine, until_ns: int | None) -> int | None:
    """Until when nothing more happened, ns, if everything up to ``until_ns`` is known: not beyond the trading session.

    None outside of one, and where nothing is known: bins then reach to the last record only.
    """
    sessions = engine.sessions
    if until_ns is None or not len(sessions):
        return until_ns
    last = int(engine.run["latest_ts"][0])
    current = sessions[(sessions[:, 0] <= last) & (last < sessions[:, 1])]
    return min(until_ns, int(current[0, 1])) if len(current) else None
