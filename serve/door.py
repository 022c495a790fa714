"""What bounds the sockets of one replica: how many there are, and how long each may keep us waiting."""

import asyncio
import resource
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from serve.figures import SocketFigures

_SPARE_DESCRIPTORS: Final = 256  # for files, Ray and the event loop
_MIN_CONNECTIONS: Final = 64


@dataclass(frozen=True)
class SocketLimits:
    """Bounds on the sockets of one listener; times in seconds."""

    max_connections: int = 4096  # beyond it: 503
    max_half_open: int = 1024  # requests not yet complete; one more and the oldest is told 408
    request_s: float = 5.0  # from the connection, or the answer before, to the end of a request
    farewell_s: float = 5.0  # from our last word to the end of the socket, whether the peer takes that word or not
    stall_s: float = 30.0  # with bytes under way of which the peer takes none
    silent_s: float = 4.0  # without a sign of life; pings are sent after half of it
    lost_s: float = 90.0  # the same, and then it is dropped: an answer waits behind all that a slow reader has not read yet
    watch_s: float = 1.0  # how often a stream's socket is looked at

    # The WebSocket library behind refuses lines of more than 8,192 bytes and more than 128 headers, and then says nothing.
    max_url_bytes: int = 8000
    max_header_bytes: int = 8000  # of one header
    max_head_bytes: int = 32 << 10  # of all
    max_headers: int = 100
    max_body_bytes: int = 64 << 10


class Door:
    """Counts the sockets of one listener; knows which have not said yet what they want.

    Parameters
    ----------
    limits : SocketLimits
        Its bounds; ``max_connections`` is lowered to what the process has descriptors for.
    """

    def __init__(self, limits: SocketLimits | None = None) -> None:
        self.limits = limits or SocketLimits()
        self.max_connections = min(self.limits.max_connections, _affordable_connections())
        self.n_refused = 0  # answered 4xx or 503 before the app saw them
        self.n_stalled = 0  # streams dropped with 1013
        self.n_silent = 0  # streams whose peer shows no sign of life now
        self.connections: Collection[object] = ()  # the listener's, once it is made
        self._half_open: dict[object, Callable[[], None]] = {}  # in order of arrival
        self._shut: Callable[[], None] | None = None  # the listener's, while it listens

    @property
    def n_half_open(self) -> int:
        return len(self._half_open)

    def figures(self) -> SocketFigures:
        """What Prometheus is told."""
        return SocketFigures(len(self.connections), self.n_half_open, self.n_silent, self.n_refused, self.n_stalled)

    def wait_for(self, connection: object, give_up: Callable[[], None]) -> None:
        """Remember a connection whose request is not complete; the one that waits longest makes room where there are too many."""
        self._half_open[connection] = give_up
        if len(self._half_open) > self.limits.max_half_open:
            oldest = next(iter(self._half_open))
            self._half_open.pop(oldest)()

    def shut(self) -> None:
        """Take no more connections; those that are there go on. Who comes now reaches a replica that shares the port."""
        if self._shut is not None:
            self._shut()

    def opened(self, shut: Callable[[], None]) -> None:
        """The listener listens, and this ends it."""
        self._shut = shut

    def forget(self, connection: object) -> None:
        """Its request is complete, or it has gone."""
        self._half_open.pop(connection, None)


class Timer:
    """One call that may be put off or called off."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, call: Callable[..., None], *args: object) -> None:
        """Call it after so long, instead of what was to be called before."""
        self.stop()
        self._handle = self._loop.call_later(seconds, call, *args)

    def stop(self) -> None:
        """Call nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def raise_descriptor_limit() -> None:
    """Let this process open as many files as the system allows: a shell's usual 1,024 are too few for a thousand viewers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _affordable_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return SocketLimits.max_connections
    return max(soft - _SPARE_DESCRIPTORS, _MIN_CONNECTIONS)
