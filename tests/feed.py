"""A gateway in a thread of its own, the genuine client before it, and files small enough to know by heart."""

import asyncio
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import databento as db
import numpy as np
from numpy.typing import NDArray

from engine.feed.download.key import Key
from engine.feed.follow import Hole
from engine.feed.gateway.faults import Fault
from engine.feed.gateway.service import Gateway, Options, Ready
from engine.feed.live.feed import LiveFeed
from engine.feed.live.settings import LiveSettings
from engine.feed.live.sink import FeedState
from engine.schema import MBO_DTYPE
from tests.streams import build_up, record, to_array, write_dbn

KEY = "db-loopbackloopbackloopback-ABCDE"
DATASET = "GLBX.MDP3"
FIRST = dt.date(2026, 2, 5)
SECOND = dt.date(2026, 2, 6)
H6, M6, SPREAD = 101, 102, 103
IDS = {"MNQH6": H6, "MNQM6": M6, "MNQH6-MNQM6": SPREAD}
N_A_DAY = {H6: 600, M6: 300, SPREAD: 30}  # records of each on each day
DAY_NS = 86_400 * 10**9
STEP_NS = 10_000_000  # between two records of a day


def start_ns(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 10**9


def rows_of(day: dt.date) -> NDArray[np.void]:
    """A day's records of three instruments in turn, `STEP_NS` apart from 14:00 on; every tenth is a trade of 2 contracts."""
    n = sum(N_A_DAY.values())
    rows = to_array([record("A", i + 1, tick=-1 - i % 5, side="B") for i in range(n)])
    order = np.repeat(list(N_A_DAY), list(N_A_DAY.values()))
    rows["instrument_id"] = order[np.argsort(np.concatenate([np.arange(k) / k for k in N_A_DAY.values()]), kind="stable")]
    rows["ts_event"] = start_ns(day) + 14 * 3600 * 10**9 + np.arange(n) * STEP_NS
    rows["ts_recv"] = rows["ts_event"] + 100_000
    is_trade = np.arange(n) % 10 == 9
    rows["action"][is_trade] = ord("T")
    rows["size"][is_trade] = 2
    return rows


def two_days(folder: Path) -> list[Path]:
    """A file a day of three instruments."""
    folder.mkdir(exist_ok=True)
    return [write_dbn(folder / f"d{day:%Y%m%d}.dbn.zst", rows_of(day), IDS, day) for day in (FIRST, SECOND)]


def small_book(folder: Path) -> Path:
    """One contract: a snapshot of twelve orders, then an add, a partial cancel, a modify to more, a full cancel and a trade."""
    late = [
        record("A", 2000, side="B", tick=-1, size=7, time=1_000_000_000),
        record("C", 1000, side="B", tick=-1, size=2, time=2_000_000_000),  # 5 - 2 are left, at its place
        record("M", 1002, side="B", tick=-2, size=9, time=3_000_000_000),  # more: to the end of its queue
        record("C", 1004, side="B", tick=-3, size=5, time=4_000_000_000),
        record("T", 0, side="A", tick=1, size=1, time=5_000_000_000),
    ]
    return write_dbn(folder / "book.dbn", to_array([*build_up(), *late]))


@dataclass
class Running:
    """A gateway that runs."""

    gateway: Gateway
    ready: Ready

    def fault(self, text: str) -> Fault:
        """Order a fault."""
        return self.gateway.faults.add(Fault.read(text))

    def historical(self, key: str = KEY) -> Any:
        return db.Historical(key, gateway=self.ready.https_url)

    def live(self, key: str = KEY, **given: Any) -> Any:
        return db.Live(key, gateway=self.ready.live_host, port=self.ready.live_port, **given)

    def settings(self, **given: Any) -> LiveSettings:
        """Of a feed of MNQH6 through this gateway; quick, and without a clock where the gateway plays as fast as it is read."""
        where = {"host": self.ready.live_host, "port": self.ready.live_port}
        quick = {"heartbeat_s": 0.4, "first_wait_s": 0.01, "longest_wait_s": 0.05, "handshake_s": 1.0, "clock_rate": 0.0}
        return LiveSettings(**{"symbol": "MNQH6", **where, **quick, **given})

    @contextmanager
    def feed(self, kept: "Kept", key: str = KEY, tail: Any = None, **given: Any) -> Iterator[LiveFeed]:
        """A live feed of it until the block ends."""
        feed = LiveFeed(self.settings(**given), Key(key), kept, tail, kept.say)
        feed.start()
        try:
            yield feed
        finally:
            feed.stop()


@contextmanager
def running(paths: Sequence[Path], work: Path, **options: Any) -> Iterator[Running]:
    """A gateway until the block ends."""
    work.mkdir(exist_ok=True)
    gateway = Gateway(paths, work, KEY, Options(**{"speed": 0.0, **options}))
    told: list[Ready] = []
    heard = threading.Event()

    def ready(where: Ready) -> None:
        told.append(where)
        heard.set()

    def serve() -> None:
        try:
            asyncio.run(gateway.serve(ready))
        finally:
            heard.set()

    thread = threading.Thread(target=serve, name="gateway")
    thread.start()
    try:
        assert heard.wait(60)
        yield Running(gateway, told[0])
    finally:
        gateway.stop()
        thread.join(20)
    assert not thread.is_alive()


class Kept:
    """A sink that keeps what a live feed hands on, in its order, and waits for what a test wants to see."""

    def __init__(self) -> None:
        self.batches: list[NDArray[np.void]] = []
        self.holes: list[tuple[int, Hole]] = []  # and how many records came before
        self.mappings: list[tuple[int, str, int]] = []
        self.known: list[tuple[int, int]] = []  # and how many records had come
        self.states: list[FeedState] = []
        self.lines: list[str] = []
        self.n = 0
        self._changed = threading.Condition()

    def take(self, records: NDArray[np.void]) -> None:
        with self._changed:
            self.batches.append(records)
            self.n += len(records)
            self._changed.notify_all()

    def hole(self, hole: Hole) -> None:
        with self._changed:
            self.holes.append((self.n, hole))
            self._changed.notify_all()

    def mapping(self, instrument_id: int, raw_symbol: str, ts_ns: int) -> None:
        self.mappings.append((instrument_id, raw_symbol, ts_ns))

    def known_until(self, ts_ns: int) -> None:
        with self._changed:
            self.known.append((ts_ns, self.n))
            self._changed.notify_all()

    def state(self, state: FeedState) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def say(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    @property
    def records(self) -> NDArray[np.void]:
        return np.concatenate(self.batches) if self.batches else np.empty(0, MBO_DTYPE)

    def kinds(self) -> list[str]:
        """The kinds of its states, each once where it stayed the same."""
        return [kind for kind, _ in groupby(one.kind for one in self.states)]

    def wait(self, until: Callable[[], Any], timeout_s: float = 20.0) -> None:
        with self._changed:
            assert self._changed.wait_for(until, timeout_s), (self.n, self.lines[-4:], self.states[-1:])


def is_like(records: NDArray[np.void], source: NDArray[np.void]) -> bool:
    """Whether two arrays are the same bits."""
    return records.tobytes() == source.tobytes()


class Heard:
    """What a live client gets, record by record, and an event for when so many of a kind are there."""

    def __init__(self, client: Any) -> None:
        self.records: list[Any] = []
        self._changed = threading.Condition()
        client.add_callback(self._hear)

    def _hear(self, record: Any) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.records if isinstance(one, kind)]

    def wait(self, kind: type, n: int, timeout_s: float = 20.0) -> list[Any]:
        """The first ``n`` of a kind."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(kind)) >= n, timeout_s), self.records[-3:]
            return self.of(kind)[:n]
