"""The WebSocket endpoint: one client's states, from handshake to goodbye.

A receiver, a producer and a sender run side by side; a bounded queue lies between the last two, so that the session never waits
for a socket it should not wait for and a socket never sees half a bin.
"""

import asyncio
import json
import logging
import time
from enum import Enum
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.errors import EngineError, SourceChangedError
from serve.access import is_origin_allowed, is_token_right
from serve.frames import MODEL_TRADES, BinFrames, message
from serve.pacing import Pacer
from serve.request import StreamRequest, read_request
from serve.send_queue import Close, SendQueue, Text
from serve.service import Service
from serve.session import CONFIG_KIND, ConfigFrame, Session

logger = logging.getLogger(__name__)

BAD_REQUEST: Final = 1008
SERVER_FAULT: Final = 1011
TRY_LATER: Final = 1013
GOING_AWAY: Final = 1001
NORMAL: Final = 1000
_REASON_BYTES: Final = 120  # a close frame holds 123


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
        self._queue: SendQueue | None = None
        self._number = 0  # among the streams of this replica
        self.state = StreamState.CONNECTING
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_streaming(self) -> bool:
        return self.state is StreamState.STREAMING

    def go_away(self) -> None:
        """Close with 1001 before anything that still waits."""
        if self._queue is not None:
            self._queue.close(_error("going_away", "the server is going away; connect again", GOING_AWAY), at_once=True)

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
            await self._serve()
        except WebSocketDisconnect:
            pass  # the client may leave at any time
        finally:
            self.state = StreamState.CLOSED
            service.streams.discard(self)
            self.finished.set_result(None)

    async def _serve(self) -> None:
        service = self._service
        limits = service.settings.limits
        refusal = self._refusal()
        if refusal is not None:
            await self._refuse(*refusal)
            return
        try:
            query = self._websocket.query_params.multi_items()
            settings = service.settings
            request = read_request(query, service.config, settings.lake, settings.defaults, settings.assumes_symbol)
        except EngineError as error:
            await self._refuse("bad_request", str(error), BAD_REQUEST)
            return
        self._queue = SendQueue(limits.queue_bins, skips=request.speed > 0)
        service.streams.add(self)
        service.figures.streams_opened += 1
        self._number = service.figures.streams_opened
        self.state = StreamState.STARTING
        pacer = Pacer(request.config.cell_width_ms, request.speed, request.resume_from)
        await self._exchange(request, self._queue, pacer)

    def _refusal(self) -> tuple[str, str, int] | None:
        """Why this client is sent away before its query is read: code, words, close code."""
        service = self._service
        if not is_token_right(self._websocket, service.settings.token):
            return "unauthorized", "a token is required: Authorization: Bearer or ?token=", BAD_REQUEST
        if service.closing:
            return "going_away", "the server is going away; connect again", GOING_AWAY
        if len(service.streams) >= service.settings.limits.max_clients:
            return "busy", f"{len(service.streams)} clients are connected and that is the limit; try later", TRY_LATER
        return None

    async def _refuse(self, code: str, text: str, close_code: int) -> None:
        self._service.figures.streams_refused += 1
        self.state = StreamState.CLOSING
        await self._say(_error(code, text, close_code))

    async def _exchange(self, request: StreamRequest, queue: SendQueue, pacer: Pacer) -> None:
        """Run receiver, producer and sender until the last frame is sent or the client has gone."""
        receiver = asyncio.create_task(self._receive(queue))
        sender = asyncio.create_task(self._send(queue, pacer))
        producer = asyncio.create_task(self._produce(request, queue, pacer))
        try:
            await asyncio.wait({receiver, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.state = StreamState.CLOSING
            queue.close(Close("", NORMAL, ""), at_once=True)
            for task in (receiver, sender, producer):
                task.cancel()
            results = await asyncio.gather(receiver, sender, producer, return_exceptions=True)
            service = self._service
            service.figures.bins_dropped += queue.n_skipped
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    # --- the three tasks ---

    async def _receive(self, queue: SendQueue) -> None:
        """Answer control frames until the client leaves."""
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            await queue.put_text(Text(_answer(event.get("text"))))

    async def _produce(self, request: StreamRequest, queue: SendQueue, pacer: Pacer) -> None:
        """Compute bins in time and queue them; whatever ends it, the queue is closed."""
        service = self._service
        loop = asyncio.get_running_loop()
        session: Session | None = None
        try:
            session = await loop.run_in_executor(service.start_pool, self._session_of, request)
            await loop.run_in_executor(service.start_pool, session.open)  # a call of its own: closed, it breaks off
            await queue.put_text(Text(session.config_frame().text, CONFIG_KIND))
            pacer.start(service.clock.now())
            self.state = StreamState.STREAMING
            while not session.ended:
                if pacer.is_paced:
                    await self._until_due(session, queue, pacer)
                turn = 1 if pacer.is_paced else service.settings.limits.batch_bins
                for frame in await loop.run_in_executor(service.bin_pool, _steps, session, turn):
                    await self._put(frame, queue)
            left = {MODEL_TRADES: session.told} if session.told else {}  # what the end of the data has closed
            queue.close(Close(message("end", bins=session.n_bins, **left), NORMAL, "end of the data"))
        except SourceChangedError as error:
            # No wish of this client's was at fault; the other streams of the replica go on.
            logger.warning("a stream ended: %s", error)
            queue.close(_error("source_changed", str(error), SERVER_FAULT))
        except EngineError as error:
            queue.close(_error("bad_request", str(error), BAD_REQUEST))
        except Exception as error:
            logger.exception("a stream failed")
            queue.close(_error("server_fault", f"the server failed: {type(error).__name__}; see its log", SERVER_FAULT))
        finally:
            if session is not None and session.n_paper_open and not service.closing:
                service.settle_pool.submit(session.settle, lambda: service.closing)
            elif session is not None:
                session.close()

    async def _send(self, queue: SendQueue, pacer: Pacer) -> None:
        """Send what is queued, whole bins only, until the last frame."""
        service = self._service
        last_bin = pacer.first_bin - 1
        while True:
            item = await queue.get()
            if isinstance(item, Close):
                self.state = StreamState.CLOSING
                await self._say(item)
                return
            if isinstance(item, Text):
                await self._websocket.send_text(item.text)
                continue
            await self._websocket.send_text(item.header(item.bin_seq - last_bin - 1))
            await self._websocket.send_bytes(item.grid)
            last_bin = item.bin_seq
            lag = (service.clock.now() - pacer.due(item.bin_seq)) * 1000.0 if pacer.is_paced else None
            service.figures.bin_sent(lag)
            if service.latency is not None:
                service.latency.sent(self._number, item, time.time_ns())

    # --- their parts ---

    def _session_of(self, request: StreamRequest) -> Session:
        service = self._service
        serving, limits = service.serving_of(request.model), service.settings.limits
        return Session(request, serving, service.aside_pool, limits, service.desk)

    async def _until_due(self, session: Session, queue: SendQueue, pacer: Pacer) -> None:
        """Wait for the next bin's time; a new signal takes over meanwhile, however slow the pace is."""
        service = self._service
        due = pacer.due(session.next_bin)
        while (now := service.clock.now()) < due:
            await service.clock.sleep_until(min(due, now + service.settings.limits.champion_poll_s))
            if session.wants_change:
                loop = asyncio.get_running_loop()
                for frame in await loop.run_in_executor(service.bin_pool, session.change_signal):
                    await self._put(frame, queue)

    async def _put(self, frame: ConfigFrame | BinFrames, queue: SendQueue) -> None:
        if isinstance(frame, BinFrames):
            await queue.put_bin(frame)
        else:
            self._service.figures.swaps += 1
            await queue.put_text(Text(frame.text, CONFIG_KIND))

    async def _say(self, close: Close) -> None:
        if close.text:
            await self._websocket.send_text(close.text)
        await self._websocket.close(close.code, close.reason)


def _steps(session: Session, n_bins: int) -> list[ConfigFrame | BinFrames]:
    frames: list[ConfigFrame | BinFrames] = []
    for _ in range(n_bins):
        frames += session.step()
        if session.ended:
            break
    return frames


def _error(code: str, text: str, close_code: int) -> Close:
    reason = text.encode()[:_REASON_BYTES].decode(errors="ignore")
    return Close(message("error", code=code, message=text), close_code, reason)


def _answer(text: str | None) -> str:
    """What a control frame is answered with; none is supported so far, and the stream stays open."""
    try:
        control: Any = None if text is None else json.loads(text)
    except ValueError:
        control = None
    kind = control.get("type") if isinstance(control, dict) else None
    if not isinstance(kind, str):
        return message("error", code="bad_control", message='a control frame must be JSON text with a "type"')
    return message("error", code="unsupported", message=f"control {kind!r} is not supported by this server", of=kind)
