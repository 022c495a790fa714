"""When the next connection is tried: for ever, in waits that grow to a bound and are not in step with others'."""

import random
import time

from engine.feed.live.gauge import Gauge
from engine.feed.live.settings import LiveSettings
from engine.feed.live.sink import FeedKind


class Retries:
    """Failures in a row: their waits, the alarm once they last longer than the budget, and how long a limit is borne.

    Source: Amazon's architecture blog, "Exponential backoff and jitter": equal jitter.
    """

    def __init__(self, settings: LiveSettings, gauge: Gauge) -> None:
        self._settings = settings
        self._gauge = gauge
        self._next_s = settings.first_wait_s
        self._since_s: float | None = None
        self._limit_since_s: float | None = None
        self._line = ""

    @property
    def has_failed(self) -> bool:
        """Whether the last thing known is a failure."""
        return self._since_s is not None

    def failed(self, line: str, kind: FeedKind, *, may_alarm: bool) -> None:
        """Another end that we had not asked for; said where it is another than the one before."""
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        if line != self._line:
            self._line = line
            self._gauge.warn(line, kind)
        away_s = now_s - self._since_s
        if may_alarm and away_s >= self._settings.budget_s and not self._gauge.now.alarm:
            self._gauge.alarm(f"no feed for {away_s:.0f} s, and trying goes on; at last: {line}", kind)

    def wait_s(self) -> float:
        """Seconds until the next try."""
        wait_s = random.uniform(0.5, 1.0) * self._next_s
        self._next_s = min(2 * self._next_s, self._settings.longest_wait_s)
        return wait_s

    def bears_limit(self) -> bool:
        """Whether a refusal by limit is borne still: a connection of ours that broke may be counted for a while."""
        now_s = time.monotonic()
        if self._limit_since_s is None:
            self._limit_since_s = now_s
        return now_s - self._limit_since_s < self._settings.limit_s

    def stands(self) -> None:
        """A connection brings something again."""
        self._since_s = self._limit_since_s = None
        self._next_s = self._settings.first_wait_s
        self._line = ""
        if self._gauge.now.alarm:
            self._gauge.note("the feed is there again")
            self._gauge.show(alarm="")
