"""A replay that is computed once, at its own absolute pace on a thread of its own, for however many clients watch it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from engine.run.extent import Extent
from serve.closing import BAD_REQUEST, close_for, end_of, error_close
from serve.figures import Pace
from serve.pacing import Pacer
from serve.request import StreamRequest
from serve.ring import Ring
from serve.send_queue import Close, Item, Text
from serve.session import CONFIG_KIND, MODEL_CHANGE, ConfigFrame, Session
from serve.wire import Framed, frame
from serve.workshop import Workshop

_T = TypeVar("_T")
_LEAD_S: Final = 0.010  # a bin is computed so long before it is due, so that its making is no part of its delay
_RENEW_S: Final = 5.0  # what new clients are told of the model's record is at most so old


class SharedSession:
    """One computation, one ring of framed bins, any number of cursors into it.

    The clock starts with the first viewer and never waits: whoever comes later joins it where it stands.

    Parameters
    ----------
    number : int
        Among the sessions of this replica.
    request : StreamRequest
        Of the first viewer; its ``resume_from`` is the bin that is due when the pace starts.
    first_bin : int
        At or before it: the first bin that is computed and kept.
    workshop : Workshop
        Threads, clock, limits.
    on_over : callable
        Called with this session once no client may join it any more.
    """

    def __init__(
        self,
        number: int,
        request: StreamRequest,
        first_bin: int,
        workshop: Workshop,
        on_over: Callable[["SharedSession"], None],
    ) -> None:
        limits = workshop.limits
        self.number = number
        self.request = request
        self.ring = Ring(first_bin, limits.ring_bins, limits.ring_bytes)
        self.pace = Pace()
        self.pacer = Pacer(request.config.cell_width_ms, request.speed, request.resume_from)
        self.close: Close | None = None  # what is said behind the last bin
        self.failed = self.is_kept = False  # kept: it goes on without viewers
        self.extent: Extent | None = None
        self.opened = asyncio.Event()  # its first bin has been computed, or it has failed
        self._workshop = workshop
        self._on_over = on_over
        self._cursors: set[Cursor] = set()
        self._session: Session | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"session-{number}")
        self._renewed = 0.0
        self._last_sent = first_bin - 1
        self._lingering: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    # --- its viewers ---

    @property
    def n_clients(self) -> int:
        return len(self._cursors)

    @property
    def max_behind(self) -> int:
        """Bins that a client that reads too slowly may be behind."""
        return self._workshop.limits.queue_bins

    @property
    def here(self) -> int:
        """Where the clock stands: the next bin to come."""
        return max(self.ring.head, self.pacer.first_bin)

    def can_give(self, bin_seq: int) -> bool:
        """Whether a client may go on at a bin: it is kept, or will come soon."""
        if self.failed:
            return False
        ahead = 0 if self.close is not None else int(self._workshop.limits.ahead_s / self.pacer.period_s)
        return self.ring.first <= bin_seq <= self.here + ahead

    def join(self, bin_seq: int, wake: Callable[[], None]) -> "Cursor":
        """Begin to watch from a bin on; ``wake`` is called when there may be more to take."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        cursor = Cursor(self, bin_seq, self.max_behind, wake)
        self._cursors.add(cursor)
        if self._session is not None and self.close is None:
            self._renew()
        return cursor

    def leave(self, cursor: "Cursor") -> None:
        """A client is gone; after the last one the session lingers, so that a page loaded anew finds it."""
        self._cursors.discard(cursor)
        self.linger()

    def linger(self) -> None:
        """Where nobody watches any more: end in a while."""
        if self._cursors or self._lingering is not None or self.is_kept:
            return
        if self.failed or self.ring.n_said == 0 or self._workshop.is_closing():
            self.stop()  # nothing was computed yet that anybody could want
        else:
            self._lingering = asyncio.get_running_loop().call_later(self._workshop.limits.linger_s, self.stop)

    def stop(self) -> None:
        """End it, whoever still watches."""
        if self._lingering is not None:
            self._lingering.cancel()
        if self._session is not None and self.ring.n_said == 0:
            self._session.close()  # it is opening: that breaks off
        self._task.cancel()
        self._on_over(self)

    async def stopped(self) -> None:
        """Wait until it has ended."""
        await asyncio.gather(self._task, return_exceptions=True)

    def sent(self, bin_seq: int, lag_ms: float) -> None:
        """A client has been sent a bin; the first one of each bin counts for the session's pace."""
        if bin_seq > self._last_sent:
            self._last_sent = bin_seq
            self.pace.bin_sent(lag_ms)

    # --- the computation ---

    async def _run(self) -> None:
        try:
            session = await self._in_thread(self._made)
            await self._in_thread(partial(session.open, self.request.resume_from))  # a call of its own: closed, it breaks off
            self.extent = session.extent
            self._is_open(session)
            self.ring.say(await self._in_thread(session.config_frame))
            self.opened.set()
            self._wake()
            while not session.ended:
                await self._until_due(session)
                await self._turn(session)
            self.close = end_of(session.n_bins, session.told)
        except Exception as error:
            self.close, self.failed = close_for(error), True
            self._on_over(self)
        finally:
            self.opened.set()
            self._wake()
            if self._session is not None:
                self._workshop.release(self._session)
            self._thread.shutdown(wait=False)

    def _is_open(self, session: Session) -> None:
        """What is known once it is open."""

    def _made(self) -> Session:
        request = replace(self.request, resume_from=self.ring.first)
        self._session = session = self._workshop.session(request, shared=True)
        return session

    async def _until_due(self, session: Session) -> None:
        """Wait until the next bin must be begun; a new signal takes over meanwhile, however slow the pace is."""
        clock, pacer = self._workshop.clock, self.pacer
        if session.next_bin < pacer.first_bin:
            return
        pacer.start(clock.now())
        begin = pacer.due(session.next_bin) - min(_LEAD_S, pacer.period_s / 2)
        while (now := clock.now()) < begin:
            await clock.sleep_until(min(begin, now + self._workshop.limits.champion_poll_s))
            if session.wants_change:
                for config in await self._in_thread(session.change_signal):
                    self._say(config)

    async def _turn(self, session: Session) -> None:
        """Compute the bins that are due, and let each go in its time."""
        clock, pacer, most = self._workshop.clock, self.pacer, self._workshop.limits.batch_bins
        before = pacer.first_bin - session.next_bin
        n_bins = before if before > 0 else pacer.n_due(session.next_bin, clock.now())
        for item in await self._in_thread(partial(framed_turn, session, max(1, min(most, n_bins)))):
            if isinstance(item, ConfigFrame):
                self._say(item)
                continue
            if item.frames.bin_seq >= pacer.first_bin:
                await clock.sleep_until(pacer.due(item.frames.bin_seq))
            self.ring.append(item)
            self._wake()
        if session.ended and session.n_bins >= pacer.first_bin:
            pacer.start(clock.now())
            await clock.sleep_until(pacer.due(session.n_bins))  # the end, too, is said in its time

    def _say(self, config: ConfigFrame) -> None:
        self._workshop.figures.swaps += config.reason == MODEL_CHANGE
        self._renewed = self._workshop.clock.now()
        self.ring.say(config)
        self._wake()

    def _renew(self) -> None:
        """Have what new clients are told of the model's record made anew, where it is old."""
        session, now = self._session, self._workshop.clock.now()
        if session is None or self.ring.n_said == 0 or now - self._renewed < _RENEW_S:
            return
        self._renewed = now
        n_said = self.ring.n_said

        def renew(made: asyncio.Future[ConfigFrame]) -> None:
            if not made.cancelled() and made.exception() is None and self.ring.n_said == n_said:
                self.ring.renew(made.result().plain)

        self._in_thread(session.config_frame).add_done_callback(renew)

    def _in_thread(self, call: Callable[[], _T]) -> "asyncio.Future[_T]":
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _wake(self) -> None:
        for cursor in self._cursors:
            cursor.wake()

    def told(self) -> dict[str, Any]:
        """What ``/v1/sessions`` and ``/health`` say of it."""
        pace, ring, extent = self.pace, self.ring, self.extent
        return {
            "session": self.number,
            "shared": True,
            **told_of(self.request, extent),
            "clients": self.n_clients,
            "state": "ended" if self.close is not None else "lingering" if not self._cursors else "running",
            "first_bin": ring.first,
            "next_bin": ring.head,
            "ring_bytes": ring.n_bytes,
            "lag_ms": pace.lag_ms(0.5),
            "lag_p99_ms": pace.lag_ms(0.99),
            "jitter_ms": None if pace.jitter_ms is None else round(pace.jitter_ms, 3),
        }


