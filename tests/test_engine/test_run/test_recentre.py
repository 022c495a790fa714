"""Re-centring: a market that leaves the tick slots and comes back shows no trace of it."""

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.field.kernels import V
from tests.reference import F_LAST, F_SNAPSHOT, UNDEF_PRICE, Record
from tests.sessions import differences, make_runner, run_engine, run_reference, small_config
from tests.streams import MID_TICK, record, records, to_array

MS = 1_000_000


def walk(ticks: Sequence[int], cleared: Collection[int] = ()) -> list[Record]:
    """A market that steps through the given mids, three levels each side: every order goes and comes back there.

    At the steps ``cleared`` a plain clear takes the whole book, in place of the cancels.
    """
    stream: list[Record] = []
    live: list[tuple[int, str, int]] = []
    time, order_id = MS, 10_000
    for step, mid in enumerate(ticks):
        time += 40 * MS
        if step in cleared:
            stream.append(record("R", 0, side="N", size=0, price=UNDEF_PRICE, time=time, flags=0))
            live = []
        stream += [record("C", i, side=side, tick=tick, size=4, time=time, flags=0) for i, side, tick in live]
        live = []
        for level in (1, 2, 3):
            for side, tick in (("B", mid - level), ("A", mid + level)):
                order_id += 1
                live.append((order_id, side, tick))
                flags = F_LAST if (level, side) == (3, "A") else 0
                stream.append(record("A", order_id, side=side, tick=tick, size=4, time=time, flags=flags))
    return stream


FAR_AND_BACK = [*range(0, 90, 2), *range(90, -70, -3), *range(-70, 5, 1)]


@pytest.mark.parametrize("n_slots", [64, 90])
def test_a_market_that_leaves_the_slots_and_returns_equals_the_reference(n_slots: int) -> None:
    config = small_config(n_absolute_ticks=n_slots)
    stream = walk(FAR_AND_BACK)
    bins, _ = run_reference(config, stream)
    assert differences(run_engine(config, stream), bins) == {}


