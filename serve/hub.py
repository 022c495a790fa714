"""Which replays run in this replica: one for all clients that ask for the same, and one each for those who go their own way."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from engine.errors import ConfigError
from engine.source.rolls import Stretch
from serve.closing import BusyError
from serve.figures import SessionFigures
from serve.live_shared import LiveShared
from serve.logs import tell
from serve.moment import Moment
from serve.private import PrivateReplay
from serve.request import StreamRequest
from serve.shared import Cursor, SharedSession
from serve.workshop import Workshop

logger = logging.getLogger(__name__)

# Clients that were cut off together come back some bins apart; who is first decides where computing begins.
_RESUME_MARGIN: Final = 256
_CAUGHT_UP: Final = 2  # bins behind the live session's newest are with it


class SessionKey(NamedTuple):
    """All that decides the bits of a session's frames, and their pace."""

    files: tuple[tuple[str, int, int, int], ...]  # path, inode, bytes, when it was last changed
    day: str
    stretch: Stretch | None
    start_time: str | None
    config_version: str
    model: str | int
    speed: float
    perm_names: tuple[str, ...]
    assumes_symbol: bool


def key_of(request: StreamRequest) -> SessionKey:
    """What two requests must agree in to share a session.

    Raises
    ------
    OSError
        The raw file is gone.
    """
    paths = (*request.before, request.dbn)
    stats = [(path, None if request.live else os.stat(path)) for path in paths]  # what is live grows
    return SessionKey(
        tuple((str(path), *((stat.st_ino, stat.st_size, stat.st_mtime_ns) if stat else (0, 0, 0))) for path, stat in stats),
        request.dt.isoformat(),
        request.stretch,
        request.start_time,
        request.config.config_version,
        request.model,
        request.speed,
        request.perm_names,
        request.assumes_symbol,
    )


