"""The market's time, heard from a feed: what the vendor stamps on what it sends, carried on by our own clock."""

from typing import Final

from engine.constants import NS_PER_S

_WINDOW_S: Final = 60.0  # our clock may run apart from the vendor's by milliseconds in it


class HeardClock:
    """A lower bound of the market's time: the vendor's stamp that came with the least delay in the last one or two minutes.

    ``rate``: market seconds in one of ours; 0: time is what the last stamp said.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._since_s = 0.0
        self._best: list[int | None] = [None, None]  # ns of market time at our second 0: this window's, the one's before

    def hear(self, ts_ns: int, at_s: float) -> None:
        """Something stamped ``ts_ns`` (UTC ns) came at our monotonic second ``at_s``."""
        if self._best[0] is None:
            self._since_s = at_s
        elif at_s >= self._since_s + _WINDOW_S:
            self._since_s = at_s
            self._best = [None, self._best[0]]
        offset = ts_ns - self._ours_ns(at_s)
        self._best[0] = offset if self._best[0] is None else max(self._best[0], offset)

    def now_ns(self, at_s: float) -> int | None:
        """Market time at our second ``at_s``, UTC ns; None where nothing was heard."""
        known = [one for one in self._best if one is not None]
        return max(known) + self._ours_ns(at_s) if known else None

    def forget(self) -> None:
        """Another session, perhaps of another clock."""
        self._best = [None, None]

    def _ours_ns(self, at_s: float) -> int:
        return int(at_s * self._rate * NS_PER_S)
