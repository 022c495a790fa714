"""How a feed is, and who is told of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from engine.constants import NS_PER_S
from engine.feed.live.sink import FeedKind, FeedState, Sink
from engine.hours import PRODUCTS, open_intervals
from engine.source.contracts import root_of


class Gauge:
    """Keeps a `FeedState`, tells the sink of what changed, and says each line once it is known."""

    def __init__(self, sink: Sink, say: Callable[[str], None], hide: Callable[[str], str]) -> None:
        self._sink = sink
        self._say = say
        self._hide = hide
        self.now = FeedState()

    def count(self, **changed: Any) -> None:
        """Numbers that are told with the next change of something else."""
        self.now = replace(self.now, **changed)

    def show(self, kind: FeedKind | None = None, *, is_told: bool = True, **changed: Any) -> None:
        """Tell the sink, if anything but numbers changed or ``is_told``."""
        before = self.now
        self.now = replace(before, kind=kind or before.kind, **changed)
        if is_told or self.now.kind != before.kind:
            self._sink.state(self.now)

    def note(self, line: str) -> None:
        """A line for whoever reads along."""
        self._say(self._hide(line))

    def warn(self, line: str, kind: FeedKind | None = None) -> None:
        """A line for people."""
        line = self._hide(line)
        self._say(line)
        self.show(kind, warning=line)

    def alarm(self, line: str, kind: FeedKind | None = None) -> None:
        """Somebody has to look."""
        line = self._hide(line)
        self._say(line)
        self.show(kind, alarm=line)


def is_open(symbol: str, ts_ns: int) -> bool:
    """Whether the exchange trades a contract at a time, UTC ns, by the calendar; True where its hours are not known."""
    root = root_of(symbol)
    if root is None or root not in PRODUCTS:
        return True
    spans = open_intervals(root, datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).date())
    return bool(((spans[:, 0] <= ts_ns) & (ts_ns < spans[:, 1])).any())
