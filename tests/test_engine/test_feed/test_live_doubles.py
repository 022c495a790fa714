"""What a replay repeats, by hand: ties of event time, late records, snapshots in between, and replays that begin elsewhere."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.constants import F_BAD_TS_RECV, F_LAST, F_SNAPSHOT
from engine.feed.live.doubles import Doubles, Memory
from engine.feed.live.gauge import Gauge
from engine.feed.live.intake import NOT_HONOURED, Intake
from engine.feed.live.settings import LiveSettings
from tests.feed import Kept
from tests.streams import record, to_array


def rows(times: list[int], first: int = 1, flags: int = F_LAST) -> NDArray[np.void]:
    """Adds of orders ``first`` and on, at these event times, captured at 1000 and on."""
    made = to_array([record("A", first + i, flags=flags) for i in range(len(times))])
    made["ts_event"] = times
    made["ts_recv"] = 1000 + first + np.arange(len(times))
    made["sequence"] = first + np.arange(len(times))
    return made


def remembered(records: NDArray[np.void], reorder_ns: int, *, is_young: bool = False) -> Doubles:
    memory = Memory(reorder_ns)
    if not is_young:
        memory.keep(rows([1], 900))  # long ago
    memory.keep(records)
    found = memory.expected()
    assert found is not None
    return found


def orders(records: NDArray[np.void] | None) -> list[int]:
    assert records is not None
    return [int(one) for one in records["order_id"]]


@pytest.mark.parametrize(
    ("times", "reorder_ns", "start", "n"),
    [
        ([100, 200, 200], 0, 200, 2),  # both of the last event time
        ([100, 200, 300], 100, 200, 2),  # on the boundary
        ([100, 200, 300], 99, 300, 1),
        ([100, 300, 250], 50, 250, 2),  # a late one, still expected behind the newer
        ([100, 300, 249], 50, 300, 1),
    ],
)
def test_a_replay_is_asked_from_the_oldest_that_may_still_be_followed(
    times: list[int], reorder_ns: int, start: int, n: int
) -> None:
    known = rows(times)
    doubles = remembered(known, reorder_ns)
    assert doubles.start_ns == start
    again = known[known["ts_event"] >= start]
    assert len(again) == n
    assert orders(doubles.rest_of(np.concatenate([again, rows([400, 500], 50)]))) == [50, 51]
    assert doubles.is_whole
    assert doubles.n_dropped == n
    assert orders(doubles.rest_of(rows([600], 60))) == [60]


def test_doubles_may_come_in_any_pieces() -> None:
    known = rows([100, 100, 110, 120])
    doubles = remembered(known, 50)
    stream = np.concatenate([known, rows([130], 50)])
    rest = [orders(doubles.rest_of(stream[i : i + 1])) for i in range(5)]
    assert rest == [[], [], [], [], [50]]
    assert not remembered(known, 50).is_whole


def test_a_late_record_that_had_not_come_is_new() -> None:
    """It is older than the newest known one, by less than the bound: it comes behind all known ones."""
    known = rows([100, 300])
    late = rows([290, 310], 50)
    assert orders(remembered(known, 50).rest_of(np.concatenate([known[1:], late]))) == [50, 51]


@pytest.mark.parametrize("name", ["ts_event", "sequence", "order_id", "instrument_id", "action", "side", "price", "size"])
def test_a_replay_that_begins_with_another_record_is_none(name: str) -> None:
    known = rows([200, 200])
    other = known.copy()
    other[name][1] += 1
    assert remembered(known, 0).rest_of(other) is None
    same = known.copy()
    same["ts_recv"] += 5
    same["ts_in_delta"] += 1
    same["flags"] |= F_BAD_TS_RECV
    assert orders(remembered(known, 0).rest_of(same)) == []


def test_a_replay_that_begins_later_is_none_with_its_first_record() -> None:
    known = rows([200, 210])
    for is_young in (False, True):
        assert remembered(known, 50, is_young=is_young).rest_of(rows([211], 50)) is None
    assert remembered(known, 50).rest_of(known[1:]) is None


def test_what_a_snapshot_held_may_come_before_what_followed_it() -> None:
    """Only where nothing older is remembered; and not a record that is newer than all that is."""
    known = rows([200, 210])
    before = rows([200, 205], 70)
    young = remembered(known, 50, is_young=True)
    assert orders(young.rest_of(before[:1])) == []
    assert not young.is_whole
    assert orders(young.rest_of(np.concatenate([before[1:], known, rows([220], 50)]))) == [50]
    assert young.n_dropped == 4
    tied = remembered(rows([210]), 50, is_young=True)
    assert orders(tied.rest_of(np.concatenate([rows([210], 70), rows([210]), rows([210], 80)]))) == [80]
    assert remembered(known, 50).rest_of(np.concatenate([before, known])) is None


def test_nothing_remembered_is_nothing_to_prove() -> None:
    memory = Memory(10)
    assert memory.expected() is None
    memory.keep(rows([5]))
    memory.forget()
    assert memory.expected() is None
    assert memory.newest_ns == 0


def test_only_what_is_recent_is_kept() -> None:
    memory = Memory(100)
    for i in range(1000):
        memory.keep(rows([i * 60], i + 1))
    assert len(memory._kept) == 2
    undefined = rows([0])
    undefined["ts_event"] = np.uint64(2**64 - 1)
    memory.keep(undefined)
    assert memory.newest_ns == 999 * 60


# What is handed on.


def intake(tail: Any = None, **given: Any) -> tuple[Intake, Kept, Gauge]:
    kept = Kept()
    settings = LiveSettings("MNQH6", **{"reorder_s": 1e-7, "clock_rate": 0.0, "margin_s": 0.0, **given})
    gauge = Gauge(kept, kept.say, str)
    return Intake(settings, kept, gauge, tail), kept, gauge


def snapshot(made_ns: int, n: int = 2, first: int = 500) -> NDArray[np.void]:
    """A clear and ``n`` orders of old event times, captured at ``made_ns``."""
    clear = to_array([record("R", 0, side="N", flags=F_SNAPSHOT)])
    made = np.concatenate([clear, rows([7] * n, first, F_SNAPSHOT)])
    made["ts_event"] = 7
    made["ts_recv"] = made_ns
    made["flags"][-1] |= F_LAST
    return made


def test_a_snapshot_is_handed_on_whole_and_only_then() -> None:
    one, kept, _ = intake()
    assert one.begin() is None
    made = snapshot(5000)
    assert one.take(made[:2])
    assert (kept.n, one.is_current) == (0, False)
    assert one.take(np.concatenate([made[2:], rows([5001])]))
    assert [len(batch) for batch in kept.batches] == [3, 1]
    assert one.is_current
    assert [ts for ts, _ in kept.known] == [5000, 5001]
    assert kept.holes == []


def test_two_snapshots_and_one_without_an_end() -> None:
    one, kept, _ = intake()
    one.begin()
    open_end = snapshot(5000)
    open_end["flags"][-1] = F_SNAPSHOT
    one.take(np.concatenate([open_end, snapshot(5002, 1), rows([5003])]))
    assert [len(batch) for batch in kept.batches] == [3, 2, 1]
    one.take(np.concatenate([open_end, rows([5004])]))
    assert [len(batch) for batch in kept.batches[3:]] == [3, 1]
    one.take(np.concatenate([snapshot(5005), open_end[1:], rows([5006])]))
    assert [len(batch) for batch in kept.batches[5:]] == [3, 2, 1]


def test_a_hole_reaches_from_the_last_record_to_the_snapshot() -> None:
    one, kept, gauge = intake()
    one.begin()
    one.take(rows([100, 200, 150]))
    one.take(rows([200, 150], 8))
    assert [ts for ts, _ in kept.known] == [200]
    one.refuse_replay("the replay has aged out")
    assert one.begin() is None
    one.refuse_replay("something later")
    one.begin()
    assert one.come_up()
    assert not one.is_current
    one.take(snapshot(900)[:1])
    assert kept.holes == []
    one.take(snapshot(900)[1:])
    (n, hole) = kept.holes[0]
    assert (n, hole.since_ns, hole.until_ns, hole.reason) == (5, 150, 900, "the replay has aged out")
    assert gauge.now.n_holes == 1
    one.take(rows([910], 10))
    assert one.begin() == 910  # replays are asked for again
    assert len(kept.holes) == 1


def test_after_a_hole_without_a_snapshot_a_clear_is_put_in() -> None:
    one, kept, _ = intake()
    one.begin()
    one.take(rows([250]))
    one.refuse_replay("why")
    one.begin()
    one.take(rows([300], 10))
    assert one.begin() == 300  # what lies before the hole is not asked for
    assert [chr(one) for one in kept.records["action"]] == ["A", "R", "A"]
    assert kept.holes[0][1].until_ns == 300


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_cut_inside_a_snapshot_or_right_behind_it_is_a_hole(n: int) -> None:
    """Nothing of it was handed on, or nothing after it by which a replay could be proved."""
    one, kept, _ = intake()
    one.begin()
    one.take(rows([100, 200]))
    one.take(snapshot(900)[:n])
    assert one.begin() is None
    one.take(snapshot(1000))
    assert len(kept.holes) == 1
    assert kept.holes[0][1].since_ns == (200 if n < 3 else 900)


def test_a_hole_ends_where_it_began_at_the_earliest() -> None:
    one, kept, _ = intake()
    one.begin()
    one.take(rows([500]))
    one.refuse_replay("why")
    one.begin()
    one.take(snapshot(400))
    assert (kept.holes[0][1].since_ns, kept.holes[0][1].until_ns) == (500, 500)


def test_a_heartbeat_inside_a_snapshot_makes_nothing_current() -> None:
    one, _, _ = intake()
    one.begin()
    one.take(snapshot(900)[:1])
    assert one.come_up()
    assert not one.is_current


def test_a_clock_that_has_not_passed_what_is_known_makes_nothing_late() -> None:
    one, kept, _ = intake(clock_rate=1.0, margin_s=2e-7)
    one.begin()
    one.take(rows([1000]))
    one.clock.hear(1000, 0.0)
    one.known_now(1e-7)  # 1100 less 200
    one.take(rows([1000], 10))
    assert kept.lines == []
    one.known_now(3e-7)
    assert kept.known[-1][0] == 1100


def test_a_first_connection_that_brought_nothing_leaves_no_hole() -> None:
    one, kept, _ = intake()
    one.begin()
    one.begin()
    one.take(snapshot(1000))
    assert kept.holes == []


def test_a_heartbeat_before_the_doubles_shows_that_no_replay_came() -> None:
    one, kept, _ = intake(tail=rows([100, 200, 300]))
    assert one.begin() == 200
    assert one.is_replay
    assert not one.come_up()
    assert one.begin() is None
    one.take(snapshot(1000))
    assert kept.holes[0][1].reason == NOT_HONOURED
    assert kept.holes[0][1].since_ns == 300


def test_a_feed_goes_on_behind_what_another_handed_on() -> None:
    tail = np.concatenate([rows([250], 1), snapshot(260), rows([270, 280], 20)])
    one, kept, gauge = intake(tail=tail)
    assert one.begin() == 270
    assert one.take(np.concatenate([rows([270, 280], 20), rows([290], 30)]))
    assert orders(kept.records) == [30]
    assert gauge.now.n_doubles == 2
    assert not one.is_current
    assert one.come_up()
    assert one.is_current
    assert intake(tail=snapshot(260))[0].begin() is None


def test_records_of_another_instrument_are_left_out() -> None:
    one, kept, _ = intake()
    one.begin()
    one.map(7, "MNQH6", 90)
    one.map(7, "MNQH6", 95)
    mixed = rows([100, 101, 102])
    mixed["instrument_id"] = [7, 8, 7]
    one.take(mixed)
    assert orders(kept.records) == [1, 3]
    assert kept.mappings == [(7, "MNQH6", 90)]


def test_late_records_widen_the_margin_twice_as_far() -> None:
    one, kept, _ = intake(clock_rate=1.0)
    one.begin()
    one.clock.hear(1000, 0.0)
    one.take(rows([1000]))
    one.known_now(1e-6)
    assert kept.known[-1][0] == 2000
    one.take(rows([1950, 1900, 2500], 10))
    assert sum("behind the market's clock" in line for line in kept.lines) == 1
    one.known_now(2e-6)  # 3000 less 2 * 100
    assert kept.known[-1][0] == 2800
    one.take(rows([2801], 20))
    assert sum("behind the market's clock" in line for line in kept.lines) == 1
    one.known_now(3e-6)
    one.take(rows([3800], 30))
    assert sum("behind the market's clock" in line for line in kept.lines) == 2
