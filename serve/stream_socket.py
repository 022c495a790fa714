"""A WebSocket on the replica's own listener: bins go to its transport as they were framed, and a peer that is gone is found.

Three clocks run while it is open. *Silent*: no byte came from the peer for seconds, though it was pinged. It may be frozen, or
read so slowly that our ping still waits in its own buffers; from here nobody can tell these apart, so it is counted, and dropped
only much later. *Stalled*: bytes are under way and the peer's kernel took none of them for a stated time, which happens to no
reader that reads at all; it is dropped and told the bin to resume from. *Farewell*: our close frame is not answered; the socket
is cut. The other way round, a client finds a frozen server by the frames that stop coming.
"""

import asyncio
import math
import socket
import struct
from asyncio.transports import BaseTransport
from typing import Any, Final, NamedTuple

from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from serve.door import Door, Timer
from serve.frames import message
from serve.wire import OUTLET, PING, TEXT, Framed, message_frame

_TRY_LATER: Final = 1013
_SERVER_FAULT: Final = 1011
_ABNORMAL: Final = 1006
_MAX_WAITING_TEXT_BYTES: Final = 64 << 10
_MAX_CLOSING_S: Final = 60.0  # however slowly our last bytes are taken
_TCP_INFO_BYTES: Final = 152  # up to and with tcpi_min_rtt of linux/tcp.h
_PING_FRAME: Final = message_frame(PING, b"")


