"""What the generator loads, each a process of its own: our service without Ray, a bare uvicorn that sends the same frames, our
listener alone that sends them.

    python -m tests.bench.serving.served service LAKE MAX_CLIENTS
    python -m tests.bench.serving.served echo FRAMES PERIOD_S
    python -m tests.bench.serving.served fanout FRAMES PERIOD_S

Each prints its port, and ends when its standard input does.
"""

import asyncio
import pickle
import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.config import load_instrument
from engine.lake import Lake
from serve.allocator import return_freed_memory
from serve.app import build_app
from serve.door import Door, raise_descriptor_limit
from serve.frames import BinFrames
from serve.listener import make_server, open_listener, run_listener
from serve.service import Service
from serve.settings import Limits, ServeSettings
from serve.wire import Outlet, frame, outlet_of


async def _told_to_end() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def service(lake: str, max_clients: int) -> None:
    """Our service on a free port."""
    settings = ServeSettings(lake=Lake.open(Path(lake)), limits=Limits(max_clients=max_clients))
    with open_listener("127.0.0.1", 0) as listener:

        async def listen(app: Starlette) -> None:
            await run_listener(app, listener)

        app = build_app(Service(settings, load_instrument()), (listen,))
        async with app.router.lifespan_context(app):
            print(listener.getsockname()[1], flush=True)
            await _told_to_end()


class Echo:
    """Sends recorded bins at their pace to whoever connects, the way a plain ASGI app does."""

    def __init__(self, frames: list[tuple[str, bytes]], period_s: float) -> None:
        self._frames = frames
        self._period_s = period_s
        self._tick: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()

    async def pace(self) -> None:
        """Give out the next bin at each absolute moment."""
        loop = asyncio.get_running_loop()
        began, seq = loop.time(), 0
        while True:
            await asyncio.sleep(began + seq * self._period_s - loop.time())
            text, grid = self._frames[seq % len(self._frames)]
            self.send(seq, text.replace("BIN_SEQ", str(seq)), grid)
            seq += 1

    def send(self, seq: int, text: str, grid: bytes) -> None:
        told, self._tick = self._tick, asyncio.get_running_loop().create_future()
        told.set_result((text, grid))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            text, grid = await self._tick
            await send({"type": "websocket.send", "text": text})
            await send({"type": "websocket.send", "bytes": grid})


class FanOut(Echo):
    """The same through our own listener: framed once, offered to each."""

    def __init__(self, frames: list[tuple[str, bytes]], period_s: float) -> None:
        super().__init__(frames, period_s)
        self._missed: dict[Outlet, int] = {}

    def send(self, seq: int, text: str, grid: bytes) -> None:
        head = text[: text.rindex(',"dropped_bins"')]
        framed = frame(BinFrames(seq, head, grid))
        for outlet, missed in list(self._missed.items()):
            try:
                self._missed[outlet] = 0 if outlet.offer_bin(framed, missed) else missed + 1
            except WebSocketDisconnect:
                del self._missed[outlet]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        self._missed[outlet_of(websocket)] = 0
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass


async def sending(kind: type[Echo], frames: str, period_s: float) -> None:
    """Recorded frames at their pace: from a bare uvicorn, or our listener."""
    app = kind(pickle.loads(Path(frames).read_bytes()), period_s)
    with open_listener("127.0.0.1", 0) as listener:
        server = make_server(app, Door())
        if kind is Echo:
            made = uvicorn.Config(
                app, lifespan="off", log_config=None, access_log=False, ws="websockets-sansio", ws_per_message_deflate=False
            )
            server = uvicorn.Server(made)
        print(listener.getsockname()[1], flush=True)
        pacing, serving = (asyncio.ensure_future(work) for work in (app.pace(), server.serve(sockets=[listener])))
        await _told_to_end()
        server.should_exit = True
        await serving
        pacing.cancel()


async def _main(kind: str, what: str, number: str) -> None:
    if kind == "service":
        await service(what, int(number))
    else:
        await sending(FanOut if kind == "fanout" else Echo, what, float(number))


if __name__ == "__main__":
    raise_descriptor_limit()
    return_freed_memory()
    asyncio.run(_main(*sys.argv[1:]))
