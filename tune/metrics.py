"""A running sweep's figures in Ray's own metrics, for Prometheus and the dashboard. Imports Ray, as `tune.search` does."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ray.util.metrics import Counter, Gauge

RATE_WINDOW_S: Final = 30.0  # long beside the bursts in which workers report, short beside a sweep
RATE_AFTER_S: Final = 1.0  # sooner, a rate is noise
_TAGS: Final = ("sweep",)


class SweepMetrics:
    """What the driver of a sweep tells Ray; make it while Ray is connected.

    Parameters
    ----------
    sweep_id : str
        Tag on every figure, so that several sweeps on one cluster stay apart.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, sweep_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        tags = {"sweep": sweep_id}
        self._done = Counter("spymaster_points_done", "Points evaluated", _TAGS).set_default_tags(tags)
        self._failed = Counter("spymaster_points_failed", "Points that failed", _TAGS).set_default_tags(tags)
        self._rate = Gauge("spymaster_points_per_s", "Points evaluated a second, of late", _TAGS).set_default_tags(tags)
        self._best = Gauge("spymaster_best_score", "The sweep's objective at its best run so far", _TAGS).set_default_tags(tags)
        self._clock, self._n_done = clock, 0
        self._arrivals = deque([(clock(), 0)])  # (when, points done until then) within the window

    def take(self, n_done: int, n_failed: int, best_score: float | None) -> None:
        """Count what has just arrived.

        Parameters
        ----------
        best_score : float or None
            The objective at the best run so far, in its own unit; None while no run is ranked.
        """
        for counter, n in ((self._done, n_done), (self._failed, n_failed)):
            if n:
                counter.inc(n)
        now = self._clock()
        self._n_done += n_done
        self._arrivals.append((now, self._n_done))
        while len(self._arrivals) > 2 and self._arrivals[1][0] < now - RATE_WINDOW_S:
            self._arrivals.popleft()
        since, before = self._arrivals[0]
        if now - since >= RATE_AFTER_S:
            self._rate.set((self._n_done - before) / (now - since))
        if best_score is not None:
            self._best.set(best_score)
