"""One session with twenty cuts of every kind: each record once or in a named hole, and the book the source's after each."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.constants import F_SNAPSHOT
from engine.feed.dbn_stream import DbnStream
from tests.feed import Kept, running

CUTS = [
    "close@live.records",
    "cut@live.records",
    "reset@live.records",
    "half_close@live.records",
    "garbage@live.records",
    "error@live.records",
    "error@live.records:code=7",
    "stall@live.records",
    "refuse@live.greeting close@live.records",
    "stall@live.greeting reset@live.records",
    "stall@live.auth cut@live.records",
    "auth@live.auth:code=429,times=2 close@live.records",
    "error@live.subscribe half_close@live.records",
    "late_start@live.subscribe close@live.records",
    "aged_out@live.subscribe:seconds=0 reset@live.records",
    "late_start@live.subscribe error@live.subscribe:skip=1 garbage@live.records",
    "error@live.subscribe:times=3 close@live.records",
    "refuse@live.greeting:times=4 stall@live.records",
    "omit@live.records:records=3 close@live.records:after=0",
    "reset@live.records",
]
Orders = dict[int, tuple[int, int, int]]


@dataclass
class Part:
    """Records between two holes: where its ordinary ones begin and end in the source, and the snapshot before them."""

    first: int
    end: int
    snapshot: NDArray[np.void]


def resting(records: NDArray[np.void], orders: Orders | None = None) -> Orders:
    """Side, price and size of each order that rests after some records: the book in a dozen lines of plain Python."""
    orders = dict(orders or {})
    names = ("action", "order_id", "side", "price", "size")
    for action, order, side, price, size in zip(*(records[name].tolist() for name in names), strict=True):
        if chr(action) == "R":
            orders.clear()
        elif chr(action) in "AM":
            orders[order] = (side, price, size)
        elif chr(action) == "C" and order in orders:
            left = orders[order][2] - size
            orders[order] = (*orders[order][:2], left)
            if left <= 0:
                del orders[order]
    return orders


def parts_of(kept: Kept, source: NDArray[np.void]) -> list[Part]:
    """What was kept, cut at its holes and found in the source by its bits."""
    records = kept.records
    place = {row.tobytes(): i for i, row in enumerate(source)}
    edges = [0, *(n for n, _ in kept.holes), len(records)]
    parts = []
    for first, end in pairwise(edges):
        piece = records[first:end]
        is_snapshot = (piece["flags"] & F_SNAPSHOT) != 0
        n = int(is_snapshot.argmin()) if not is_snapshot.all() else len(piece)
        assert not is_snapshot[n:].any()
        if n == len(piece):
            continue  # cut before anything followed its snapshot
        at = place[piece[n].tobytes()]
        assert piece[n:].tobytes() == source[at : at + len(piece) - n].tobytes(), (first, n, at)
        parts.append(Part(at, at + len(piece) - n, piece[:n]))
    return parts


def comes_on(kept: Kept, n: int) -> None:
    """Wait for so many more records."""
    until = kept.n + n
    kept.wait(lambda: kept.n >= until)


def recovers(kept: Kept, before: int) -> None:
    """Wait for another recovery than so many."""
    kept.wait(lambda: kept.states[-1].n_recoveries > before)


def test_twenty_cuts_in_one_session(simulated_file: Path, tmp_path: Path) -> None:
    source = np.concatenate(list(DbnStream(simulated_file).records()))
    assert len({row.tobytes() for row in source}) == len(source)
    kept = Kept()
    given: dict[str, Any] = {"heartbeat_s": 0.2, "handshake_s": 0.3, "clock_rate": 1.5, "reorder_s": 0.5}
    with running([simulated_file], tmp_path / "work", speed=1.5) as gateway, gateway.feed(kept, **given):
        for cut in CUTS:
            comes_on(kept, 60)
            before = kept.states[-1].n_recoveries
            for fault in [gateway.fault(text) for text in cut.split()]:
                assert fault.hit.wait(10), cut
            recovers(kept, before)
        comes_on(kept, 500)
    parts = parts_of(kept, source)
    assert kept.states[-1].n_recoveries >= len(CUTS)
    assert 3 <= len(kept.holes) <= 6, kept.holes
    for (one, other), (_, hole) in zip(pairwise(parts), kept.holes, strict=True):
        lost = source[one.end : other.first]["ts_event"]
        assert len(lost) > 0
        assert hole.since_ns <= lost.min() <= lost.max() <= hole.until_ns
    for part in parts:
        assert resting(part.snapshot) == resting(source[: part.first])
    told = [ts for ts, _ in kept.known]
    assert told == sorted(set(told))


def test_the_order_of_the_plain_book() -> None:
    """By hand: 1 has 3 of 5 left, 2 has another price, 3 is gone; a clear leaves nothing."""
    from tests.streams import record, to_array

    rows = [record("A", 1, size=5), record("A", 2, tick=-1), record("A", 3, size=2), record("C", 1, size=2)]
    rows += [record("M", 2, tick=-2, size=9), record("C", 3, size=2), record("T", 1, size=1)]
    book = resting(to_array(rows))
    assert {order: size for order, (_, _, size) in book.items()} == {1: 3, 2: 9}
    assert book[2][1] == to_array([record("A", 2, tick=-2)])["price"][0]
    assert resting(to_array([record("R", 0)]), book) == {}


pytestmark = pytest.mark.filterwarnings("error")
