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
        self._told: dict[str, Any] = {}
        self._looked = -look_s

    def tell(self, champion: Champion | None) -> dict[str, Any]:
        """``standing`` and ``record`` for a ``runtime_config``; from here on they are known to have been told."""
        self._told = self._now(champion)
        self._looked = self._clock()
        return self._told

    def is_news(self, champion: Champion | None) -> bool:
        """Whether something else is to be told than was; looks no more often than every ``look_s``."""
        if self._desk is None or champion is None or champion.promise is None:
            return False
        now = self._clock()
        if now - self._looked < self._look_s:
            return False
        self._looked = now
        return self._now(champion) != self._told

    def _now(self, champion: Champion | None) -> dict[str, Any]:
        if self._desk is None:
            return {}
        return {"standing": self._desk.standing(champion), "record": self._desk.line(champion)}