# 64 slots hold -32..31. Known from the snapshot alone: a bid at -30, and an ask at 60 that no slot holds. Left behind: bids at -4
# and, beyond the slots, at -60.
LEFT_BEHIND = [
    record("R", 0, side="N", size=0, price=UNDEF_PRICE, flags=F_SNAPSHOT),
    record("A", 4, side="A", tick=60, size=3, flags=F_SNAPSHOT),
    record("A", 3, side="A", tick=3, size=1, flags=F_SNAPSHOT),
    record("A", 1, side="B", tick=-30, size=2, flags=F_SNAPSHOT),  # from here on there are two sides, and the slots have a place
    record("A", 2, side="B", tick=-3, size=1, flags=F_SNAPSHOT | F_LAST),
    record("C", 2, side="B", tick=-3, size=1, time=MS // 2, flags=0),
    record("C", 3, side="A", tick=3, size=1, time=MS // 2, flags=0),
    record("A", 5, side="B", tick=-4, size=7, time=MS // 2, flags=0),
    record("A", 6, side="B", tick=-60, size=1, time=MS // 2, flags=0),
]
AT_20, AT_88 = 10, 44  # steps of FAR_AND_BACK: before the ask at 60 is near, and far away from both bids


@pytest.mark.parametrize("kernel", ["finite", "exact"])
@pytest.mark.parametrize("cleared", [(), (AT_20,), (AT_88,), (AT_20, AT_88)], ids=str)
def test_few_slots_give_the_bins_of_many(cleared: Collection[int], kernel: str) -> None:
    """A plain clear changes depths without a touch: a tick that comes back still bears its own of before."""
    stream = [*LEFT_BEHIND, *walk(FAR_AND_BACK, cleared)] if cleared else walk(FAR_AND_BACK)
    few, many = (run_engine(small_config(n_absolute_ticks=n, rate_kernel=kernel), stream) for n in (64, 1024))
    assert few.to_bytes() == many.to_bytes()
    bins, _ = run_reference(small_config(rate_kernel=kernel), stream)
    assert differences(few, bins) == {}


# The tick that comes back, and what its own depth was when it left.
RETURNS = {
    "a tick known from a snapshot alone": (-30, 2.0),
    "a tick that was touched": (-4, 7.0),
    "a tick that was touched beyond the slots": (-60, 1.0),
}


@pytest.mark.parametrize("case", RETURNS)
def test_depth_of_a_tick_that_comes_back_after_a_clear_is_its_own(case: str) -> None:
    """Until its next event: the field's depths are those of the last touch or synchronisation."""
    tick, depth = RETURNS[case]
    mids = [*range(0, 90, 2), *range(90, tick + 4, -3), tick + 4]  # no order of the walk comes to the tick itself
    bins = run_engine(small_config(n_absolute_ticks=64), [*LEFT_BEHIND, *walk(mids, (AT_88,))])
    assert bins.grid["bid_depth"][-1][5 - 4] == depth
    assert bins.grid["ask_depth"][-1].tolist() == [0.0] * 6 + [4.0, 4.0, 4.0, 0.0, 0.0]


def test_ask_beyond_the_slots_known_from_a_snapshot_keeps_its_depth_over_a_clear() -> None:
    mids = [*range(0, 56, 2), 55]
    bins = run_engine(small_config(n_absolute_ticks=64), [*LEFT_BEHIND, *walk(mids, (AT_20,))])
    assert bins.grid["ask_depth"][-1].tolist() == [0.0] * 6 + [4.0, 4.0, 4.0, 0.0, 3.0]  # 60 is k = 5


def test_tick_beyond_the_slots_that_lost_its_order_to_a_clear_is_told_what_left() -> None:
    """The ask at 60 held 3 when it was synchronised; a clear takes them, then 2 come: its depth fell by 1."""
    config = small_config(n_absolute_ticks=64, rate_kernel="exact")
    cut = [r for r in LEFT_BEHIND if r.order_id != 5 and r.order_id != 6]
    stream = [*cut, *walk([0], (0,)), record("A", 9, side="A", tick=60, size=2, time=41 * MS)]
    runner = make_runner(config)
    list(runner.feed(to_array(stream), 64))
    (tick,) = runner._parking
    assert tick == MID_TICK + 60
    assert runner._parking[tick].values[V + 4] == -1.0 / config.tau_velocity
    assert runner._parking[tick].values[V] == 2.0 / config.tau_velocity


def test_orders_beyond_the_slots_come_into_the_grid() -> None:
    far = record("A", 8, side="A", tick=60, size=3, time=MS)  # 64 slots hold -32..31
    bins = run_engine(small_config(n_absolute_ticks=64), [far, *walk(range(0, 58, 2))])  # the last mid is 56: k = 4
    assert bins.grid["ask_depth"][-1].tolist() == [0.0] * 6 + [4.0, 4.0, 4.0, 3.0, 0.0]


def test_flow_beyond_the_slots_is_there_when_the_market_arrives() -> None:
    """64 slots hold ticks -32..31: what happens at tick 50 is kept aside, not lost."""
    far = [
        record("A", 8, side="A", tick=50, size=3, time=45 * MS),
        record("A", 9, side="A", tick=50, size=2, time=50 * MS),
        record("C", 8, side="A", tick=50, size=1, time=55 * MS),
        record("M", 9, side="A", tick=51, size=4, time=60 * MS),
        record("F", 9, side="A", tick=51, size=4, time=70 * MS),
    ]
    stream = [*walk(range(0, 56, 2)), *far]
    stream.sort(key=lambda r: r.ts_event)
    for kernel in ("finite", "exact"):
        config = small_config(n_absolute_ticks=64, rate_kernel=kernel)
        ours = run_engine(config, stream)
        bins, _ = run_reference(config, stream)
        assert differences(ours, bins) == {}
        assert ours.grid["fill_mass"][-1].max() > 3.0


def bid_at(tick: int, ms: int) -> Record:
    return record("M", 1, side="B", tick=tick, size=2, time=ms * MS)


def ask_at(tick: int, ms: int) -> Record:
    return record("M", 2, side="A", tick=tick, size=2, time=ms * MS)


def test_a_snapshot_that_closes_synchronises_what_lies_beyond_the_slots() -> None:
    stream = [
        *walk(range(4)),
        record("A", 8, side="A", tick=50, size=3, time=200 * MS),
        record("R", 0, side="N", time=300 * MS, flags=F_SNAPSHOT),
        record("A", 8, side="A", tick=50, size=9, time=300 * MS, flags=F_SNAPSHOT),
        record("A", 1, side="B", tick=2, size=1, time=300 * MS, flags=F_SNAPSHOT),
        record("A", 2, side="A", tick=4, size=1, time=300 * MS, flags=F_SNAPSHOT | F_LAST),
        record("C", 8, side="A", tick=50, size=2, time=400 * MS),
        *(quote for i in range(0, 46, 2) for quote in (ask_at(6 + i, 500 + 30 * i), bid_at(4 + i, 515 + 30 * i))),
    ]
    config = small_config(n_absolute_ticks=64)
    bins, _ = run_reference(config, stream)
    assert differences(run_engine(config, stream), bins) == {}


@given(stream=records(max_size=120, n_ticks=70), kernel=st.sampled_from(["finite", "exact"]))
@settings(max_examples=15)
def test_hostile_streams_beyond_the_slots_give_the_bins_of_many_slots(stream: list[Record], kernel: str) -> None:
    """Doubled adds, changes of side, fills beyond the size and clears, at ticks in and out of the slots.

    Every record ends its event: slots move at event ends only, and a bin that closes before one reads nothing beyond them.
    """
    everything = [*LEFT_BEHIND, *(Record(**{**vars(r), "flags": r.flags | F_LAST}) for r in stream)]
    few, many = (run_engine(small_config(n_absolute_ticks=n, rate_kernel=kernel), everything) for n in (64, 1024))
    assert few.to_bytes() == many.to_bytes()
