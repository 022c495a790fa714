"""The recorder's own book against the gateway's, which is written in another way."""

import numpy as np
from hypothesis import given, settings

from engine.feed.gateway.snapshot import snapshot_of
from engine.feed.record.resting import Resting, newest_of
from tests.recordings import feed_rows
from tests.streams import OPEN, build_up, record, records, to_array

COMPARED = [
    "order_id",
    "price",
    "size",
    "side",
    "action",
    "flags",
    "ts_event",
    "ts_recv",
    "instrument_id",
    "publisher_id",
    "length",
]


def assert_same(rows: np.ndarray, chunk: int) -> None:
    resting = Resting()
    for start in range(0, len(rows), chunk):
        resting.take(rows[start : start + chunk])
    mine, other = resting.snapshot(77), snapshot_of(rows, 77)
    assert (
        mine["ts_event"][0] == 77
    )  # the snapshot's own time, as the vendor's files have it; its live feed has its first order's
    other["ts_event"][0] = 77
    for name in COMPARED:
        assert mine[name].tolist() == other[name].tolist(), name


@settings(max_examples=60, deadline=None)
@given(stream=records())
def test_hostile_streams_leave_the_same_orders_in_the_same_places(stream: list) -> None:
    rows = to_array(stream)
    rows = rows[rows["size"] > 0] if (rows["size"] > 0).any() else rows
    assert_same(rows, 17)


def test_more_orders_than_the_first_table_holds() -> None:
    n = 9_000
    rows = to_array([record("A", i + 1, tick=-1 - i % 7, size=1 + i % 3) for i in range(n)])
    gone = to_array([record("C", i + 1, tick=-1, size=1, time=5) for i in range(0, n, 2)])
    assert_same(np.concatenate([rows, gone]), 5_000)


def test_places_by_hand() -> None:
    rows = to_array(
        [
            *build_up(1),  # orders 1000 (bid) and 1001 (ask), 5 each
            record("A", 1, tick=-1, size=4),
            record("A", 2, tick=-1, size=4),
            record("M", 1, tick=-1, size=4),  # the same size: keeps its place
            record("M", 1000, tick=-1, size=6),  # more: to the back
            record("C", 2, tick=-1, size=3),
            record("C", 1001, tick=1, side="A", size=5),
            record("F", 1, tick=-1, size=4),
            record("T", 1, tick=-1, size=4),
        ]
    )
    resting = Resting()
    assert not resting.is_whole
    resting.take(rows)
    made = resting.snapshot(OPEN)
    assert list(zip(made["order_id"].tolist(), made["size"].tolist(), strict=True)) == [(0, 0), (1, 4), (2, 1), (1000, 6)]
    assert made["flags"].tolist() == [40, 40, 40, 168]
    assert resting.is_whole
    assert resting.is_at_event_end


def test_an_event_under_way_is_told() -> None:
    resting = Resting()
    resting.take(to_array([record("A", 1, flags=0)]))
    assert not resting.is_at_event_end
    resting.take(to_array([record("A", 2)]))
    assert resting.is_at_event_end


def test_the_newest_event_is_not_the_last_one_and_no_undefined_one() -> None:
    rows = feed_rows(3)
    rows["ts_event"][-1] = 2**64 - 1
    rows["ts_event"][2] = rows["ts_event"][1] + 900_000_000
    assert newest_of(rows) == int(rows["ts_event"][2])
    assert newest_of(rows[-1:]) == 0
