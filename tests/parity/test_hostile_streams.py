"""Hostile streams: every column equals the reference, nothing is infinite, no way of feeding leaves a trace."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import non_finite
from tests.reference import Record
from tests.sessions import differences, join, make_runner, run_engine, run_reference, small_config
from tests.streams import MID_TICK, OPEN, TICK, build_up, record, records, to_array

CONFIG = small_config()
MS = 1_000_000
SNAPSHOT = build_up()  # 13 records at 09:00, best 21,599.75 and 21,600.25


@given(records())
@settings(max_examples=80)
def test_hostile_streams_equal_the_reference(stream: list[Record]) -> None:
    everything = [*SNAPSHOT, *stream]
    bins, session = run_reference(CONFIG, everything)
    runner = make_runner(CONFIG)
    ours = join([*runner.feed(to_array(everything), 64), *runner.finish(None, 64)])
    assert differences(ours, bins) == {}
    assert runner.anomalies == dict(session.anomalies)


def test_a_huge_order_gone_at_once_leaves_no_more_than_its_rounding() -> None:
    """A derivative of 4e7 cancels but for the last bit of it, 7e-9: far below what one contract would leave, 1e-2."""
    huge, small = 2**32 - 1, 13
    steps = [("A", 7, huge, 0), ("C", 7, huge, 1), ("A", 8, small, 60 * MS), ("C", 8, small, 350 * MS)]
    clock, stream = 0, []
    for action, order_id, size, gap in steps:
        clock += gap
        stream.append(record(action, order_id, side="B", tick=-1, size=size, time=clock))
    stream.append(record("N", 9, time=clock + 900 * MS))
    everything = [*SNAPSHOT, *stream]
    bins, _ = run_reference(CONFIG, everything)
    assert max(np.abs(one.grid["j_add"]).max() for one in bins) > 1e7
    assert max(np.abs(one.grid["j_bid_depth"]).max() for one in bins) < 10
    assert differences(run_engine(CONFIG, everything), bins) == {}
    off_by_one = [Record(**{**vars(r), "size": small - 1}) if r.order_id == 8 else r for r in everything]
    assert "j_bid_depth" in differences(run_engine(CONFIG, off_by_one), bins)


@given(records(max_size=120))
@settings(max_examples=40)
def test_streams_that_start_cold_equal_the_reference(stream: list[Record]) -> None:
    bins, _ = run_reference(CONFIG, stream)
    assert differences(run_engine(CONFIG, stream), bins) == {}


@given(records(max_size=120), st.integers(0, 40))
@settings(max_examples=40)
def test_streams_with_a_start_time_equal_the_reference(stream: list[Record], minutes: int) -> None:
    start = OPEN + minutes * 60 * 10**9  # the snapshot lies before, in or after the start of the warm-up
    late = [Record(**{**vars(r), "ts_event": r.ts_event + minutes * 60 * 10**9}) for r in stream]
    everything = [*SNAPSHOT, *stream, *late]
    bins, _ = run_reference(CONFIG, everything, start_time=f"{9 + minutes // 60:02}:{minutes % 60:02}")
    assert differences(run_engine(CONFIG, everything, start), bins) == {}


@given(records(max_size=80), st.integers(-300, 900))
@settings(max_examples=25)
def test_streams_with_a_declared_end_equal_the_reference(stream: list[Record], ms: int) -> None:
    everything = [*SNAPSHOT, *stream]
    until = max(r.ts_event for r in everything) + ms * MS
    bins, _ = run_reference(CONFIG, everything, until_ns=until)
    runner = make_runner(CONFIG)
    ours = join([*runner.feed(to_array(everything), 64), *runner.finish(until, 64)])
    assert differences(ours, bins) == {}


@pytest.mark.parametrize("overrides", [{"state5_table": "reference"}, {"perm_d2_weight": 0.5, "perm_spatial_decay_power": 1.0}])
@given(stream=records(max_size=80))
@settings(max_examples=15)
def test_other_settings_equal_the_reference(overrides: dict[str, Any], stream: list[Record]) -> None:
    config = small_config(**overrides)
    bins, _ = run_reference(config, [*SNAPSHOT, *stream])
    assert differences(run_engine(config, [*SNAPSHOT, *stream]), bins) == {}


wild_price = st.sampled_from([-(2**63), -(2**63) + 1, 2**63 - 2, -1, 0, 1, MID_TICK * TICK, MID_TICK * TICK + 7])


@given(records(actions="AAAMCF", max_size=60), st.lists(wild_price, min_size=10, max_size=40))
@settings(max_examples=60)
def test_no_output_is_infinite_whatever_the_prices(stream: list[Record], prices: list[int]) -> None:
    """G2."""
    wild = [Record(**{**vars(r), "price": prices[i]}) if i < len(prices) else r for i, r in enumerate(stream)]
    with np.errstate(over="ignore"):  # numpy would warn where the kernels run uncompiled
        assert non_finite(run_engine(CONFIG, [*SNAPSHOT, *wild])) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 10**9])), min_size=20, max_size=150))
@settings(max_examples=60)
def test_no_output_is_infinite_at_huge_sizes_and_tiny_gaps(steps: list[tuple[int, int]]) -> None:
    """G2."""
    clock, stream = 0, []
    for i, (kind, gap) in enumerate(steps):
        clock += gap
        stream.append(record("AMCF"[kind], 7 + i % 3, tick=-1, size=2**32 - 1, time=clock))
    assert non_finite(run_engine(CONFIG, [*SNAPSHOT, *stream])) == []


@pytest.mark.parametrize("block_bins", [1, 2, 7, 1000])
@given(stream=records(max_size=150))
@settings(max_examples=12)
def test_bins_one_at_a_time_equal_bins_in_blocks(block_bins: int, stream: list[Record]) -> None:
    """G6: to the last bit, model included."""
    everything = to_array([*SNAPSHOT, *stream])
    runner = make_runner(CONFIG)
    ours = join([*runner.feed(everything, block_bins), *runner.finish(None, block_bins)])
    assert ours.to_bytes() == run_engine(CONFIG, [*SNAPSHOT, *stream]).to_bytes()


@pytest.mark.parametrize("size", [1, 3, 50])
@given(stream=records(max_size=150))
@settings(max_examples=12)
def test_how_records_are_cut_into_feeds_leaves_no_trace(size: int, stream: list[Record]) -> None:
    """G4: to the last bit."""
    everything = to_array([*SNAPSHOT, *stream])
    runner = make_runner(CONFIG)
    blocks = [b for i in range(0, len(everything), size) for b in runner.feed(everything[i : i + size], 64)]
    ours = join([*blocks, *runner.finish(None, 64)])
    assert ours.to_bytes() == run_engine(CONFIG, [*SNAPSHOT, *stream]).to_bytes()
