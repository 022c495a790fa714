"""What is known of the model by now: told to streams that are open, when it changes."""

import time
from collections.abc import Callable
from typing import Any, Final

from engine.champion import Champion
from serve.paper import PaperDesk

STANDING_CHANGE: Final = "standing_change"
LOOK_S: Final = 1.0


class StandingWatch:
    """The standing and the live record of what scores one replay, as its clients were told.

    Parameters
    ----------
    desk : PaperDesk, optional
        Keeps the records; without one there is nothing to tell.
    clock : callable
        Monotonic, seconds.
    look_s : float
        Least time between two looks at the record: it lies in a file that others write to, too.
    """

    def __init__(self, desk: PaperDesk | None, clock: Callable[[], float] = time.monotonic, look_s: float = LOOK_S) -> None:
        self._desk, self._clock, self._look_s = desk, clock, look_s
        self._told: dict[str, Any] | None = None
        self._version: int | None = None  # that it was told of
        self._looked = -look_s

    def now(self, champion: Champion | None) -> dict[str, Any]:
        """``standing`` and ``record`` for a ``runtime_config``."""
        if self._desk is None:
            return {}
        return {"standing": self._desk.standing(champion), "record": self._desk.line(champion)}

    def is_news(self, champion: Champion | None) -> bool:
        """Whether something else is to be told of a champion than was; looks no more often than every ``look_s``.

        What is told when a champion takes over is the first look at it, and no news.
        """
        if self._desk is None or champion is None or champion.promise is None:
            return False
        clock = self._clock()
        is_known = self._told is not None and self._version == champion.version
        if is_known and clock - self._looked < self._look_s:
            return False
        before, self._told = self._told, self.now(champion)
        self._looked, self._version = clock, champion.version
        return is_known and self._told != before
