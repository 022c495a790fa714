"""What the data say of the calendar: trades while it says closed, long silences while it says open.

A bin with a trade is never marked closed, and a silence may be a hole and is marked so; here it is told in words, with the
calendar that was asked, since a halt that it does not know of looks like a hole.
"""

from typing import Final

import numpy as np

from engine.constants import NS_PER_S
from engine.hours import CALENDAR_ENV, calendar_version
from engine.schema import Ints, Structured
from engine.tables import utc

SILENT_NS: Final = 30 * 60 * NS_PER_S  # without a record in open trading, before it is told


class HoursCheck:
    """Bins against the hours of trading; they are to be shown in order.

    Parameters
    ----------
    symbol_root
        Of the product.
    sessions : (m, 2) ns
        Its open intervals; without any nothing is told.
    """

    def __init__(self, symbol_root: str, sessions: Ints) -> None:
        self._root = symbol_root
        self._sessions = sessions
        self._heard: int | None = None  # end of the last bin with a record, or start of the first bin
        self._end = 0  # of the last bin
        self._n_trades = 0
        self._first_trade = self._last_trade = 0  # starts of bins
        self._silences: list[tuple[int, int]] = []

    def see(self, bins: Structured) -> None:
        """Some more bins, dtype BIN_DTYPE."""
        if not len(self._sessions) or not len(bins):
            return
        if self._heard is None:
            self._heard = int(bins["bin_start_ns"][0])
        self._end = int(bins["bin_end_ns"][-1])
        busy = bins[bins["bin_event_count"] > 0]
        starts, ends = busy["bin_start_ns"].astype(np.int64), busy["bin_end_ns"].astype(np.int64)
        quiet_since = np.concatenate([[self._heard], ends[:-1]]) if len(busy) else ends
        for i in np.flatnonzero(starts - quiet_since >= SILENT_NS).tolist():
            self._take_silence(int(quiet_since[i]), int(starts[i]))
        if len(busy):
            self._heard = int(ends[-1])
        traded = busy["trade_count"] > 0
        if traded.any():
            self._take_trades(busy[traded])

    def _take_trades(self, bins: Structured) -> None:
        # The first interval that is not over at a bin's start; the bin lies outside it where that has not begun at the bin's end.
        i = np.searchsorted(self._sessions[:, 1], bins["bin_start_ns"], side="right")
        opens = np.append(self._sessions[:, 0], np.iinfo(np.int64).max)[i]
        outside = bins[opens >= bins["bin_end_ns"]]
        if not len(outside):
            return
        if self._n_trades == 0:
            self._first_trade = int(outside["bin_start_ns"][0])
        self._last_trade = int(outside["bin_start_ns"][-1])
        self._n_trades += int(outside["trade_count"].sum())

    def _take_silence(self, since: int, until: int) -> None:
        """Of a silence what lies in open trading, an interval each."""
        for opened, closed in self._sessions.tolist():
            start, end = max(since, opened), min(until, closed)
            if end - start >= SILENT_NS:
                self._silences.append((start, end))

    def notices(self) -> list[str]:
        """What was found so far, a line each."""
        silences = list(self._silences)
        if self._heard is not None and self._end - self._heard >= SILENT_NS:
            self._take_silence(self._heard, self._end)
            silences, self._silences = self._silences, silences  # more bins may come, and then it is another one
        asked = calendar_version(self._root)
        if asked is None or not (silences or self._n_trades):
            return []
        which = f"the calendar ({asked['calendar']}, {asked['library']}, closes {asked['closes']})"
        mend = f"if it is wrong, give the close in a file of your own by {CALENDAR_ENV}"
        told = [
            f"no record came from {utc(since)} to {utc(until)} UTC, when {which} says open: a hole of the data, or a halt "
            f"that it does not know of; {mend}"
            for since, until in silences
        ]
        if self._n_trades:
            told.append(
                f"{self._n_trades} trades came from {utc(self._first_trade)} to {utc(self._last_trade)} UTC, when {which} says "
                f"closed; {mend}"
            )
        return told
