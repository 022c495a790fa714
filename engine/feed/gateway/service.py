"""The gateway as a whole: two listening sockets on loopback, one tape, one clock, one list of faults."""

import asyncio
import logging
import secrets
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvicorn

from engine.errors import ConfigError, WorkError
from engine.feed.gateway.certificate import LOOPBACK, make_certificate
from engine.feed.gateway.clock import MarketClock
from engine.feed.gateway.faults import Faults
from engine.feed.gateway.history import History
from engine.feed.gateway.live import LiveSession, Market
from engine.feed.gateway.names import Names
from engine.feed.gateway.tape import open_tape
from engine.files import write_new

_KEY_LETTERS: Final = 32
_LINE_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class Options:
    """How a gateway runs. A port of 0 is any free one; ``speed`` 0 is as fast as the reader; ``heartbeat_s`` None is as asked."""

    http_port: int = 0
    live_port: int = 0
    speed: float = 1.0
    heartbeat_s: float | None = None
    slow_after_s: float = 1.0
    usd_per_gb: float = 1.8
    job_polls: int = 1
    closes_at_end: bool = False

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 0:
                raise ConfigError(f"{name} was {value}; it must be 0 or more")


@dataclass(frozen=True)
class Ready:
    """Where a gateway listens. Whoever speaks to ``https_url`` trusts ``certificate`` (``REQUESTS_CA_BUNDLE``)."""

    https_url: str
    certificate: Path
    live_host: str
    live_port: int


@dataclass
class Gateway:
    """Plays ``paths`` to whoever has ``key``; what it writes goes into the folder ``work``."""

    paths: Sequence[Path]
    work: Path
    key: str
    options: Options = field(default_factory=Options)
    faults: Faults = field(default_factory=Faults)
    _loop: asyncio.AbstractEventLoop | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _sessions: set["asyncio.Task[None]"] = field(default_factory=set)

    async def serve(self, ready: Callable[[Ready], None]) -> None:
        """Listen until `stop` is called; ``ready`` hears where.

        Raises
        ------
        SourceError
            The files cannot be played.
        WorkError
            A port is taken.
        """
        self._loop = asyncio.get_running_loop()
        tape = open_tape(self.paths, self.work)
        certificate, private = make_certificate(self.work)
        options = self.options
        clock = MarketClock(tape, options.speed)
        history = History(tape, self.key, self.faults, self.work, options.usd_per_gb, options.job_polls)
        market = Market(
            tape, Names(tape), clock, self.key, self.faults, options.heartbeat_s, options.slow_after_s, options.closes_at_end
        )
        https = _listener(options.http_port, "--http-port")
        server = uvicorn.Server(
            uvicorn.Config(
                history.app(), lifespan="off", log_config=None, access_log=False, ssl_certfile=str(certificate),
                ssl_keyfile=str(private), timeout_graceful_shutdown=0,
            )
        )  # fmt: skip
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # connections that a fault cuts are no error here

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._sessions.add(task)
            try:
                await LiveSession(market, reader, writer).run()
            except asyncio.CancelledError:
                pass  # by `serve`, which waits for it; asyncio's own streams would write an error of it
            finally:
                self._sessions.discard(task)

        live_socket = _listener(options.live_port, "--live-port")
        live = await asyncio.start_server(connected, sock=live_socket, limit=_LINE_BYTES)
        serving = asyncio.ensure_future(server.serve(sockets=[https]))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            port = https.getsockname()[1]
            ready(Ready(f"https://{LOOPBACK}:{port}", certificate, LOOPBACK, live_socket.getsockname()[1]))
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for connection in list(server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()  # those that a fault holds would never end
            server.should_exit = True
            live.close()
            for task in list(self._sessions):
                task.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)
            await serving
            stopping.cancel()

    def stop(self) -> None:
        """End it, from whatever thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)


def _listener(port: int, option: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise WorkError(f"{option} was {port}, which cannot be listened on: {error}; give another, or 0 for any") from None
    listener.listen()
    listener.setblocking(False)
    return listener


def gateway_key(path: Path) -> str:
    """The key that opens a gateway: what a file says that only its owner reads, made where it is missing.

    Raises
    ------
    ConfigError
        Others may read it, or it holds no key.
    """
    if not path.exists():
        write_new(path, f"db-{secrets.token_hex(_KEY_LETTERS)[: _KEY_LETTERS - 3]}\n".encode(), 0o600)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path} holds a key and others may read it; say chmod 600 {path}")
    key = path.read_text(encoding="utf-8").strip()
    if not key or not key.isprintable() or " " in key:
        raise ConfigError(f"{path} holds no key; remove it, and one is made")
    return key
