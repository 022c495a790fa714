"""A feed made by hand for the recorder: a snapshot, then orders that come and go, each record with a sequence of its own."""

import multiprocessing
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.feed.record.follower import DayFollower
from engine.feed.record.place import recording_files
from engine.feed.record.recorder import Options, Recorder
from engine.lake import Lake
from engine.schema import MBO_DTYPE
from engine.source.records import open_source
from tests.streams import DAY, SYMBOL, build_up, record, to_array

NEXT_DAY = DAY + timedelta(1)
STEP_NS = 200_000  # between two records: 5,000 a second


def feed_rows(n: int, start_ns: int | None = None) -> NDArray[np.void]:
    """A snapshot of 12 orders and ``n`` records behind it: an order comes, the one 50 before it goes."""
    rows = np.zeros(n, MBO_DTYPE)
    rows[:] = to_array([record("A", 1, tick=-3)])
    i = np.arange(n)
    rows["order_id"] = 5_000 + i // 2
    is_cancel = (i % 2 == 1) & (i > 100)
    rows["action"][is_cancel] = ord("C")
    rows["order_id"][is_cancel] -= 50
    rows["order_id"][(i % 2 == 1) & (i <= 100)] += 1_000_000
    rows = np.concatenate([to_array(build_up()), rows])
    base = int(rows["ts_event"][0]) if start_ns is None else start_ns
    rows["ts_event"] = base + np.arange(len(rows)) * STEP_NS
    rows["ts_recv"] = rows["ts_event"] + 100_000
    rows["sequence"] = np.arange(1, len(rows) + 1)
    return rows


def silent(line: str) -> None:
    """Where lines go that a test does not look at."""


def feed(recorder: Recorder, rows: NDArray[np.void], batch: int = 100) -> None:
    """Give rows to a recorder as a feed would."""
    for start in range(0, len(rows), batch):
        recorder.take(rows[start : start + batch])


def recorded(lake: Lake, day: date = DAY) -> NDArray[np.void]:
    """What the engine's own source reads of a day's segments."""
    files = recording_files(lake, SYMBOL, day)
    if not files:
        return np.empty(0, MBO_DTYPE)
    parts = list(open_source(files, load_instrument(), day).records())
    return np.concatenate([np.empty(0, MBO_DTYPE), *parts])


def take_all(follower: DayFollower, timeout_s: float = 20.0) -> tuple[NDArray[np.void], list[Any]]:
    """Everything until the end: records, and each hole with how many records came before it."""
    parts, holes, n = [np.empty(0, MBO_DTYPE)], [], 0
    while True:
        batch = follower.read(timeout_s)
        if batch.hole is not None:
            holes.append((n, batch.hole))
        n += len(batch.records)
        parts.append(batch.records)
        if batch.is_over:
            return np.concatenate(parts), holes
        assert batch.hole is not None or len(batch.records) or batch.known_until_ns, "nothing came"


def take_n(follower: DayFollower, n: int) -> NDArray[np.void]:
    """So many records, or more where a batch brings them."""
    parts, got = [np.empty(0, MBO_DTYPE)], 0
    while got < n:
        batch = follower.read(20.0)
        assert not batch.is_over
        assert batch.hole is None
        parts.append(batch.records)
        got += len(batch.records)
    return np.concatenate(parts)


def small(lake: Lake, tell: Callable[[str], None] = silent, **given: Any) -> Recorder:
    """A recorder with a ring of one MiB, 16,384 slots."""
    return Recorder(lake, SYMBOL, Options(**{"ring_mb": 1, "segment_mb": 64, "sync_ms": 20, "retry_s": 0.0, **given}), tell)


def in_process(work: Callable[..., None], *given: Any) -> int:
    """Do it in a process of its own; how that ended, negative where a signal did."""
    process = multiprocessing.get_context("fork").Process(target=work, args=given)
    process.start()
    process.join(60)
    code = process.exitcode
    assert code is not None
    return code


def lake_of(folder: Path) -> Lake:
    """A lake that is empty."""
    return Lake(folder / "lake")
