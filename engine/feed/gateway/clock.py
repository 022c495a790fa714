"""The market's time as a gateway plays it."""

import time

import numpy as np

from engine.constants import NS_PER_S
from engine.feed.gateway.tape import Tape


class MarketClock:
    """Where the tape stands: by the wall clock times ``speed`` from the first session's start on, or, with a ``speed`` of 0, as
    far as any reader has come.

    One clock for all sessions: whoever is away misses what is played meanwhile.
    """

    def __init__(self, tape: Tape, speed: float) -> None:
        self._released = tape.released_ns
        self.speed = speed
        self._began: float | None = None
        self._furthest = 0  # records sent to the reader that came furthest

    def start(self) -> None:
        """The first session has started; from then on nothing happens here."""
        if self._began is None:
            self._began = time.monotonic()

    def now_ns(self) -> int:
        """The market's time."""
        if self.speed == 0:
            return int(self._released[min(self._furthest, len(self._released) - 1)])
        elapsed = 0.0 if self._began is None else time.monotonic() - self._began
        return int(self._released[0]) + int(elapsed * self.speed * NS_PER_S)

    def n_released(self) -> int:
        """How many records there have been; all that are left may be sent with a speed of 0."""
        if self.speed == 0:
            return len(self._released)
        return int(np.searchsorted(self._released, self.now_ns(), "right"))

    def live_from(self) -> int:
        """The record with which a session that asks for no replay begins."""
        return self._furthest if self.speed == 0 else self.n_released()

    def seconds_until(self, record: int) -> float:
        """Wall seconds until a record may be sent."""
        return max(0.0, (int(self._released[record]) - self.now_ns()) / NS_PER_S / self.speed) if self.speed else 0.0

    def came_to(self, n_records: int) -> None:
        """A reader has been sent so many of the tape's records."""
        self._furthest = max(self._furthest, n_records)
