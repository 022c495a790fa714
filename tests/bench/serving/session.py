"""What is loaded: a simulated session in a lake of its own, and the service over it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from engine.lake import Lake
from engine.simulate.session import simulate
from serve.settings import STREAM_PATH
from tests.bench.serving.client import Client
from tests.bench.serving.measure import Process, served

PERIOD_S = 0.1
_RATE = 700.0  # events a second
_OPENED_AT_ONCE = 64


def simulated(folder: Path, seconds: int) -> Path:
    """A lake with one session from 09:25."""
    lake = Lake.open(folder / "lake")
    raw = lake.raw_dir("MNQ")
    raw.mkdir(parents=True)
    simulate(raw / "glbx-mdp3-20260206.mbo.dbn", seed=1, seconds=seconds, rate=_RATE, start="2026-02-06T09:25")
    return folder / "lake"


@dataclass
class Target:
    """A server under load."""

    process: Process
    host: str
    query: str

    @classmethod
    @contextlib.contextmanager
    def started(cls, lake: Path, max_clients: int, query: str) -> "Iterator[Target]":
        """Our service over a lake, until the block ends."""
        with served("service", lake, max_clients) as process:
            yield cls(process, "127.0.0.1", query)

    async def connect(
        self,
        query: str = "",
        on_bin: Callable[[Client], None] = lambda client: None,
        on_end: Callable[[Client], None] = lambda client: None,
    ) -> Client:
        """One more viewer."""
        asked = "&".join(part for part in (self.query, query) if part)
        path = f"{STREAM_PATH}?{asked}" if asked else STREAM_PATH
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(path, on_bin, on_end), self.host, self.process.port
        )
        return client

    async def connect_all(self, n_clients: int, query: str = "") -> list[Client]:
        """So many viewers, as fast as they get in; returned once each has its first bin."""
        doors = asyncio.Semaphore(_OPENED_AT_ONCE)

        async def one() -> Client:
            begun = asyncio.get_running_loop().create_future()

            def done(client: Client) -> None:
                if not begun.done():
                    begun.set_result(None)

            async with doors:
                client = await self.connect(query, done, done)
            await begun
            return client

        return list(await asyncio.gather(*(one() for _ in range(n_clients))))


def running(url: str, pid: int, query: str) -> Target:
    """A service that runs already."""
    parts = urlsplit(url)
    return Target(Process(pid, parts.port or 80), parts.hostname or "127.0.0.1", query)
