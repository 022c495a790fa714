"""The shared session of a live day: no clock paces it, each bin goes out as soon as its records have come."""

import asyncio
from collections import OrderedDict
from functools import partial
from typing import Final

from serve.live_session import LiveSession
from serve.pacing import Pacer
from serve.ring import Ring
from serve.session import ConfigFrame, Session
from serve.shared import SharedSession, framed_turn

_PATIENCE: Final = 4  # a burst after a standstill is nobody's slow reading
_BREATH_BINS: Final = 16  # before others have their turn


class Arrivals(Pacer):
    """When bins were due that come as they come: once what closed them had arrived."""

    def __init__(self, cell_width_ms: int, kept: int) -> None:
        super().__init__(cell_width_ms, 1.0)
        self._kept = kept
        self._at: OrderedDict[int, float] = OrderedDict()
        self.start(0.0)

    def came(self, bin_seq: int, when: float) -> None:
        """What closed a bin arrived, seconds of the monotonic clock."""
        self._at[bin_seq] = when
        if len(self._at) > self._kept:
            self._at.popitem(last=False)

    def due(self, bin_seq: int) -> float:
        """When that was; of a bin that is kept no more, when the oldest one's was."""
        return self._at.get(bin_seq) or next(iter(self._at.values()), 0.0)


class LiveShared(SharedSession):
    """One computation of the day under way for all who watch it; see `SharedSession`."""

    pacer: Arrivals

    def _is_open(self, session: Session) -> None:
        assert isinstance(session, LiveSession)
        limits, loop = self._workshop.limits, asyncio.get_running_loop()
        self.ring = Ring(session.next_bin, limits.ring_bins, limits.ring_bytes)
        self.pacer = Arrivals(self.request.config.cell_width_ms, limits.ring_bins)
        session.on_change = lambda config: _call(loop, partial(self._say, config))

    @property
    def max_behind(self) -> int:
        return self._workshop.limits.queue_bins * _PATIENCE

    @property
    def here(self) -> int:
        return self.ring.head

    @property
    def followed(self) -> "tuple[int, int] | None":
        """Records and holes taken in so far, and up to which event time, UTC ns; None before it is made."""
        session = self._session
        if not isinstance(session, LiveSession):
            return None
        return session.followed.n_records + session.followed.n_holes, session.followed.known_until_ns

    async def _until_due(self, session: Session) -> None:
        return  # what comes is waited for where it is computed

    async def _turn(self, session: Session) -> None:
        assert isinstance(session, LiveSession)
        items = await self._in_thread(partial(framed_turn, session, 1))
        if self.extent is None and session.extent is not None:
            self.extent = session.extent
            said = await self._in_thread(session.config_frame)
            self._say(ConfigFrame(said.text, self.ring.head, said.plain))
        arrived_s = session.followed.arrived_s
        for i, item in enumerate(items):
            if isinstance(item, ConfigFrame):
                self._say(item)
                continue
            self.pacer.came(item.frames.bin_seq, arrived_s)
            self.ring.append(item)
            self._wake()
            if i % _BREATH_BINS == _BREATH_BINS - 1:
                await asyncio.sleep(0)


def _call(loop: asyncio.AbstractEventLoop, what: "partial[None]") -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)
