"""What the fuzz tests share: how long they run, and where their wildness comes from."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from engine.run.replay import Replay
from tests.reference import F_LAST, F_SNAPSHOT, ONE_SIDED, UNDEF_PRICE, Record
from tests.sessions import Bins, join, make_runner
from tests.streams import DAY_START, MID_TICK, OPEN, TICK, build_up, record, records, to_array

MS = 1_000_000
DROPS = ("outside_window", "undefined_price")  # anomalies of records that do not become events


def fuzz(n_examples: int) -> Callable[[Any], Any]:
    """So many examples, the same in every run; with SPYMASTER_FUZZ_EXAMPLES=N as many as it says, new ones each time."""
    wanted = os.environ.get("SPYMASTER_FUZZ_EXAMPLES")
    if wanted is None:
        return settings(max_examples=n_examples)
    return settings(max_examples=int(wanted), derandomize=False, print_blob=True)


def non_finite(bins: Bins) -> list[str]:
    """Columns that hold a NaN or an infinity; the mid may, and must, be NaN where a side has no best price."""
    columns = {name: bins.fields[name] for name in bins.fields.dtype.names or ()} | bins.grid
    has_mid = (bins.fields["quality"] & ONE_SIDED) == 0
    mid = columns.pop("mid_price")
    found = [name for name, values in columns.items() if not np.all(np.isfinite(values))]
    return found if np.array_equal(np.isnan(mid), ~has_mid) and not np.isinf(mid).any() else [*found, "mid_price"]


def lost(n_records: int, n_events: int, anomalies: dict[str, int]) -> int:
    """Records that are neither kept events nor counted drops."""
    return n_records - n_events - sum(anomalies.get(kind, 0) for kind in DROPS)


def lost_of(replay: Replay, n_records: int) -> int:
    """The same of a whole replay."""
    return lost(n_records, replay.runner.n_events, replay.anomalies)


ID_ENDS = [0, 1, 2, 3, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
SIZE_ENDS = [0, 1, 2, 5, 2**31 - 1, 2**31, 2**32 - 1]
PRICE_ENDS = [-(2**63), -(2**63) + 1, -TICK, -1, 0, 1, TICK, 2**63 - 1 - TICK, 2**63 - 2, UNDEF_PRICE]
TIMES = st.one_of(
    st.integers(0, 200_000).map(lambda ms: OPEN + ms * MS),  # of a few minutes, in any order
    st.sampled_from([0, 1, DAY_START - 1, DAY_START, OPEN, 2**63 - 1, 2**63, 2**64 - 1]),
)
NEAR = st.integers(-8, 8).map(lambda tick: (MID_TICK + tick) * TICK)


def raw_records(prices: st.SearchStrategy[int], max_size: int = 120) -> st.SearchStrategy[list[Record]]:
    """Records with any byte as action, side and flags, ids and sizes at the ends of their ranges, times in any order."""
    letter = st.one_of(st.sampled_from("AAAMMCCFFTNR"), st.integers(0, 255).map(chr))
    one = st.builds(
        Record,
        action=letter,
        side=st.one_of(st.sampled_from("ABABN"), st.integers(0, 255).map(chr)),
        price=prices,
        size=st.sampled_from(SIZE_ENDS),
        order_id=st.sampled_from(ID_ENDS),
        flags=st.one_of(st.sampled_from([F_LAST, F_LAST | 2, 0]), st.integers(0, 255)),
        ts_event=TIMES,
        ts_recv=TIMES,
        instrument_id=st.just(42_004_000),
    )
    return st.lists(one, min_size=5, max_size=max_size)


def moved(part: list[Record], ns: int) -> list[Record]:
    """A part at another time of the stream; its times count from OPEN."""
    return [Record(**{**vars(r), "ts_event": r.ts_event + ns, "ts_recv": r.ts_recv + ns}) for r in part]


def _snapshot(n_levels: int, size: int, is_doubled: bool) -> list[Record]:
    whole = build_up(n_levels, size)
    return [*whole, *whole[1:]] if is_doubled else whole  # the second without its clear, as some days' files have it


EMPTY_SNAPSHOT = [record("R", 0, side="N", price=UNDEF_PRICE, size=0, flags=F_SNAPSHOT | F_LAST)]
PARTS: st.SearchStrategy[list[Record]] = st.one_of(
    st.builds(_snapshot, st.integers(1, 6), st.sampled_from([1, 7]), st.booleans()),
    st.just(EMPTY_SNAPSHOT),
    st.sampled_from([0, F_LAST]).map(lambda flags: [record("R", 0, side="N", price=UNDEF_PRICE, size=0, flags=flags)]),
    st.sampled_from("BA").map(lambda side: [record("C", 1000 + 2 * i + (side == "A"), side=side, size=9) for i in range(6)]),
    st.integers(-9, 9).map(lambda t: [record("A", 70, tick=t, size=3), record("A", 71, side="A", tick=-t, size=2)]),
    records(min_size=1, max_size=25),
)


def sessions(max_parts: int = 8) -> st.SearchStrategy[list[Record]]:
    """Streams of whole happenings in any order: snapshots (doubled, empty, in mid-session), clears in and between events,
    sides that vanish, books that cross, and hostile records between them."""

    def one_after_the_other(parts: list[tuple[list[Record], int]]) -> list[Record]:
        stream: list[Record] = []
        at = 0
        for part, gap in parts:
            stream += moved(part, at)
            at = max(at, *(r.ts_event - OPEN for r in stream)) + gap
        return stream

    gaps = st.sampled_from([0, 1, 30 * MS, 250 * MS])
    return st.lists(st.tuples(PARTS, gaps), min_size=2, max_size=max_parts).map(one_after_the_other)


def run_raw(config: Any, stream: list[Record]) -> tuple[Bins, Any]:
    """The engine over any records; also its runner."""
    runner = make_runner(config)
    return join([*runner.feed(to_array(stream), 64), *runner.finish(None, 64)]), runner
