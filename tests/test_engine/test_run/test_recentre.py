"""Re-centring: a market that leaves the tick slots and comes back shows no trace of it."""

from collections.abc import Sequence

import pytest

from tests.reference import F_LAST, F_SNAPSHOT, Record
from tests.sessions import differences, run_engine, run_reference, small_config
from tests.streams import record

MS = 1_000_000


def walk(ticks: Sequence[int]) -> list[Record]:
    """A market that steps through the given mids, three levels each side: every order goes and comes back there."""
    stream: list[Record] = []
    live: list[tuple[int, str, int]] = []
    time, order_id = MS, 10_000
    for mid in ticks:
        time += 40 * MS
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


def test_few_slots_give_the_bins_of_many() -> None:
    stream = walk(FAR_AND_BACK)
    few, many = (run_engine(small_config(n_absolute_ticks=n), stream) for n in (64, 1024))
    assert few.to_bytes() == many.to_bytes()


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
