"""A follower over records in memory, cut and told in any way that its contract allows."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import InstrumentConfig
from engine.run.live import LiveReplay
from engine.run.replay import Replay
from engine.schema import MBO_DTYPE
from engine.source.follow import Batch, Hole, PlacedHole, Watch
from engine.source.records import open_source
from tests.reference import F_LAST, F_SNAPSHOT, UNDEF_PRICE, Record
from tests.sessions import Bins, join, small_config
from tests.streams import DAY, DAY_START, INSTRUMENT_ID, OPEN, record, to_array, write_dbn

DAY_NS = 86_400 * 10**9
NOTHING = np.zeros(0, MBO_DTYPE)
SECOND = 10**9
MS = 1_000_000
CONFIG = small_config()
SLOW = small_config(cell_width_ms=1000)
CLOSE = 8 * 3600  # Friday's, s behind 09:00 in New York


class MemoryFollower:
    """Hands out batches as they stand; an asked-for one behind the last is a mistake."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)
        self.told_ns = 0  # the latest event time that was known, and of any record
        self.is_over = False

    def read(self, timeout_s: float) -> Batch:
        assert timeout_s > 0
        assert not self.is_over
        batch = next(self._batches)
        self.is_over = batch.is_over
        newest = int(batch.records["ts_event"].max()) if len(batch.records) else 0
        self.told_ns = max(self.told_ns, batch.known_until_ns, newest)
        return batch


WINDOW = DAY_START, DAY_START + DAY_NS


def clocks(rows: NDArray[np.void], window: tuple[int, int] = WINDOW) -> NDArray[np.int64]:
    """How far each record, or one before it, has run the clock of its session, ns; shape (n,).

    What is dropped, and what a snapshot dates, runs no clock here: a clock told late is always right.
    """
    ts, captured = rows["ts_event"].astype(np.float64), rows["ts_recv"].astype(np.float64)
    priced = (rows["action"] == ord("A")) | (rows["action"] == ord("M"))
    runs = (rows["flags"] & F_SNAPSHOT == 0) & (rows["action"] != ord("R")) & ~(priced & (rows["price"] == UNDEF_PRICE))
    for times in (ts, captured):
        runs &= (times >= window[0]) & (times < window[1])
    return np.maximum.accumulate(np.where(runs, rows["ts_event"].astype(np.int64), 0))


def batches(
    rows: NDArray[np.void],
    rng: np.random.Generator,
    holes: Sequence[tuple[int, Hole]] = (),
    end_ns: int | None = None,
    most: int = 400,
    window: tuple[int, int] = WINDOW,
) -> Iterator[Batch]:
    """The records in pieces of random length, the clock told at random between them; holes before the record they name."""
    clock = clocks(rows, window)
    by_place: dict[int, list[Hole]] = {}
    for n_before, hole in holes:
        by_place.setdefault(n_before, []).append(hole)
    edges = {0, len(rows), *by_place}
    while len(edges) < min(len(rows), 2 * len(rows) // most + len(by_place) + 2):
        edges.add(int(rng.integers(len(rows))))
    ordered = sorted(edges)
    for first, last in zip(ordered, [*ordered[1:], len(rows)], strict=True):
        told = by_place.get(first, [])
        for hole in told[:-1]:
            yield Batch(NOTHING, hole, int(clock[first - 1]) if first else 0, False)
        now = int(clock[last - 1]) if last else 0
        yield Batch(rows[first:last], told[-1] if told else None, now, False)
        # Up to the next record's own time, if that runs the clock; up to where all ends behind the last one.
        after = now if last in by_place else int(clock[last]) if last < len(rows) else end_ns or now
        for fraction in sorted([*rng.random(rng.integers(0, 4)), *rng.choice([0.0, 1.0], 1)]):
            yield Batch(NOTHING, None, now + int(fraction * (after - now)), False)
    yield Batch(NOTHING, None, now if end_ns is None else end_ns, True)


def follow(config: InstrumentConfig, given: Iterable[Batch], **how: Any) -> tuple[LiveReplay, MemoryFollower]:
    """A live replay over batches, and its follower."""
    follower = MemoryFollower(given)
    return LiveReplay(follower, config, how.pop("day", DAY), **how), follower


def live_bins(replay: LiveReplay, follower: MemoryFollower) -> Bins:
    """All its bins, each no earlier than it was known."""
    kept = []
    for block in replay:
        assert int(block.bins["bin_end_ns"][-1]) <= follower.told_ns or follower.is_over
        kept.append(block)
    return join(kept)


def file_replay(path: Path | list[Path], config: InstrumentConfig, watch: Watch | None = None, **how: Any) -> Replay:
    """The replay of files whose feed was watched, or not."""
    paths = path if isinstance(path, list) else [path]
    return Replay(open_source(paths, config, how.pop("day", DAY), watch=watch), config, **how)


# By hand, in seconds behind 09:00 in New York


def on(second: float, flags: int = F_LAST) -> Record:
    """A harmless record, s behind 09:00."""
    return record("A", 5000 + round(second * 10), tick=-6, time=round(second * SECOND), flags=flags)


def shifted(part: Sequence[Record], second: float) -> list[Record]:
    by = round(second * SECOND)
    return [Record(**{**vars(r), "ts_event": r.ts_event + by, "ts_recv": r.ts_recv + by}) for r in part]


def said(second: float, *records: Record, hole: Hole | None = None, is_over: bool = False) -> Batch:
    """A batch of these records; everything is known up to s behind 09:00."""
    return Batch(to_array(records) if records else NOTHING, hole, OPEN + round(second * SECOND), is_over)


def hole(since: float, until: float) -> Hole:
    return Hole(OPEN + round(since * SECOND), OPEN + round(until * SECOND), "gateway away")


def written(folder: Path, given: Sequence[Batch], config: Any = CONFIG, **how: Any) -> Any:
    """The replay of a recording of these batches."""
    rows = np.concatenate([batch.records for batch in given])
    places = np.cumsum([0, *(len(batch.records) for batch in given)])
    told = tuple(PlacedHole(int(n), one.hole) for n, one in zip(places, given, strict=False) if one.hole is not None)
    path = write_dbn(folder / "day-20260206.dbn", rows, {config.symbol: INSTRUMENT_ID}, n_days=2)
    return file_replay(path, config, Watch(told, given[-1].known_until_ns), **how)


def same(live: LiveReplay, found: Bins, replay: Any) -> Bins:
    """The live bins, which are those of the file, with all that was counted."""
    bins = join(replay)
    assert len(found.fields) == len(bins.fields)
    assert found.to_bytes() == bins.to_bytes()
    assert live.anomalies == replay.anomalies
    assert live.quality_counts == replay.quality_counts
    assert live.runner.silences == replay.runner.silences
    assert live.runner.holes == replay.runner.holes
    assert live.runner.quiet == replay.runner.quiet
    assert live.n_overtaken == 0
    return found


def both(folder: Path, given: Sequence[Batch], config: Any = CONFIG, **how: Any) -> Bins:
    """The bins of a live feed and of its recording."""
    live, follower = follow(config, given, **how)
    return same(live, live_bins(live, follower), written(folder, given, config, **how))


def gaps(bins: Bins) -> list[int]:
    return np.flatnonzero(bins.fields["quality"] & 2).tolist()
