"""What one replica has done so far and holds now: counts and delays, for ``/health`` and for Ray's metrics."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import psutil  # type: ignore[import-untyped]

_LAGS_KEPT: Final = 2048
_JITTER_SHARE: Final = 1 / 16  # of a new difference in the running mean: RFC 3550, section 6.4.1


@dataclass
class Pace:
    """How one session keeps its time, from a bin's end to the socket; touched from the event loop only.

    The session feeds it once a bin, whatever the number of its clients.
    """

    lags_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS_KEPT))  # sending after due, recent bins
    jitter_ms: float | None = None  # running mean of how much the lag of one bin differs from the last one's

    def bin_sent(self, lag_ms: float) -> None:
        """Count a paced bin."""
        if self.lags_ms:
            before = self.jitter_ms or 0.0
            self.jitter_ms = before + (abs(lag_ms - self.lags_ms[-1]) - before) * _JITTER_SHARE
        self.lags_ms.append(lag_ms)

    def lag_ms(self, quantile: float) -> float | None:
        """A quantile of the recent delays, milliseconds; None before the first paced bin."""
        return _quantile(self.lags_ms, quantile)


@dataclass(frozen=True)
class SessionFigures:
    """What one session holds and how it keeps its time."""

    name: str  # such as 2026-02-06T09:25, never with a client's wishes in it
    is_shared: bool
    clients: int
    ring_bytes: int  # of frames that are kept for those who come later
    lag_ms: float | None  # p99 of the recent bins, milliseconds
    jitter_ms: float | None


@dataclass(frozen=True)
class SocketFigures:
    """The sockets of a replica's listener."""

    open: int = 0
    half_open: int = 0  # that have not said yet what they want
    silent: int = 0  # whose peer shows no sign of life now
    refused: int = 0  # since the replica began: answered before the app saw them
    stalled: int = 0  # since then: streams dropped with 1013


@dataclass(frozen=True)
class Snapshot:
    """A replica's figures at one moment."""

    clients: int
    sessions: Sequence[SessionFigures]
    memory_bytes: int  # resident, of the whole process
    sockets: SocketFigures

    @property
    def ring_bytes(self) -> int:
        """Of all sessions."""
        return sum(session.ring_bytes for session in self.sessions)

    def n_sessions(self, *, shared: bool) -> int:
        """Sessions of one kind."""
        return sum(session.is_shared is shared for session in self.sessions)


@dataclass
class Figures:
    """Counters of one replica; touched from its event loop only."""

    streams_opened: int = 0
    streams_refused: int = 0
    bins_served: int = 0
    bins_dropped: int = 0
    swaps: int = 0
    lags_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS_KEPT))  # sending after due, recent bins
    sessions: Callable[[], Sequence[SessionFigures]] = lambda: ()  # asked at each snapshot
    sockets: Callable[[], SocketFigures] = SocketFigures  # the same

    _new_lags_ms: list[float] = field(default_factory=list)

    def bin_sent(self, lag_ms: float | None) -> None:
        """Count a bin; ``lag_ms`` is None where there is no pace."""
        self.bins_served += 1
        if lag_ms is not None:
            self.lags_ms.append(lag_ms)
            if len(self._new_lags_ms) < _LAGS_KEPT:  # bounded where nobody takes them
                self._new_lags_ms.append(lag_ms)

    def take_new_lags(self) -> list[float]:
        """Delays since the last call, milliseconds."""
        taken, self._new_lags_ms = self._new_lags_ms, []
        return taken

    def lag_quantile_ms(self, quantile: float) -> float | None:
        """A quantile of the recent delays, milliseconds; None before the first paced bin."""
        return _quantile(self.lags_ms, quantile)

    def snapshot(self, clients: int) -> Snapshot:
        """What the replica holds now.

        Parameters
        ----------
        clients : int
            Open streams.
        """
        return Snapshot(clients, tuple(self.sessions()), memory_bytes(), self.sockets())


def memory_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def _quantile(lags_ms: deque[float], quantile: float) -> float | None:
    if not lags_ms:
        return None
    return round(float(np.quantile(np.fromiter(lags_ms, float), quantile)), 3)
