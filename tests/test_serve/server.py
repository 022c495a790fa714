"""A real server on a real loopback socket, in a thread of this process."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from engine.config import InstrumentConfig
from serve.app import build_app
from serve.listener import open_listener, run_listener
from serve.pacing import Clock
from serve.service import Service
from serve.settings import STREAM_PATH, ServeSettings
from serve.wire_check import FrameChecker

TIMEOUT_S = 30.0


class SkippingClock:
    """A clock on which waiting takes no time: it jumps to what is waited for."""

    def __init__(self) -> None:
        self._now = 1000.0
        self.waits: list[float] = []
        self._passed = threading.Condition()

    def now(self) -> float:
        return self._now

    async def sleep_until(self, when: float) -> None:
        await asyncio.sleep(0)
        with self._passed:
            self._now = max(self._now, when)
            self.waits.append(when)
            self._passed.notify_all()

    def wait_for(self, seconds: float) -> bool:
        """Block until so much time has passed on this clock."""
        with self._passed:
            return self._passed.wait_for(lambda: self._now >= 1000.0 + seconds, TIMEOUT_S)


@dataclass
class Running:
    """A served `Service` and where it is."""

    service: Service
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, **query: str) -> str:
        return f"ws://127.0.0.1:{self.port}{STREAM_PATH}?{urlencode(query)}"

    def connect(self, headers: dict[str, str] | None = None, **query: str) -> ClientConnection:
        return connect(self.url(**query), additional_headers=headers, compression=None, max_size=None, open_timeout=TIMEOUT_S)

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S)


@contextlib.contextmanager
def serving(settings: ServeSettings, config: InstrumentConfig, clock: Clock | None = None) -> Iterator[Running]:
    """Serve on a free port until the block ends."""
    service = Service(settings, config, clock)
    listener = open_listener("127.0.0.1", 0)
    is_up = threading.Event()
    held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def listen_on(app: Starlette) -> None:
        await run_listener(app, listener)

    async def main() -> None:
        ended = asyncio.Event()
        held.append((asyncio.get_running_loop(), ended))
        app = build_app(service, (listen_on,))
        async with app.router.lifespan_context(app):
            is_up.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="test-server")
    thread.start()
    try:
        assert is_up.wait(TIMEOUT_S * 3), "the server did not start"
        yield Running(service, listener.getsockname()[1], held[0][0])
    finally:
        loop, ended = held[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join(TIMEOUT_S)
        assert not thread.is_alive(), "the server did not end"


@dataclass
class Heard:
    """All a client heard, in order."""

    texts: list[dict[str, Any]]
    bins: list[dict[str, Any]]
    grids: list[bytes]
    order: list[str]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["type"] == kind]


def listen(connection: ClientConnection, n_bins: int | None = None, until: str | None = None) -> Heard:
    """Read to the end of the connection, for ``n_bins``, or until a kind of text; the order of frames is checked."""
    checker = FrameChecker()
    heard = Heard([], [], [], [])
    with contextlib.suppress(StopIteration, ConnectionClosed):
        frames = iter(connection)
        while n_bins is None or len(heard.bins) < n_bins:
            frame = next(frames)
            if isinstance(frame, bytes):
                heard.bins.append(checker.binary(frame))
                heard.grids.append(frame)
                continue
            values = json.loads(frame)
            checker.text(values["type"], frame, values)
            heard.order.append(values["type"])
            if values["type"] != "grid_update":
                heard.texts.append(values)
            if values["type"] == until:
                break
    return heard
