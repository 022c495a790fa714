"""Frames that wait for one client: bounded, in order, and skipping whole bins where the client must not hold up the pace."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serve.wire import Framed

_MAX_TEXTS: Final = 64


@dataclass(frozen=True)
class Text:
    """A text frame; ``replaces`` names a kind of which only the last one waiting matters."""

    text: str
    replaces: str | None = None


@dataclass(frozen=True)
class Close:
    """The last frames of a stream: a text, then the close code."""

    text: str
    code: int
    reason: str


Item = Text | Framed | Close


class SendQueue:
    """First in, first out, for one event loop.

    Parameters
    ----------
    max_bins : int
        Bins that may wait.
    skips : bool
        When full: skip the oldest waiting bin (a paced stream), or let the producer wait (an unpaced one). May change.
    wake : callable
        Called with each item that is added.
    """

    def __init__(self, max_bins: int, *, skips: bool, wake: Callable[[], None]) -> None:
        self._items: deque[Item] = deque()
        self._max_bins = max_bins
        self._wake = wake
        self.skips = skips
        self._n_bins = 0
        self._n_texts = 0
        self._closed = False
        self._changed = asyncio.Event()
        self.n_skipped = 0

    def __len__(self) -> int:
        return len(self._items)

    async def put_bin(self, framed: Framed) -> None:
        """Add a bin; waits for room, or skips the oldest waiting bin. Nothing is added once closed."""
        while self._n_bins >= self._max_bins and not self._closed:
            if self.skips:
                self._skip_oldest()
            else:
                await self._wait()
        if not self._closed:
            self._items.append(framed)
            self._n_bins += 1
            self._wake()

    async def put_text(self, text: Text) -> None:
        """Add a text; waits while too many wait already, so that a client cannot make the queue grow by asking."""
        while self._n_texts >= _MAX_TEXTS and not self._closed:
            await self._wait()
        if self._closed:
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, Text) and last.replaces is not None and last.replaces == text.replaces:
            self._items[-1] = text
        else:
            self._items.append(text)
            self._n_texts += 1
        self._wake()

    def close(self, close: Close, *, at_once: bool = False) -> None:
        """Add the last item; ``at_once`` forgets what waits. A second close changes nothing."""
        if self._closed:
            return
        self._closed = True
        if at_once:
            self._items.clear()
        self._items.append(close)
        self._changed.set()
        self._wake()

    def take(self, *, texts_only: bool = False) -> Item | None:
        """The next item, None where nothing waits, or where it is no text and only that is wanted; nothing follows a `Close`."""
        if not self._items or (texts_only and not isinstance(self._items[0], Text)):
            return None
        item = self._items.popleft()
        if isinstance(item, Framed):
            self._n_bins -= 1
        elif isinstance(item, Text):
            self._n_texts -= 1
        self._changed.set()
        return item

    def let_go(self) -> None:
        """Wake a producer that waits for room, to look again."""
        self._changed.set()

    def _skip_oldest(self) -> None:
        for i, item in enumerate(self._items):
            if isinstance(item, Framed):
                del self._items[i]
                self._n_bins -= 1
                self.n_skipped += 1
                return

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
