"""The WebSocket endpoint: one client's states, from handshake to goodbye.

A receiver, a controller and a sender run side by side. The sender takes what there is for this client, whole bins only, so that a
session never waits for a socket it should not wait for and a socket never sees half a bin.
"""

import asyncio
import logging
import time
from enum import Enum
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.errors import EngineError
from serve.access import is_origin_allowed, is_token_right
from serve.closing import BAD_REQUEST, GOING_AWAY, NORMAL, TRY_LATER, close_for, error_close
from serve.control import ControlError, read_control
from serve.frames import message
from serve.logs import STREAM, tell
from serve.player import Player
from serve.request import read_request
from serve.send_queue import Close, SendQueue, Text
from serve.service import Service
from serve.wire import Framed, Outlet, outlet_of

logger = logging.getLogger(__name__)

_MAX_CONTROLS: Final = 64  # that wait while one is done
_BREATH_BINS: Final = 16  # written at once where the socket takes them, before others have their turn


class StreamState(Enum):
    """Where a stream is; it only moves forward."""

    CONNECTING = 1  # handshake and query
    STARTING = 2  # source opening, book fast-forwarding
    STREAMING = 3
    CLOSING = 4  # last frames on their way
    CLOSED = 5


class Stream:
    """One client.

    Parameters
    ----------
    websocket : WebSocket
        Not yet accepted.
    service : Service
        What the replica's streams share.
    """

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._woken = asyncio.Event()
        self._answers = SendQueue(1, skips=False, wake=self._woken.set)  # to controls; and the goodbye
        self._player: Player | None = None
        self._number = 0  # among the streams of this replica
        self._last_sent = 0.0  # monotonic, s
        self._last_beat = 0.0
        self._is_live = False
        self._beat_is_due = False
        self.state = StreamState.CONNECTING
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_streaming(self) -> bool:
        return self.state is StreamState.STREAMING

    @property
    def session(self) -> int | None:
        """Number of the session that feeds it, among those of this replica."""
        return None if self._player is None else self._player.number

    def go_away(self) -> None:
        """Close with 1001 before anything that still waits."""
        place = None if self._player is None else self._player.last_bin + 1
        text = "the server is going away; connect again"
        self._answers.close(error_close("going_away", text, GOING_AWAY, place), at_once=True)

    def beat(self, now: float, period_s: float) -> None:
        """Send a heartbeat where nothing else was sent for so long; ``now`` is monotonic, seconds."""
        last = self._last_beat if self._is_live else self._last_sent  # bins do not say how a live feed is
        if self.is_streaming and now - last >= period_s:
            self._beat_is_due = True
            self._woken.set()

    async def run(self) -> None:
        """Serve this client to its end."""
        service = self._service
        if not is_origin_allowed(self._websocket, service.settings.allowed_origins, guarded=service.settings.token is not None):
            # Before the handshake: a foreign page learns nothing but that it was refused (HTTP 403).
            service.figures.streams_refused += 1
            await self._websocket.close(BAD_REQUEST, "origin not allowed")
            self.state = StreamState.CLOSED
            return
        await self._websocket.accept()
        try:
            await self._serve(outlet_of(self._websocket))
        except WebSocketDisconnect:
            pass  # the client may leave at any time
        finally:
            self.state = StreamState.CLOSED
            service.streams.discard(self)
            self.finished.set_result(None)

    # --- the handshake ---

    async def _serve(self, outlet: Outlet) -> None:
        service = self._service
        refusal = self._refusal()
        if refusal is None:
            try:
                settings, query = service.settings, self._websocket.query_params.multi_items()
                request = read_request(query, service.config, settings.lake, settings.defaults, settings.assumes_symbol)
            except EngineError as error:
                refusal = error_close("bad_request", str(error), BAD_REQUEST)
        if refusal is not None:
            service.figures.streams_refused += 1
            self.state = StreamState.CLOSING
            await _say(outlet, refusal)
            return
        service.streams.add(self)
        service.figures.streams_opened += 1
        self._number = service.figures.streams_opened
        self.state = StreamState.STARTING
        STREAM.set(str(self._number))
        tell(logger, "stream begins", dt=request.dt.isoformat(), start_time=request.start_time, speed=request.speed)
        self._is_live = request.live is not None
        self._player = Player(request, service.hub, self._woken.set)
        await self._exchange(self._player, outlet)

    def _refusal(self) -> Close | None:
        """Why this client is sent away before its query is read."""
        service = self._service
        if not is_token_right(self._websocket, service.settings.token):
            return error_close("unauthorized", "a token is required: Authorization: Bearer or ?token=", BAD_REQUEST)
        if service.closing:
            return error_close("going_away", "the server is going away; connect again", GOING_AWAY)
        if (n := len(service.streams)) >= service.settings.limits.max_clients:
            return error_close("busy", f"{n} clients are connected and that is the limit; try later", TRY_LATER)
        return None

    async def _exchange(self, player: Player, outlet: Outlet) -> None:
        """Run receiver, controller and sender until the last frame is sent or the client has gone."""
        controls: asyncio.Queue[str | None] = asyncio.Queue(_MAX_CONTROLS)
        receiver = asyncio.create_task(self._receive(controls))
        sender = asyncio.create_task(self._send(player, outlet))
        controller = asyncio.create_task(self._control(player, controls))
        try:
            await asyncio.wait({receiver, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.state = StreamState.CLOSING
            self._answers.close(Close("", NORMAL, ""), at_once=True)
            for task in (receiver, sender, controller):
                task.cancel()
            results = await asyncio.gather(receiver, sender, controller, return_exceptions=True)
            session = self.session
            player.leave()
            tell(logger, "stream ends", session=session, last_bin=player.last_bin, dropped_bins=player.n_skipped)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    # --- the three tasks ---

    async def _receive(self, controls: "asyncio.Queue[str | None]") -> None:
        """Take in control frames until the client leaves; one that asks faster than it is answered must wait."""
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            await controls.put(event.get("text"))

    async def _control(self, player: Player, controls: "asyncio.Queue[str | None]") -> None:
        """Begin, then do what the client asks, one control after the other; a refusal leaves the stream open."""
        try:
            await player.begin()
        except Exception as error:
            self._answers.close(close_for(error))
            return
        self._woken.set()
        while True:
            text = await controls.get()
            try:
                answer = await player.apply(read_control(text))
            except ControlError as error:
                of = {} if error.of is None else {"of": error.of}
                answer = message("error", code=error.code, message=str(error), **of)
            except Exception as error:
                self._answers.close(close_for(error))
                return
            await self._answers.put_text(Text(answer))

    async def _send(self, player: Player, outlet: Outlet) -> None:
        """Send what there is, whole bins only, until the last frame."""
        n_bins = 0
        while True:
            self._woken.clear()
            is_beat = self._beat_is_due and self._is_live
            item = self._answers.take() or (None if is_beat else player.take())
            if item is None:
                if not self._beat_is_due:
                    await self._woken.wait()
                    continue
                self._last_beat = time.monotonic()
                item = Text(message("heartbeat", ts_ns=str(time.time_ns()), state=player.state))
            self._beat_is_due = False
            if isinstance(item, Close):
                self.state = StreamState.CLOSING
                await _say(outlet, item)
                return
            if isinstance(item, Text):
                await outlet.send_text(item.text)
                if self.state is StreamState.STARTING:
                    self.state = StreamState.STREAMING
            else:
                n_bins += 1
                await self._send_bin(item, player, outlet, breathes=n_bins % _BREATH_BINS == 0)
            self._last_sent = time.monotonic()

    async def _send_bin(self, framed: Framed, player: Player, outlet: Outlet, *, breathes: bool) -> None:
        service = self._service
        dropped = framed.frames.bin_seq - player.last_bin - 1
        service.figures.bins_dropped += dropped
        if not outlet.offer_bin(framed, dropped):
            await outlet.send_bin(framed, dropped)
        elif breathes:
            await asyncio.sleep(0)  # the socket takes all that is written: let others have their turn
        service.figures.bin_sent(player.sent(framed, service.clock.now()))
        if service.latency is not None:
            service.latency.sent(self._number, framed.frames, time.time_ns())


async def _say(outlet: Outlet, close: Close) -> None:
    if close.text:
        await outlet.send_text(close.text)
    await outlet.close(close.code, close.reason)
