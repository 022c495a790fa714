"""A replay of one client's own: at its own place and speed, computed only as far as that client wants."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from engine.run.extent import Extent
from serve.closing import close_for, end_of
from serve.figures import Pace
from serve.moment import Moment
from serve.pacing import Pacer
from serve.request import StreamRequest
from serve.send_queue import Item, SendQueue, Text
from serve.session import CONFIG_KIND, MODEL_CHANGE, ConfigFrame, Session
from serve.shared import framed_turn, told_of
from serve.workshop import Workshop


class PrivateReplay:
    """Begun near its first bin from a kept state, on threads that no shared session uses.

    Parameters
    ----------
    number : int
        Among the sessions of this replica.
    request : StreamRequest
        What to play.
    workshop : Workshop
        Threads, clock, limits.
    wake : callable
        Called when there may be more to take.
    on_over : callable
        Called with this replay once its client has left it.
    """

    def __init__(
        self,
        number: int,
        request: StreamRequest,
        workshop: Workshop,
        wake: Callable[[], None],
        on_over: Callable[["PrivateReplay"], None],
    ) -> None:
        self.number = number
        self.request = request
        self.pace = Pace()
        self._workshop = workshop
        self._on_over = on_over
        self._queue = SendQueue(workshop.limits.queue_bins, skips=False, wake=wake)
        self._pacer = Pacer(request.config.cell_width_ms, 0.0)
        self._held_at: int | None = 0  # bins from this one on wait; None while it runs
        self._turned = asyncio.Event()  # set where what is wanted has changed
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_left = False
        # What is live comes when it comes: nobody else waits on the thread that waits for it.
        self._thread = None if request.live is None else ThreadPoolExecutor(1, thread_name_prefix=f"session-{number}")

    @property
    def _start_pool(self) -> ThreadPoolExecutor:
        return self._thread or self._workshop.start_pool

    @property
    def _bin_pool(self) -> ThreadPoolExecutor:
        return self._thread or self._workshop.bin_pool

    async def open(self, place: int | Moment, history: int = 0) -> int:
        """Find the place and compute up to so many bins before it; held there, until `go` or `hold` says what is wanted.

        Returns
        -------
        int
            The bin of the place.

        Raises
        ------
        EngineError
            There is no such place, or the data cannot be read.
        """
        loop, pool = asyncio.get_running_loop(), self._start_pool
        try:
            session = await loop.run_in_executor(pool, self._made)
            bin_seq = place if isinstance(place, int) else await loop.run_in_executor(pool, session.bin_of, place)
            session.begin_at(max(0, bin_seq - history))
            self._held_at = session.next_bin
            await loop.run_in_executor(pool, session.open)  # a call of its own: closed, it breaks off
            config = await loop.run_in_executor(pool, session.config_frame)
        except BaseException:
            self.leave()
            raise
        await self._queue.put_text(Text(config.plain, CONFIG_KIND))
        self._task = loop.create_task(self._produce(session))
        return bin_seq

    def _made(self) -> Session:
        self._session = session = self._workshop.session(self.request, shared=False)
        if self._is_left:
            session.close()
        return session

    # --- what its client wants ---

    def go(self, speed: float, bin_seq: int) -> None:
        """Run from a bin, which is due now, at a speed; 0 is as fast as the client reads."""
        self._pacer = Pacer(self.request.config.cell_width_ms, speed, bin_seq)
        self._pacer.start(self._workshop.clock.now())
        self._held_at = None
        self._queue.skips = speed > 0
        self._queue.let_go()
        self._turned.set()

    def hold(self, bin_seq: int) -> None:
        """Compute up to a bin as fast as can be, and wait there."""
        self._held_at = bin_seq
        self._queue.skips = False
        self._turned.set()

    def take(self, *, texts_only: bool = False) -> Item | None:
        """What the client is sent next; None while there is nothing, or no text where only that is wanted."""
        return self._queue.take(texts_only=texts_only)

    @property
    def n_skipped(self) -> int:
        """Bins left out because the client read too slowly."""
        return self._queue.n_skipped

    def due(self, bin_seq: int) -> float | None:
        """When a bin was to leave, by the clock; None where there is no pace."""
        paced = self._held_at is None and self._pacer.is_paced and bin_seq >= self._pacer.first_bin
        return self._pacer.due(bin_seq) if paced else None

    def sent(self, bin_seq: int, lag_ms: float) -> None:
        """A bin has left."""
        self.pace.bin_sent(lag_ms)

    @property
    def extent(self) -> Extent | None:
        return None if self._session is None else self._session.extent

    def leave(self) -> None:
        """The client is gone, or wants another replay."""
        if self._is_left:
            return
        self._is_left = True
        if self._task is not None:
            self._task.cancel()
            self._task = None  # how it ended leads back to here: without the circle the engine is freed at once
        if self._session is not None:
            self._workshop.release(self._session)
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        self._on_over(self)

    # --- the computation ---

    async def _produce(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        try:
            while not session.ended:
                n_bins = self._n_wanted(session)
                if n_bins == 0:
                    await self._wait(session)
                    continue
                items = await loop.run_in_executor(self._bin_pool, partial(framed_turn, session, n_bins))
                await self._put(items)
            self._queue.close(end_of(session.n_bins, session.told))
        except Exception as error:
            self._queue.close(close_for(error))

    def _n_wanted(self, session: Session) -> int:
        """How many bins to compute now."""
        self._turned.clear()
        most, next_bin = self._workshop.limits.batch_bins, session.next_bin
        if self._held_at is not None:
            return max(0, min(most, self._held_at - next_bin))
        if not self._pacer.is_paced:
            return most
        before = self._pacer.first_bin - next_bin
        return min(most, before if before > 0 else self._pacer.n_due(next_bin, self._workshop.clock.now()))

    async def _wait(self, session: Session) -> None:
        """Wait for the next bin's time, or until something else is wanted; a new signal takes over meanwhile."""
        loop, clock, poll_s = asyncio.get_running_loop(), self._workshop.clock, self._workshop.limits.champion_poll_s
        if self._held_at is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._turned.wait(), poll_s)
        else:
            until = min(self._pacer.due(session.next_bin), clock.now() + poll_s)
            waiting = [loop.create_task(clock.sleep_until(until)), loop.create_task(self._turned.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
        if session.wants_change:
            await self._put(await loop.run_in_executor(self._bin_pool, session.change_signal))

    async def _put(self, items: Any) -> None:
        for item in items:
            if isinstance(item, ConfigFrame):
                self._workshop.figures.swaps += item.reason == MODEL_CHANGE
                await self._queue.put_text(Text(item.text, CONFIG_KIND))
            else:
                await self._queue.put_bin(item)

    def told(self) -> dict[str, Any]:
        """What ``/v1/sessions`` and ``/health`` say of it."""
        pace, session = self.pace, self._session
        return {
            "session": self.number,
            "shared": False,
            **told_of(self.request, self.extent),
            "speed": self._pacer.speed,
            "clients": 1,
            "state": "held" if self._held_at is not None else "running",
            "next_bin": None if session is None else session.next_bin,
            "lag_ms": pace.lag_ms(0.5),
            "lag_p99_ms": pace.lag_ms(0.99),
            "jitter_ms": None if pace.jitter_ms is None else round(pace.jitter_ms, 3),
        }