class Cursor:
    """Where one client is in a shared session."""

    def __init__(self, shared: SharedSession, bin_seq: int, max_behind: int, wake: Callable[[], None]) -> None:
        self._shared = shared
        self._max_behind = max_behind
        self._n_said = 0  # of the session's runtime_config, told to this client
        self._live_from: int | None = None  # the first bin that came after it had caught up
        self.next_bin = bin_seq
        self.n_skipped = 0
        self.wake = wake
        self._keep_up()

    def place(self, bin_seq: int) -> None:
        """Go on at a bin; nothing was taken yet."""
        self.next_bin, self._live_from, self.n_skipped = bin_seq, None, 0

    def take(self) -> Item | None:
        """What the client is sent next; None while there is nothing."""
        ring = self._shared.ring
        self._keep_up()
        if (config := self._config()) is not None:
            return config
        if self.next_bin < ring.head and self._n_said > 0:
            framed = ring[self.next_bin]
            self.next_bin += 1
            return framed
        close = self._shared.close
        if close is not None and self.next_bin > ring.head and not self._shared.failed:
            n_bins = ring.head
            return error_close("bad_request", f"bin {self.next_bin} was asked for; this session has {n_bins} bins", BAD_REQUEST)
        return close

    def due(self, bin_seq: int) -> float | None:
        """When a bin was to leave, by the clock; None for those that came late because the client did."""
        return self._shared.pacer.due(bin_seq) if self._live_from is not None and bin_seq >= self._live_from else None

    def sent(self, bin_seq: int, lag_ms: float) -> None:
        """A bin has left."""
        self._shared.sent(bin_seq, lag_ms)

    @property
    def extent(self) -> Extent | None:
        return self._shared.extent

    @property
    def number(self) -> int:
        """The session's, among those of this replica."""
        return self._shared.number

    def leave(self) -> None:
        """The client is gone, or goes its own way."""
        self._shared.leave(self)

    def _keep_up(self) -> None:
        """Skip what is kept no more, and for a client that had caught up and reads too slowly, all but the newest bins."""
        ring = self._shared.ring
        least = ring.first if self._live_from is None else max(ring.first, ring.head - self._max_behind)
        if self.next_bin < least:
            self.n_skipped += least - self.next_bin
            self.next_bin = least
        if self._live_from is None and self.next_bin >= self._shared.here:
            self._live_from = self.next_bin

    def _config(self) -> Text | None:
        said = self._shared.ring.said_for(self.next_bin)
        if said is None or said[0] < self._n_said:
            return None
        number, config = said
        text = config.plain if self._n_said == 0 else config.text
        self._n_said = number + 1
        return Text(text, CONFIG_KIND)


def told_of(request: StreamRequest, extent: Extent | None) -> dict[str, Any]:
    """What is said of any replay: what is played, and how far it reaches."""
    reach = {} if extent is None else {"start_ns": str(extent.start_ns), "end_ns": str(extent.end_ns)}
    return {
        "dt": request.dt.isoformat(),
        "start_time": request.start_time,
        "speed": request.speed,
        "model": request.model,
        **reach,
    }


def framed_turn(session: Session, n_bins: int) -> list[ConfigFrame | Framed]:
    """The next bins, framed for the wire where they are computed."""
    return [item if isinstance(item, ConfigFrame) else frame(item) for item in session.turn(n_bins)]
