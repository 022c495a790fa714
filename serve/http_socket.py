"""HTTP on the replica's own listener, bounded in time and size: who does not say what it wants does not keep a descriptor."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve.door import Door, Timer

_HEADERS: Final = "content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"


class HttpSocket(HttpToolsProtocol):
    """One connection until it ends or becomes a WebSocket.

    A refusal is written, then what the client still sends is read and thrown away for a moment: a socket closed with bytes unread
    is reset by the kernel, and a reset can take the refusal from the client before it was read.

    Parameters
    ----------
    door : Door
        Of the listener.
    """

    def __init__(self, *args: Any, door: Door, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door = door
        self._deadline = Timer(self.loop)  # of the request
        self._draining = Timer(self.loop)  # of what waits to be taken
        self._refused = False
        self._has_begun = False  # a byte of this request has come
        self._head_bytes = 0  # of the request that is being read; -1 once its head is complete
        self._headers_bytes = 0
        self._body_bytes = 0
        self._refusal: tuple[int, str] = (400, "the request is not HTTP")

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._door.max_connections:
            self._refuse(503, f"{self._door.max_connections} connections are open and that is the limit; try later")
            return
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._draining.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        self._has_begun = True
        super().data_received(data)
        if self._head_bytes > self._door.limits.max_head_bytes and not self._refused:
            self._refuse(431, f"the headers have more than {self._door.limits.max_head_bytes} bytes")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_what_waits()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._draining.stop()

    # --- what the parser calls; an exception ends in send_400_response ---

    def on_message_begin(self) -> None:
        self._headers_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        limits = self._door.limits
        if len(self.url) > limits.max_url_bytes:
            self._fail(414, f"the address has more than {limits.max_url_bytes} bytes")
        if not self.url.isascii():
            self._fail(400, "the address holds bytes that are not ASCII; write them as %XX")

    def on_header(self, name: bytes, value: bytes) -> None:
        limits = self._door.limits
        if len(name) + len(value) > limits.max_header_bytes:
            self._fail(431, f"a header has more than {limits.max_header_bytes} bytes")
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > limits.max_head_bytes:
            self._fail(431, f"the headers have more than {limits.max_head_bytes} bytes")
        if len(self.headers) >= limits.max_headers:
            self._fail(431, f"there are more than {limits.max_headers} headers")
        if name.lower() == b"content-length" and int(value) > limits.max_body_bytes:
            self._fail(413, f"the body has more than {limits.max_body_bytes} bytes")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        self._body_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._door.limits.max_body_bytes:
            self._fail(413, f"the body has more than {self._door.limits.max_body_bytes} bytes")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_waiting()
        self._head_bytes = 0
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:  # answered before it was read to its end
            self._await_request()

    # --- what uvicorn calls ---

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_what_waits()
        elif not self.pipeline:
            self._await_request()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self._refusal)

    # --- its parts ---

    def _fail(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise ValueError(text)

    def _await_request(self) -> None:
        self._stop_waiting()
        self._has_begun = False
        self._door.wait_for(self, self._give_up)
        self._deadline.start(self._door.limits.request_s, self._give_up)

    def _stop_waiting(self) -> None:
        self._door.forget(self)
        self._deadline.stop()

    def _give_up(self) -> None:
        """The request does not come, or does not end."""
        self._stop_waiting()
        if self._has_begun:
            self._refuse(408, f"the request was not complete within {self._door.limits.request_s:g} s")
        else:  # nothing was asked
            self.transport.close()
            self._watch_what_waits()

    def _refuse(self, status: int, text: str) -> None:
        """Answer in our own words, unless another answer has begun, and end."""
        self._stop_waiting()
        self._refused = True
        self._door.n_refused += 1
        self._deadline.start(self._door.limits.farewell_s, self.transport.abort)
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = text.encode()
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{_HEADERS}content-length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)
        if self.cycle is not None:
            self.cycle.disconnected = True  # what the app still says goes nowhere
        self.transport.resume_reading()
        self.transport.write_eof()

    def _watch_what_waits(self, before: int | None = None) -> None:
        """Abort once nothing of what waits was taken for a while; however slowly it goes, it may go on."""
        waiting = self.transport.get_write_buffer_size()
        if before is not None and waiting >= before:
            self.transport.abort()
        else:
            self._draining.start(self._door.limits.stall_s, self._watch_what_waits, waiting)
