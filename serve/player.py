"""What one client is sent: from a shared session until it goes its own way, from a replay of its own after that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.errors import EngineError
from serve.closing import BusyError
from serve.control import Control, ControlError
from serve.frames import message
from serve.hub import Hub
from serve.moment import Moment
from serve.private import PrivateReplay
from serve.request import AT_BACKFILL, StreamRequest
from serve.send_queue import Item, Text
from serve.session import CONFIG_KIND
from serve.shared import Cursor
from serve.wire import Framed


class Player:
    """Place, speed and pause of one client; touched from the event loop only.

    Parameters
    ----------
    request : StreamRequest
        What was asked for at first.
    hub : Hub
        Where replays come from.
    wake : callable
        Called when there may be more to take.
    """

    def __init__(self, request: StreamRequest, hub: Hub, wake: Callable[[], None]) -> None:
        self._request = request
        self._hub = hub
        self._wake = wake
        self._feed: Cursor | PrivateReplay | None = None
        self._is_left = False
        self._n_let = 0  # bins that may still go out while it is paused
        self._told: str | None = None  # the last runtime_config
        self._n_skipped = 0  # by the feeds before this one
        self.speed = request.speed
        self.paused = False
        self.next_bin = request.resume_from
        self.last_bin = request.resume_from - 1  # of those sent, or before the first one

    async def begin(self) -> None:
        """Find the first feed.

        Raises
        ------
        EngineError, OSError
            The request cannot be met.
        """
        request = self._request
        if request.at is not None:
            self.paused = True
            if request.resumes:
                await self._own(request.resume_from, 0)
            else:
                n_bins = AT_BACKFILL if request.backfill is None else request.backfill
                await self._own(request.at, max(0, n_bins - 1))
        elif request.live is not None:
            await self._begin_live(request)
        elif request.speed == 0:
            await self._own(request.resume_from, 0)
        else:
            try:
                feed = self._hub.join(request, self._wake)
            except BusyError:
                if not request.resumes:
                    raise
                await self._own(request.resume_from, 0)  # who was watching is not sent away for want of a clock to share
            else:
                self._start_at(feed.next_bin)
                self._feed = feed

    async def _begin_live(self, request: StreamRequest) -> None:
        """Join the live session; what a client that comes back has missed and is kept no more counts as skipped."""
        cursor = await self._hub.join_live(request, self._wake)
        self.next_bin, self.last_bin, self.speed, self.paused = cursor.next_bin, cursor.next_bin - 1, 1.0, False
        self._change_to(cursor)

    def take(self) -> Item | None:
        """What the client is sent next; None while there is nothing, or it wants nothing."""
        while (item := self._next()) is not None:
            if isinstance(item, Framed):
                bin_seq = item.frames.bin_seq
                if bin_seq < self.next_bin:
                    continue  # it had that one from the feed before
                self.next_bin = bin_seq + 1
                self._n_let = max(0, self._n_let - 1)
            elif isinstance(item, Text) and item.replaces == CONFIG_KIND:
                if item.text == self._told:
                    continue  # the feed before said the same
                self._told = item.text
            return item
        return None

    def _next(self) -> Item | None:
        feed = self._feed
        if isinstance(feed, PrivateReplay) and self._request.live is not None and not self.paused and not 0 < self.speed < 1:
            live = self._hub.rejoin_live(self._request, self.next_bin, self._wake)
            if live is not None:  # it has caught up
                self._change_to(live)
                self.speed, feed = 1.0, live
        if feed is None:
            return None
        if self.paused and self._n_let == 0:
            # What it is told of another model does not wait until it goes on.
            return feed.take(texts_only=True) if isinstance(feed, PrivateReplay) else None
        return feed.take()

    def sent(self, framed: Framed, now: float) -> float | None:
        """A bin has left; how long after it was due, milliseconds, where it was due at a time."""
        self.last_bin = framed.frames.bin_seq
        due = None if self._feed is None else self._feed.due(self.last_bin)
        if due is None or self._feed is None:
            return None
        lag_ms = (now - due) * 1000.0
        self._feed.sent(self.last_bin, lag_ms)
        return lag_ms

    @property
    def number(self) -> int | None:
        """Of the session that feeds it, among those of this replica."""
        return None if self._feed is None else self._feed.number

    @property
    def state(self) -> dict[str, Any]:
        """What an ``ack`` and a ``heartbeat`` tell."""
        shared = isinstance(self._feed, Cursor)
        told: dict[str, Any] = {"paused": self.paused, "speed": self.speed, "next_bin": self.next_bin, "shared": shared}
        if self._request.live is not None:
            told |= {"live": shared, "feed": self._hub.told_feed()}
        return told

    @property
    def n_skipped(self) -> int:
        """Bins left out because the client read too slowly."""
        return self._n_skipped + (0 if self._feed is None else self._feed.n_skipped)

    def leave(self) -> None:
        """The client is gone."""
        self._is_left = True
        self._change_to(None)

    # --- controls ---

    async def apply(self, control: Control) -> str:
        """Do as a client asks; the ``ack`` that answers it.

        Raises
        ------
        ControlError
            It cannot be done; all goes on as before.
        """
        try:
            await _DOERS[control.kind](self, control)
        except ControlError:
            raise
        except BusyError as error:
            raise ControlError(str(error), "busy", control.kind) from None
        except (EngineError, OSError) as error:
            raise ControlError(str(error), of=control.kind) from None
        self._wake()
        return message("ack", of=control.kind, state=self.state)

    async def _pause(self, _: Control) -> None:
        self.paused, self._n_let = True, 0
        if isinstance(self._feed, PrivateReplay):
            self._feed.hold(self.next_bin)
        else:
            self._change_to(None)  # the others' session goes on without it

    async def _resume(self, _: Control) -> None:
        if self.paused:
            replay = await self._replay()
            self.paused = False
            replay.go(self.speed, self.next_bin)

    async def _step(self, control: Control) -> None:
        if not self.paused:
            await self._pause(control)
        replay = await self._replay()
        self._n_let += control.bins
        replay.hold(self.next_bin + self._n_let)

    async def _set_speed(self, control: Control) -> None:
        if control.speed == self.speed:
            return
        if isinstance(self._feed, Cursor) and self._request.live is not None and not 0 < control.speed < 1:
            raise ControlError(
                f"value was {control.speed:g}; a live session goes no faster than the market, seek to an earlier place first",
                "unsupported",
                control.kind,
            )
        if self.paused:
            self.speed = control.speed
            return
        replay = await self._replay()
        self.speed = control.speed
        replay.go(self.speed, self.next_bin)

    async def _seek(self, control: Control) -> None:
        if control.to_live:
            if self._request.live is None:
                raise ControlError("to was 'live'; this is a replay of a past day", "unsupported", control.kind)
            await self._begin_live(replace(self._request, resumes=False, backfill=control.backfill + 1))
            return
        assert control.to is not None
        await self._own(control.to, control.backfill)

    # --- its parts ---

    async def _replay(self) -> PrivateReplay:
        """The client's own replay, begun where it is where it has none; until that is open the feed before goes on."""
        if not isinstance(self._feed, PrivateReplay):
            await self._own(self.next_bin, 0, again=True)
        assert isinstance(self._feed, PrivateReplay)
        return self._feed

    async def _own(self, place: int | Moment, history: int, *, again: bool = False) -> None:
        """Change to a replay of its own, so many bins before a place; who is paused sees a place sought and stays there.

        ``again``: it goes on at the next bin, wherever the client has got by the time the replay is open.
        """
        has_own = isinstance(self._feed, PrivateReplay)
        replay, bin_seq = await self._hub.own(self._request, place, history, self._wake, instead=has_own)
        if self._is_left:
            replay.leave()
            return
        self._change_to(replay)
        if again:
            return
        first = max(0, bin_seq - history)
        self._start_at(first)
        if self.paused:
            self._n_let = bin_seq - first + 1 if isinstance(place, Moment) else 0
            replay.hold(first + self._n_let)
        else:
            replay.go(self.speed, bin_seq)

    def _start_at(self, bin_seq: int) -> None:
        self.next_bin = bin_seq
        self.last_bin = bin_seq - 1

    def _change_to(self, feed: Cursor | PrivateReplay | None) -> None:
        before, self._feed = self._feed, feed
        if before is not None:
            before.leave()
            self._n_skipped += before.n_skipped


_DOERS = {
    "pause": Player._pause,
    "resume": Player._resume,
    "step": Player._step,
    "speed": Player._set_speed,
    "seek": Player._seek,
}
