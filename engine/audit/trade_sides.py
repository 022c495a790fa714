"""The side self-test: an aggressor buys at or above the ask and sells at or below the bid that stood before its event.

It proves that sides are read the right way round. The aggressor stands on the trade `T`; a fill `F` bears the side of its
own order, mostly a resting one, but the aggressor's where an order that had rested was re-priced into the book, and never tells.

Source: Databento, `mbo` schema, "side"; engine.md section 2 for what an event is.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine import constants as c
from engine.book.kernels import NO_TICK
from engine.run.runner import Runner
from engine.schema import Ints, MboRecords

OPENING_NS: Final = c.NS_PER_S  # the auction's uncrossing is not yet over in a session's first second
ENOUGH: Final = 20  # trades judged, before the share of the right ones says anything
RIGHT_SHARE: Final = 0.95


class SideTest:
    """Feeds a runner and judges every trade on the way.

    Parameters
    ----------
    runner
        Fresh; this object alone feeds it, one record array after the other.
    sessions : (m, 2) ns
        Open trading of the days that come next; empty when the hours are unknown, and then every trade counts as in open trading.
    """

    def __init__(self, runner: Runner, sessions: Ints) -> None:
        self._runner = runner
        self.sessions = sessions
        self._before: tuple[int, int] = (NO_TICK, NO_TICK)  # best bid and ask, ticks, at the last event end
        self._counts = dict.fromkeys(("trades", "no_side", "closed", "opening", "unquoted", "judged", "right"), 0)
        self._first_wrong: dict[str, int] | None = None

    def feed(self, records: MboRecords) -> None:
        """Take records in; the book is looked at before each event that holds a trade."""
        trades = np.flatnonzero((records["action"] == c.ACTION_TRADE) & (records["price"] != c.UNDEF_PRICE))
        ends = np.flatnonzero(records["flags"] & c.F_LAST != 0)
        starts = np.concatenate([[-1], ends + 1])[np.searchsorted(ends, trades)]  # -1: begun in an earlier array
        quotes = {-1: self._before}
        at = 0
        for start in np.unique(starts[starts >= 0]).tolist():
            self._run(records[at:start])
            quotes[start] = self._best()
            at = start
        whole = int(ends[-1]) + 1 if len(ends) else at
        self._run(records[at:whole])
        if len(ends):
            self._before = self._best()
        self._run(records[whole:])
        self._judge(records[trades], np.array([quotes[i] for i in starts.tolist()], np.int64).reshape(-1, 2))

    def report(self) -> dict[str, Any]:
        """Counts: of ``judged`` trades so many were ``right``; the others are set aside by reason."""
        return {**self._counts, "first_wrong": self._first_wrong}

    @property
    def problem(self) -> str:
        """What is to be said when most trades stand on the wrong side; else empty."""
        judged, right = self._counts["judged"], self._counts["right"]
        if judged < ENOUGH or right >= RIGHT_SHARE * judged:
            return ""
        return f"only {right} of {judged} trades print at their aggressor's side of the book; sides or book are wrong"

    def _run(self, records: MboRecords) -> None:
        if len(records):
            for _ in self._runner.feed(records, 1):
                pass

    def _best(self) -> tuple[int, int]:
        scalars = self._runner.engine.book.scalars[0]
        return int(scalars["best_bid"]), int(scalars["best_ask"])

    def _judge(self, trades: MboRecords, quotes: NDArray[np.int64]) -> None:
        tick_int = self._runner.config.tick_int
        bid, ask = quotes[:, 0], quotes[:, 1]
        has_side = (trades["side"] == c.SIDE_BID) | (trades["side"] == c.SIDE_ASK)
        is_open, is_opening = self._hours(trades["ts_event"])
        is_quoted = (bid != NO_TICK) & (ask != NO_TICK) & (bid < ask)
        judged = has_side & is_open & ~is_opening & is_quoted
        low, high = np.where(is_quoted, bid, 0) * tick_int, np.where(is_quoted, ask, 0) * tick_int
        right = judged & np.where(trades["side"] == c.SIDE_BID, trades["price"] >= high, trades["price"] <= low)
        for name, mask in (
            ("trades", np.ones(len(trades), np.bool_)),
            ("no_side", ~has_side),
            ("closed", has_side & ~is_open),
            ("opening", has_side & is_opening),
            ("unquoted", has_side & is_open & ~is_opening & ~is_quoted),
            ("judged", judged),
            ("right", right),
        ):
            self._counts[name] += int(np.count_nonzero(mask))
        wrong = np.flatnonzero(judged & ~right)
        if len(wrong) and self._first_wrong is None:
            one = trades[wrong[0]]
            self._first_wrong = {name: int(one[name]) for name in ("order_id", "sequence", "ts_event", "price")}

    def _hours(self, ts: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each time lies in open trading, and whether in the first second of it."""
        if not len(self.sessions):
            return np.ones(len(ts), np.bool_), np.zeros(len(ts), np.bool_)
        is_open = np.zeros(len(ts), np.bool_)
        is_opening = np.zeros(len(ts), np.bool_)
        for start, end in self.sessions.tolist():
            is_open |= (ts >= start) & (ts < end)
            is_opening |= (ts >= start) & (ts < min(start + OPENING_NS, end))
        return is_open, is_opening
