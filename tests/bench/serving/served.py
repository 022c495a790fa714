"""What the generator loads: our service without Ray, and a bare uvicorn that sends the same frames; each a process of its own.

    python -m tests.bench.serving.served service LAKE MAX_CLIENTS
    python -m tests.bench.serving.served echo FRAMES PERIOD_S

Each prints its port, and ends when its standard input does.
"""

import asyncio
import pickle
import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from engine.config import load_instrument
from engine.lake import Lake
from serve.allocator import return_freed_memory
from serve.app import build_app
from serve.door import raise_descriptor_limit
from serve.listener import open_listener, run_listener
from serve.service import Service
from serve.settings import Limits, ServeSettings


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
            told, self._tick = self._tick, loop.create_future()
            told.set_result((text.replace("BIN_SEQ", str(seq)), grid))
            seq += 1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            text, grid = await self._tick
            await send({"type": "websocket.send", "text": text})
            await send({"type": "websocket.send", "bytes": grid})


async def echo(frames: str, period_s: float) -> None:
    """The bare uvicorn."""
    app = Echo(pickle.loads(Path(frames).read_bytes()), period_s)
    made = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, ws="websockets-sansio", ws_per_message_deflate=False
    )
    server = uvicorn.Server(made)
    with open_listener("127.0.0.1", 0) as listener:
        print(listener.getsockname()[1], flush=True)
        tasks = [asyncio.ensure_future(work) for work in (app.pace(), server.serve(sockets=[listener]))]
        await _told_to_end()
        server.should_exit = True
        await tasks[1]
        tasks[0].cancel()


if __name__ == "__main__":
    raise_descriptor_limit()
    return_freed_memory()
    kind, what, number = sys.argv[1:]
    asyncio.run(service(what, int(number)) if kind == "service" else echo(what, float(number)))