class StreamSocket(WebSocketsSansIOProtocol):
    """Also the `serve.wire.Outlet` of its stream.

    ``writable`` is set where nothing waits: the transport's high-water mark is 0. So one bin at most waits here, and what else a
    slow reader has before it lies in the kernel's buffers.

    Parameters
    ----------
    door : Door
        Of the listener.
    """

    def __init__(self, *args: Any, door: Door, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door = door
        self._next_bin: int | None = None
        self._watch = Timer(self.loop)
        self._heard_at = self.loop.time()
        self._is_silent = False
        self._taken_at = self._heard_at
        self._taken_bytes = 0  # when last looked
        self._closing_at = math.inf
        self._is_discarding = False

    # --- the outlet ---

    @property
    def waiting_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def offer_bin(self, framed: Framed, dropped_bins: int) -> bool:
        self._require_open()
        if not self.writable.is_set():
            return False
        self._write_bin(framed, dropped_bins)
        return True

    async def send_bin(self, framed: Framed, dropped_bins: int) -> None:
        await self.writable.wait()
        self._require_open()
        self._write_bin(framed, dropped_bins)

    async def send_text(self, text: str) -> None:
        # A text is small, and may be the last word to a peer that reads no more: it does not wait behind a bin.
        while self.waiting_bytes > _MAX_WAITING_TEXT_BYTES:
            await self.writable.wait()
        self._require_open()
        self.transport.write(message_frame(TEXT, text.encode()))

    async def close(self, code: int, reason: str) -> None:
        self._require_open()
        self.writable.set()  # a close frame waits for nothing: who does not read must not keep us from leaving
        try:
            await self.send({"type": "websocket.close", "code": code, "reason": reason})
        except ClientDisconnected as error:
            raise WebSocketDisconnect(_ABNORMAL) from error

    def _write_bin(self, framed: Framed, dropped_bins: int) -> None:
        self.transport.write(framed.bytes_on_wire if dropped_bins == 0 else framed.after(dropped_bins))
        self._next_bin = framed.frames.bin_seq + 1

    def _require_open(self) -> None:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise WebSocketDisconnect(_ABNORMAL)

    # --- what asyncio calls ---

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)
        self._watch.start(self._door.limits.watch_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.stop()
        self._mark_silent(is_silent=False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        if not self._is_discarding:
            super().data_received(data)

    # --- what uvicorn calls ---

    def handle_parser_exception(self) -> None:
        """Say what was wrong, then read on for a moment: closed with bytes unread, the socket would be reset and we not heard."""
        self._is_discarding = True
        if self.conn.close_sent is None:  # no WebSocket yet
            self.conn.send_response(self.conn.reject(400, "the handshake is not a WebSocket's"))
            self.handshake_complete = True
        else:
            sent = self.conn.close_sent
            self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._await_farewell()
        self.transport.write_eof()

    def send_500_response(self) -> None:
        """The app failed: a stream that is open ends with a close frame all the same."""
        if self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self._close_now(_SERVER_FAULT, "the server failed")
        else:
            super().send_500_response()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # by a refusal of the app's own, which uvicorn takes for none

    async def run_asgi(self) -> None:
        extensions: dict[Any, Any] = self.scope["extensions"] or {}
        self.scope["extensions"] = extensions | {OUTLET: self}
        await super().run_asgi()

    # --- who is still there ---

    def _look(self) -> None:
        now, limits = self.loop.time(), self._door.limits
        self._watch.start(limits.watch_s, self._look)
        sent = _sent(self.transport)
        is_under_way = sent.is_under_way or self.waiting_bytes > 0
        if not is_under_way or sent.taken_bytes > self._taken_bytes:
            self._taken_at = now
        self._taken_bytes = sent.taken_bytes
        if self.close_sent or self.transport.is_closing():
            self._closing_at = min(self._closing_at, now)
            patience_s = limits.stall_s if is_under_way else 0.0
            until = max(self._closing_at + limits.farewell_s, min(self._taken_at + patience_s, self._closing_at + _MAX_CLOSING_S))
            if now >= until:
                self.transport.abort()
        elif self.handshake_complete:
            self._look_for_life(now)

    def _look_for_life(self, now: float) -> None:
        limits = self._door.limits
        silent_s = now - self._heard_at
        self._mark_silent(is_silent=silent_s >= limits.silent_s)
        if silent_s >= limits.silent_s / 2 and self.writable.is_set():
            self.transport.write(_PING_FRAME)
        if now - self._taken_at >= limits.stall_s:
            self._drop(f"nothing was read for {limits.stall_s:g} s")
        elif silent_s >= limits.lost_s:
            self._drop(f"no ping was answered for {limits.lost_s:g} s")

    def _mark_silent(self, *, is_silent: bool) -> None:
        self._door.n_silent += is_silent - self._is_silent
        self._is_silent = is_silent

    def _drop(self, why: str) -> None:
        """End the stream of a peer that does not read; should it wake up in time, it learns where to go on."""
        self._door.n_stalled += 1
        self._mark_silent(is_silent=False)
        text = f"{why}; connect again with resume_from"
        resume = {} if self._next_bin is None else {"resume_from": self._next_bin}
        self.transport.write(message_frame(TEXT, message("error", code="stalled", message=text, **resume).encode()))
        self._close_now(_TRY_LATER, why)
        self.writable.set()  # who waits to write learns that it is over

    def _close_now(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._await_farewell()

    def _await_farewell(self) -> None:
        """Let the peer answer our close frame; the app's end does not cut it short while this timer stands."""
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._closing_at = self.loop.time()
        self.close_timer = self.loop.call_later(self._door.limits.farewell_s, self.transport.close)


class _Sent(NamedTuple):
    """What became of the bytes that the kernel was given."""

    taken_bytes: int  # by the peer's kernel, in all
    is_under_way: bool  # some are not taken


def _sent(transport: asyncio.Transport) -> _Sent:
    """Source: ``struct tcp_info`` of linux/tcp.h. Elsewhere, nothing is known to be under way."""
    connection = transport.get_extra_info("socket")
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        (n_unacked,) = struct.unpack_from("I", told, 24)  # tcpi_unacked, segments
        (taken_bytes,) = struct.unpack_from("Q", told, 120)  # tcpi_bytes_acked
        (n_unsent,) = struct.unpack_from("I", told, 144)  # tcpi_notsent_bytes
    except (AttributeError, OSError, struct.error):
        return _Sent(0, is_under_way=False)
    return _Sent(taken_bytes, n_unacked + n_unsent > 0)
