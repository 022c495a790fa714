"""A recorded day in a lake and the vendor's file of it, with whatever differs between them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.feed.follow import Hole
from engine.feed.record.place import recorded_segments
from engine.feed.record.recorder import Options, Recorder
from engine.lake import Lake
from tests.streams import DAY, SYMBOL, build_up, record, to_array, write_dbn

Rows = NDArray[np.void]
STEP_NS = 20_000_000
N_OPENING = 13  # the clear and twelve orders of `build_up`


def day_rows(n: int = 3000) -> Rows:
    """A snapshot of twelve orders, then adds that rest on both sides, a trade now and then, two of a time."""
    rows = to_array(
        [*build_up(), *(record("A", 2000 + i, side="BA"[i % 2], tick=(-1, 1)[i % 2] * (2 + i % 5)) for i in range(n))]
    )
    late = rows[N_OPENING:]
    late["ts_event"] += (np.arange(n) // 2 * 2 + 2).astype(np.uint64) * np.uint64(STEP_NS // 2)
    late["ts_recv"] = late["ts_event"] + np.uint64(100_000)
    late["size"] = 1 + np.arange(n) % 7
    is_trade = np.arange(n) % 10 == 9
    late["action"][is_trade] = ord("T")
    return rows


def official(lake: Lake, rows: Rows, name: str = "mnqh6-glbx-mdp3-20260206.mbo.dbn.zst") -> Path:
    """The vendor's file, where a download puts it."""
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True, exist_ok=True)
    return write_dbn(folder / name, rows)


def recorded(lake: Lake, pieces: Sequence[Rows | Hole]) -> list[Path]:
    """A day as the recorder keeps it, whole; its segments."""
    said: list[str] = []
    recorder = Recorder(lake, SYMBOL, Options(ring_mb=1), said.append)
    for one in pieces:
        if isinstance(one, Hole):
            recorder.hole(one)
        else:
            recorder.take(one)
    recorder.end()
    assert said == []
    return [one.path for one in recorded_segments(lake, SYMBOL, DAY)]


def time_of(row: Any) -> int:
    return int(row["ts_event"])
