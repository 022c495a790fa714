"""A WebSocket client that costs next to nothing: it reads lengths, bin numbers and skips, and never looks into a grid."""

import asyncio
import re
from array import array
from collections.abc import Callable
from typing import Final

_BUFFER: Final = memoryview(bytearray(1 << 20))  # one for all: what arrives is looked through before anything else arrives
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG_FRAME: Final = b"\x8a\x80\x00\x00\x00\x00"
_BIN_SEQ: Final = re.compile(rb'"bin_seq":(\d+)')
_DROPPED: Final = re.compile(rb'"dropped_bins":(\d+)')
_BIN_TEXT: Final = b'{"type":"grid_update"'


class Client(asyncio.BufferedProtocol):
    """One viewer.

    Parameters
    ----------
    target : str
        Path and query.
    on_bin, on_end : callable
        Called with the client at each whole bin, and once when the connection ends.
    """

    def __init__(
        self,
        target: str,
        on_bin: Callable[["Client"], None] = lambda client: None,
        on_end: Callable[["Client"], None] = lambda client: None,
    ) -> None:
        self._target = target
        self._on_bin = on_bin
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.begun_at = self._loop.time()
        self.first_bin_at: float | None = None
        self.close_code: int | None = None
        self.error = b""  # the last text frame that said what is wrong
        self.n_dropped = 0
        self.n_broken = 0  # bins that are neither there nor counted as skipped
        self.bins = array("q")
        self.arrivals = array("d")  # seconds on the loop's clock, at the end of the binary frame
        self._next_bin: int | None = None
        self._opened = False
        self._part = b""  # of what cannot be read before more has come
        self._grid_left = 0  # bytes of a binary payload that are to come

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET {self._target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, n_bytes: int) -> None:
        at = 0
        if self._grid_left:
            at = min(self._grid_left, n_bytes)
            self._grid_left -= at
            if self._grid_left == 0:
                self._bin_is_whole()
        if at == n_bytes:
            return
        data = bytes(_BUFFER[at:n_bytes]) if not self._part else self._part + bytes(_BUFFER[at:n_bytes])
        self._part = b""
        self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)
        self._on_end(self)

    # --- frames ---

    def leave(self) -> None:
        """End without a word."""
        if self.transport is not None:
            self.transport.abort()

    def _read(self, data: bytes) -> None:
        at = 0
        if not self._opened:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._part = data
                return
            self._opened = data.startswith(b"HTTP/1.1 101 ")
            if not self._opened:
                self.error = data[:at]
                self.leave()
                return
        n = len(data)
        while at < n:
            begin, length = _payload(data, at)
            opcode = data[at] & 0x0F
            if length is None or (opcode != _BINARY and begin + length > n):
                self._part = data[at:]
                return
            at = begin + length
            if opcode == _BINARY:
                self._grid_left = max(0, at - n)
                if self._grid_left == 0:
                    self._bin_is_whole()
            else:
                self._take(opcode, data[begin:at])

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            if payload.startswith(_BIN_TEXT):
                self._header(payload)
            elif payload.startswith(b'{"type":"error"'):
                self.error = payload
        elif opcode == _PING and self.transport is not None:
            self.transport.write(_PONG_FRAME)
        elif opcode == _CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else None
            self.leave()

    def _header(self, payload: bytes) -> None:
        seq, dropped = (int(found[1]) if (found := what.search(payload)) else -1 for what in (_BIN_SEQ, _DROPPED))
        if self._next_bin is not None and seq != self._next_bin + dropped:
            self.n_broken += 1
        self.n_dropped += dropped
        self._next_bin = seq + 1

    def _bin_is_whole(self) -> None:
        now = self._loop.time()
        if self.first_bin_at is None:
            self.first_bin_at = now
        self.bins.append((self._next_bin or 0) - 1)
        self.arrivals.append(now)
        self._on_bin(self)


def _payload(data: bytes, at: int) -> tuple[int, int | None]:
    """Where the payload of the frame at ``at`` begins, and its length; None where too little of it is there."""
    left = len(data) - at
    if left < 2:
        return at, None
    short = data[at + 1] & 0x7F
    n_bytes = {126: 2, 127: 8}.get(short, 0)
    begin = at + 2 + n_bytes
    if left < 2 + n_bytes:
        return at, None
    return begin, int.from_bytes(data[at + 2 : begin], "big") if n_bytes else short
