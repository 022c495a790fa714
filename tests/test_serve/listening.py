"""A bare app behind the replica's own listener, in the test's own loop, and raw sockets to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from serve.door import Door, SocketLimits
from serve.listener import open_listener, run_listener

TIMEOUT_S = 15.0
CLOSE, PONG, PING, TEXT, BINARY = 0x8, 0xA, 0x9, 0x1, 0x2


@dataclass
class Peer:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the server ends."""
        return await asyncio.wait_for(self.reader.read(), TIMEOUT_S)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame; RFC 6455, section 5.2."""
        first, second = await self._exactly(2)
        assert first & 0x80, "the server fragments nothing"
        assert not second & 0x80, "a server masks nothing"
        n = second & 0x7F
        if n >= 126:
            n = int.from_bytes(await self._exactly(2 if n == 126 else 8), "big")
        return first & 0x0F, await self._exactly(n)

    async def frame_of(self, opcode: int) -> bytes:
        """The next frame of this kind, whatever comes before it."""
        while True:
            kind, payload = await self.frame()
            if kind == opcode:
                return payload

    async def _exactly(self, n: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(n), TIMEOUT_S)


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame under the mask 0, which leaves the payload as it is."""
    n = len(payload)
    length = bytes([0x80 | n]) if n < 126 else b"\xfe" + n.to_bytes(2, "big") if n < 1 << 16 else b"\xff" + n.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def handshake(target: bytes = b"/", headers: bytes = b"", method: bytes = b"GET") -> bytes:
    """A WebSocket's first words; its four headers and ``Host`` come before the given lines."""
    return (
        method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + headers + b"\r\n"
    )


@dataclass
class Listening:
    """A running listener."""

    port: int
    door: Door

    @asynccontextmanager
    async def peer(self, receive_bytes: int | None = None) -> AsyncIterator[Peer]:
        """A connection; ``receive_bytes`` bounds what its kernel takes before it reads."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        limit = 1 << 16 if receive_bytes is None else receive_bytes
        reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    @asynccontextmanager
    async def stream(self, receive_bytes: int | None = None, target: bytes = b"/") -> AsyncIterator[Peer]:
        """A connection after the WebSocket's handshake."""
        async with self.peer(receive_bytes) as peer:
            await peer.say(handshake(target))
            assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
            yield peer


@asynccontextmanager
async def listening(app: Any, **limits: Any) -> AsyncIterator[Listening]:
    """Serve an app within these limits until the block ends."""
    door = Door(SocketLimits(**limits))
    with open_listener("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(run_listener(app, listener, door))
        try:
            yield Listening(listener.getsockname()[1], door)
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; what never does fails the test."""
    async with asyncio.timeout(TIMEOUT_S):
        while not holds():
            await asyncio.sleep(0.001)
