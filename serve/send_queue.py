"""The frames that wait for one client: bounded, in order, and skipping whole bins where the client must not hold up the pace."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from serve.frames import BinFrames

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


Item = Text | BinFrames | Close


class SendQueue:
    """First in, first out, for one event loop.

    Parameters
    ----------
    max_bins : int
        Bins that may wait.
    skips : bool
        When full: skip the oldest waiting bin (a paced stream), or let the producer wait (an unpaced one).
    """

    def __init__(self, max_bins: int, *, skips: bool) -> None:
        self._items: deque[Item] = deque()
        self._max_bins = max_bins
        self._skips = skips
        self._n_bins = 0
        self._n_texts = 0
        self._closed = False
        self._changed = asyncio.Event()
        self.n_skipped = 0

    def __len__(self) -> int:
        return len(self._items)

    async def put_bin(self, frames: BinFrames) -> None:
        """Add a bin; waits for room, or skips the oldest waiting bin. Nothing is added once closed."""
        while self._n_bins >= self._max_bins and not self._closed:
            if self._skips:
                self._skip_oldest()
            else:
                await self._wait()
        if not self._closed:
            self._items.append(frames)
            self._n_bins += 1
            self._changed.set()

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
        self._changed.set()

    def close(self, close: Close, *, at_once: bool = False) -> None:
        """Add the last item; ``at_once`` forgets what waits. A second close changes nothing."""
        if self._closed:
            return
        self._closed = True
        if at_once:
            self._items.clear()
        self._items.append(close)
        self._changed.set()

    async def get(self) -> Item:
        """The next item; nothing follows a `Close`."""
        while not self._items:
            await self._wait()
        item = self._items.popleft()
        if isinstance(item, BinFrames):
            self._n_bins -= 1
        elif isinstance(item, Text):
            self._n_texts -= 1
        self._changed.set()
        return item

    def _skip_oldest(self) -> None:
        for i, item in enumerate(self._items):
            if isinstance(item, BinFrames):
                del self._items[i]
                self._n_bins -= 1
                self.n_skipped += 1
                return

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
