"""A real server on a real loopback socket, in a thread of this process."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from engine.config import InstrumentConfig
from serve.app import build_app
from serve.frames import decode_header
from serve.listener import open_listener, run_listener
from serve.pacing import Clock
from serve.service import Service
from serve.settings import STREAM_PATH, Limits, ServeSettings
from serve.wire_check import FrameChecker

TIMEOUT_S = 20.0
QUIET_S = 15.0  # without a frame for so long nothing more comes


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


class HandClock:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._lock = threading.Lock()
        self._sleepers: list[tuple[float, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep_until(self, when: float) -> None:
        loop = asyncio.get_running_loop()
        while self._now < when:
            woken = loop.create_future()
            with self._lock:
                if self._now >= when:
                    return
                self._sleepers.append((when, loop, woken))
            await woken

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once."""
        with self._lock:
            self._now += seconds
            due = [one for one in self._sleepers if one[0] <= self._now]
            self._sleepers = [one for one in self._sleepers if one[0] > self._now]
        for _, loop, woken in due:
            loop.call_soon_threadsafe(_finish, woken)


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


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


N_BINS = 400
TOKEN = "correct-horse-battery"
ROOMY = Limits(queue_bins=N_BINS, champion_poll_s=0.05)  # a skipping clock leaves no time to read

Serve = Callable[..., Running]


@contextlib.contextmanager
def serving(settings: ServeSettings, config: InstrumentConfig, clock: Clock | None = None) -> Iterator[Running]:
    """Serve on a free port until the block ends."""
    with open_listener("127.0.0.1", 0) as listener:
        up: Future[tuple[Running, asyncio.Event]] = Future()

        async def listen_on(app: Starlette) -> None:
            await run_listener(app, listener)

        async def main() -> None:
            service = Service(settings, config, clock)
            app = build_app(service, (listen_on,))
            ended = asyncio.Event()
            async with app.router.lifespan_context(app):
                up.set_result((Running(service, listener.getsockname()[1], asyncio.get_running_loop()), ended))
                await ended.wait()

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                if up.done():
                    raise
                up.set_exception(error)

        thread = threading.Thread(target=run, name="test-server")
        thread.start()
        try:
            # However long it compiles, where nothing is compiled yet; a test has a limit of its own.
            running, ended = up.result()
            try:
                yield running
            finally:
                running.loop.call_soon_threadsafe(ended.set)
        finally:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive(), "the server did not end"


@dataclass
class Heard:
    """All a client heard, in order."""

    texts: list[dict[str, Any]]
    bins: list[dict[str, Any]]
    grids: list[bytes]
    order: list[str]
    checker: FrameChecker = field(default_factory=FrameChecker)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["type"] == kind]


def frames_of(connection: ClientConnection) -> Iterator[str | bytes]:
    """Frames until the connection is closed, heartbeats left out; a server that falls silent instead fails the test."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = connection.recv(timeout=QUIET_S)
            if not is_heartbeat(frame):
                yield frame


def is_heartbeat(frame: str | bytes) -> bool:
    """Whether it says only that the server lives."""
    return isinstance(frame, str) and frame.startswith('{"type":"heartbeat"')


def listen(
    connection: ClientConnection, n_bins: int | None = None, until: str | None = None, after: Heard | None = None
) -> Heard:
    """Read to the end of the connection, for ``n_bins``, or until a kind of text; the order of frames is checked.

    ``after``: what was heard on this connection before, if anything; the order goes on from there.
    """
    heard = Heard([], [], [], []) if after is None else Heard([], [], [], [], after.checker)
    checker = heard.checker
    frames = frames_of(connection)
    while n_bins is None or len(heard.bins) < n_bins:
        frame = next(frames, None)
        if frame is None:
            break
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


def listen_more(connection: Any, n_bins: int) -> list[bytes]:
    """Grids of a connection whose config was read before."""
    grids: list[bytes] = []
    while len(grids) < n_bins:
        frame = connection.recv(timeout=10)
        if isinstance(frame, bytes):
            grids.append(frame)
    return grids


def hear(connection: Any, n_bins: int = 0, until: str | None = None) -> Heard:
    """What comes next on a connection whose config was read before, its order unchecked: after a seek bins go back, too."""
    heard = Heard([], [], [], [])
    while until is not None or len(heard.grids) < n_bins:
        frame = connection.recv(timeout=QUIET_S)
        if isinstance(frame, bytes):
            heard.grids.append(frame)
        elif not is_heartbeat(frame):
            values = json.loads(frame)
            heard.order.append(values["type"])
            if values["type"] == "grid_update":
                heard.bins.append(decode_header(frame))
            else:
                heard.texts.append(values)
            if values["type"] == until:
                break
    return heard


def closing(connection: Any) -> tuple[int, str]:
    """The code and reason a finished connection was closed with."""
    with contextlib.suppress(ConnectionClosed):
        connection.recv(timeout=10)
    return connection.protocol.close_code, connection.protocol.close_reason


async def finished(stream: Any) -> None:
    await stream.finished
