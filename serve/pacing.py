"""When a bin is due: the pace is kept against the start of the session, so delays do not add up."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where a stream gets its time from; tests give it another one."""

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return once `now` has reached ``when``."""
        ...


class WallClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep_until(self, when: float) -> None:
        while (rest := when - self.now()) > 0:
            await asyncio.sleep(rest)


@dataclass
class Pacer:
    """Due times of the bins of one stream.

    Parameters
    ----------
    cell_width_ms : int
        Bin width in market time.
    speed : float
        Market seconds per wall second; 0 means as fast as the client reads.
    first_bin : int
        ``bin_seq`` that is due at once when the pace starts.
    """

    cell_width_ms: int
    speed: float
    first_bin: int = 0
    _start: float | None = None

    @property
    def is_paced(self) -> bool:
        return self.speed > 0

    def start(self, now: float) -> None:
        """Begin the pace; later calls change nothing."""
        if self._start is None:
            self._start = now

    def due(self, bin_seq: int) -> float:
        """Clock time at which a bin should leave, seconds; the start itself where there is no pace.

        Raises
        ------
        RuntimeError
            Before `start`.
        """
        if self._start is None:
            raise RuntimeError("the pace has not started")
        if not self.is_paced:
            return self._start
        return self._start + (bin_seq - self.first_bin) * self.period_s

    @property
    def period_s(self) -> float:
        """Between two bins; 0 where there is no pace."""
        return self.cell_width_ms / 1000.0 / self.speed if self.is_paced else 0.0

    def n_due(self, bin_seq: int, now: float) -> int:
        """How many bins are due by ``now``, from that one on; only where there is a pace."""
        return max(0, int((now - self.due(bin_seq)) / self.period_s) + 1) if now >= self.due(bin_seq) else 0