class Hub:
    """The replays of one replica; touched from its event loop only.

    Clients that ask for the same share a session. There may be several of it, begun at different times: whoever goes on at a bin
    that none of them can give begins another, which all who ask for bins near it then share.

    Parameters
    ----------
    workshop : Workshop
        What replays are made with.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._shared: dict[SharedSession, SessionKey] = {}  # in order of their beginning
        self._private: set[PrivateReplay] = set()
        self._n_begun = 0
        self.told_feed: Callable[[], dict[str, Any] | None] = lambda: None  # how the live feed is, where there is one

    @property
    def n_sessions(self) -> int:
        """Engines that run, or wait for their viewers to come back."""
        return len(self._shared) + len(self._private)

    def join(self, request: StreamRequest, wake: Callable[[], None]) -> Cursor:
        """A place in the shared session of a request, which begins where none runs.

        Raises
        ------
        BusyError
            As many run as may.
        OSError
            The raw file is gone.
        """
        key = key_of(request)
        running = [shared for shared, its_key in self._shared.items() if its_key == key]
        if request.resumes:
            bin_seq = request.resume_from
            shared = next((one for one in running if one.can_give(bin_seq)), None) or self._begin(key, request)
            return shared.join(bin_seq, wake)
        # What has ended is over for whoever asks for the session; its last bins are there for who wants to see them again.
        there = [one for one in running if one.close is None or (request.backfill and not one.failed)]
        if not there:
            return self._begin(key, request).join(request.resume_from, wake)
        shared = max(there, key=lambda one: (one.close is None, one.n_clients))
        n_before = 1 if request.backfill is None else request.backfill
        return shared.join(max(shared.ring.first, shared.here - n_before), wake)

    async def join_live(self, request: StreamRequest, wake: Callable[[], None]) -> Cursor:
        """A place in the live session of a request, once that has caught up with the day: near now, or where it goes on.

        What it goes on from and is kept no more is skipped, and counted.

        Raises
        ------
        ConfigError
            It goes on at a bin that has not come yet.
        BusyError
            As many run as may.
        """
        shared = self._live(request) or self._begin(key_of(request), request)
        cursor = shared.join(shared.ring.head, wake)
        try:
            await shared.opened.wait()
            head, ahead = shared.ring.head, int(self._workshop.limits.ahead_s / shared.pacer.period_s)
            if request.resumes and request.resume_from > head + ahead and not shared.failed:
                raise ConfigError(f"resume_from was {request.resume_from}, and the live session is at bin {head}; leave it out")
        except BaseException:
            cursor.leave()
            raise
        n_before = 1 if request.backfill is None else request.backfill
        cursor.place(request.resume_from if request.resumes else max(shared.ring.first, head - n_before))
        return cursor

    def rejoin_live(self, request: StreamRequest, bin_seq: int, wake: Callable[[], None]) -> Cursor | None:
        """A place at a bin of the live session, for a replay that has caught up with it; None where it has not."""
        shared = self._live(request)
        if shared is None or not shared.opened.is_set() or not 0 <= shared.ring.head - bin_seq <= _CAUGHT_UP:
            return None
        return shared.join(bin_seq, wake) if bin_seq >= shared.ring.first else None

    def keep_live(self, request: StreamRequest) -> LiveShared:
        """The live session of a request, which goes on whoever watches."""
        shared = self._live(request) or self._begin(key_of(request), request)
        assert isinstance(shared, LiveShared)
        shared.is_kept = True
        return shared

    def _live(self, request: StreamRequest) -> SharedSession | None:
        key = key_of(request)
        return next((one for one, its_key in self._shared.items() if its_key == key and one.close is None), None)

    async def own(
        self, request: StreamRequest, place: int | Moment, history: int, wake: Callable[[], None], *, instead: bool = False
    ) -> tuple[PrivateReplay, int]:
        """A replay of one client's own, open and held at the bin of a place, and that bin; ``instead`` of one it has already.

        Raises
        ------
        EngineError
            There is no such place, the data cannot be read, or (`BusyError`) as many run as may.
        """
        most = self._workshop.limits.max_private
        if len(self._private) >= most and not instead:
            raise BusyError(f"{len(self._private)} replays at a place or speed of their own run and that is the limit; try later")
        replay = PrivateReplay(self._next_number(), request, self._workshop, wake, self._private.discard)
        self._private.add(replay)
        return replay, await replay.open(place, history)

    async def stop(self) -> None:
        """End every session."""
        for replay in list(self._private):
            replay.leave()
        ending = list(self._shared)
        for shared in ending:
            shared.stop()
        await asyncio.gather(*(shared.stopped() for shared in ending))

    def told(self) -> list[dict[str, Any]]:
        """The sessions, as ``/v1/sessions`` and ``/health`` tell them."""
        return [*(one.told() for one in self._shared), *(one.told() for one in sorted(self._private, key=lambda p: p.number))]

    def figures(self) -> list[SessionFigures]:
        """The same for the metrics."""
        return [
            SessionFigures(
                name=told["dt"] + ("" if told["start_time"] is None else f"T{told['start_time']}"),
                is_shared=told["shared"],
                clients=told["clients"],
                ring_bytes=told.get("ring_bytes", 0),
                lag_ms=told["lag_p99_ms"],
                jitter_ms=told["jitter_ms"],
            )
            for told in self.told()
        ]

    def _begin(self, key: SessionKey, request: StreamRequest) -> SharedSession:
        most = self._workshop.limits.max_sessions
        if len(self._shared) >= most:
            idle = next((one for one in self._shared if one.n_clients == 0 and not one.is_kept), None)
            if idle is None:
                raise BusyError(f"{len(self._shared)} different sessions are being watched and that is the limit; try later")
            idle.stop()
        first_bin = max(0, request.resume_from - _RESUME_MARGIN)
        kind = SharedSession if request.live is None else LiveShared
        shared = kind(self._next_number(), request, first_bin, self._workshop, self._over)
        self._shared[shared] = key
        tell(logger, "session begins", session=shared.number, dt=request.dt.isoformat(), start_time=request.start_time)
        return shared

    def _over(self, shared: SharedSession) -> None:
        if self._shared.pop(shared, None) is not None:
            tell(logger, "session ends", session=shared.number)

    def _next_number(self) -> int:
        self._n_begun += 1
        return self._n_begun
