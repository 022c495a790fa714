"""Apps that send bins through the replica's own listener, and runs of them against a raw client."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from serve.frames import BinFrames
from serve.stream_socket import StreamSocket
from serve.wire import Outlet, frame, outlet_of
from tests.test_serve.listening import Listening, listening

PATIENT: dict[str, Any] = {"farewell_s": 30.0, "stall_s": 30.0, "silent_s": 60.0, "lost_s": 90.0}  # to wait for them is to fail
QUICK: dict[str, Any] = PATIENT | {"watch_s": 0.02}
SMALL = 4096  # bytes a kernel takes for a client that reads nothing
GRID = bytes(range(256)) * 128  # 32 kB

Body = Callable[[Outlet, WebSocket], Awaitable[None]]


def bin_of(bin_seq: int) -> BinFrames:
    return BinFrames(bin_seq, f'{{"type":"grid_update","bin_seq":{bin_seq}', GRID)


@dataclass
class Told:
    """What the app's side of a stream learned."""

    end: list[BaseException | None] = field(default_factory=list)


def app_of(body: Body, told: Told) -> Starlette:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        outlet = outlet_of(websocket)
        assert isinstance(outlet, StreamSocket)
        try:
            await body(outlet, websocket)
            told.end.append(None)
        except WebSocketDisconnect as gone:
            told.end.append(gone)

    return Starlette(routes=[WebSocketRoute("/", endpoint)])


def run(body: Body, client: Callable[[Listening, Told], Coroutine[Any, Any, None]], **limits: Any) -> Told:
    async def main() -> Told:
        told = Told()
        async with listening(app_of(body, told), **(PATIENT | limits)) as at:
            await client(at, told)
        return told

    return asyncio.run(main())


async def waits(outlet: Outlet, websocket: WebSocket) -> None:
    """A stream with nothing to say."""
    await websocket.receive()


async def floods(outlet: Outlet, websocket: WebSocket) -> None:
    """As fast as the client reads."""
    for bin_seq in range(1 << 20):
        await outlet.send_bin(frame(bin_of(bin_seq)), 0)
