"""From a bin's frames to a socket: framed for WebSocket once, written to as many sockets as there are.

What a server sends is not masked (RFC 6455, section 5.1), so one framing serves every client. Behind a proxy of Serve's, where
the socket is not ours, the same frames go the ASGI way.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from starlette.websockets import WebSocket

from serve.frames import BinFrames

OUTLET: Final = "spymaster.outlet"  # where our own listener puts itself among the extensions of the ASGI scope

TEXT: Final = 0x1  # opcodes
BINARY: Final = 0x2
PING: Final = 0x9

_FIN: Final = 0x80
_MAX_LENGTH_7: Final = 125
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127


@dataclass(frozen=True, slots=True)
class Framed:
    """One bin as it crosses a socket: the text frame of its header with ``dropped_bins`` 0, then its binary frame.

    Thousands of them are kept, so the grid is there once: at the end of ``bytes_on_wire``, and not in ``frames``.
    """

    frames: BinFrames
    bytes_on_wire: bytes
    n_grid: int  # bytes

    @property
    def grid(self) -> bytes:
        """The binary frame's payload."""
        return self.bytes_on_wire[len(self.bytes_on_wire) - self.n_grid :]

    def after(self, dropped_bins: int) -> bytes:
        """The same for a client that missed so many bins before this one."""
        return self.bytes_on_wire if dropped_bins == 0 else _both(self.frames, self.grid, dropped_bins)


class Outlet(Protocol):
    """The sending side of one accepted WebSocket. Every method raises `WebSocketDisconnect` once the client has gone."""

    @property
    def waiting_bytes(self) -> int:
        """What was sent and the kernel has not taken yet; 0 where that cannot be known."""
        ...

    def offer_bin(self, framed: Framed, dropped_bins: int) -> bool:
        """Write both frames of a bin where nothing waits; else, or where that cannot be known, write nothing and return False."""
        ...

    async def send_bin(self, framed: Framed, dropped_bins: int) -> None:
        """Write both frames of a bin once what was sent before has left."""
        ...

    async def send_text(self, text: str) -> None:
        """Write a text frame once what was sent before has left."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Write a close frame behind all that was sent."""
        ...


class PlainOutlet:
    """The ASGI way: right on every server, framed anew for every client, and blind to what waits.

    Parameters
    ----------
    websocket : WebSocket
        Accepted.
    """

    waiting_bytes: Final = 0

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def offer_bin(self, framed: Framed, dropped_bins: int) -> bool:
        return False

    async def send_bin(self, framed: Framed, dropped_bins: int) -> None:
        await self._websocket.send_text(framed.frames.header(dropped_bins))
        await self._websocket.send_bytes(framed.grid)

    async def send_text(self, text: str) -> None:
        await self._websocket.send_text(text)

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason)


def frame(frames: BinFrames) -> Framed:
    """Frame a bin for all clients that missed none before it."""
    made = frames.ingest_ns, frames.grid_ready_ns, frames.last_ingest_ns
    without = BinFrames(frames.bin_seq, frames.head, b"", frames.bin_end_ns, *made)
    return Framed(without, _both(frames, frames.grid, 0), len(frames.grid))


def outlet_of(websocket: WebSocket) -> Outlet:
    """How to send to an accepted WebSocket: straight to its socket on our own listener, else the ASGI way."""
    own: Outlet | None = websocket.scope.get("extensions", {}).get(OUTLET)
    return PlainOutlet(websocket) if own is None else own


def message_frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented, unmasked frame. Source: RFC 6455, section 5.2."""
    return _frame_head(opcode, len(payload)) + payload


def _frame_head(opcode: int, n: int) -> bytes:
    if n <= _MAX_LENGTH_7:
        return bytes((_FIN | opcode, n))
    if n < 1 << 16:
        return bytes((_FIN | opcode, _LENGTH_16)) + n.to_bytes(2, "big")
    return bytes((_FIN | opcode, _LENGTH_64)) + n.to_bytes(8, "big")


def _both(frames: BinFrames, grid: bytes, dropped_bins: int) -> bytes:
    text = frames.header(dropped_bins).encode()
    return b"".join((_frame_head(TEXT, len(text)), text, _frame_head(BINARY, len(grid)), grid))
