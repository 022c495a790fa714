"""A runner's snapshot: taken anywhere, a fresh runner goes on from it to the last bit."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.field.kernels import LISTED
from engine.run.replay import runtime_model
from engine.run.runner import Runner, Span
from tests.reference import Record
from tests.sessions import DAY_NS, join, make_runner, run_engine, small_config
from tests.streams import DAY_START, OPEN, build_up, record, records, to_array
from tests.test_engine.test_run.test_recentre import AT_88, FAR_AND_BACK, LEFT_BEHIND, walk

CONFIG = small_config()


@given(stream=records(max_size=150), cut=st.floats(0, 1), start=st.sampled_from([None, OPEN, OPEN + 400_000_000]))
@settings(max_examples=60)
def test_a_run_resumed_anywhere_gives_the_same_bits(stream: list[Record], cut: float, start: int | None) -> None:
    everything = [*build_up(), *stream]
    rows = to_array(everything)
    at = round(cut * len(rows))
    first, second = make_runner(CONFIG, start), make_runner(CONFIG, start)
    blocks = list(first.feed(rows[:at], 16))
    second.restore(first.snapshot())
    blocks += [*second.feed(rows[at:], 16), *second.finish(None, 16)]
    assert join(blocks).to_bytes() == run_engine(CONFIG, everything, start).to_bytes()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.9])
def test_slots_that_left_the_grid_come_back_after_a_restore(share: float) -> None:
    config = small_config(n_absolute_ticks=64)
    stream = walk(FAR_AND_BACK)
    rows = to_array(stream)
    at = round(share * len(rows))
    first, second = make_runner(config), make_runner(config)
    blocks = list(first.feed(rows[:at], 16))
    second.restore(first.snapshot())
    blocks += [*second.feed(rows[at:], 16), *second.finish(None, 16)]
    assert join(blocks).to_bytes() == run_engine(config, stream).to_bytes()


def test_a_snapshot_is_the_same_bytes_twice() -> None:
    runner = make_runner(CONFIG)
    list(runner.feed(to_array(build_up()), 16))
    assert runner.snapshot() == runner.snapshot()


def test_a_snapshot_of_a_finished_run_stays_finished() -> None:
    runner, again = make_runner(CONFIG), make_runner(CONFIG)
    list(runner.feed(to_array(build_up()), 16))
    list(runner.finish(None, 16))
    again.restore(runner.snapshot())
    assert again.is_finished


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:200] + b"\0" + data[201:], lambda data: b""])
def test_damaged_bytes_are_refused(damage: object) -> None:
    runner = make_runner(CONFIG)
    list(runner.feed(to_array(build_up()), 16))
    with pytest.raises(ConfigError, match="damaged"):
        make_runner(CONFIG).restore(damage(runner.snapshot()))  # type: ignore[operator]


@pytest.mark.parametrize("other", [{"tau_velocity": 3.0}, {"rate_kernel": "finite"}])
def test_a_snapshot_of_another_configuration_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="not of"):
        make_runner(small_config(**other)).restore(make_runner(CONFIG).snapshot())


@pytest.mark.parametrize("is_finished", [False, True])
def test_runner_that_has_run_takes_a_snapshot_as_a_fresh_one_does(is_finished: bool) -> None:
    """Whatever it holds goes: another market's orders, parked ticks, anomalies, windows, and that it was at its end."""
    config = small_config(n_absolute_ticks=64)
    stream = [*LEFT_BEHIND, *walk(FAR_AND_BACK, (AT_88,))]
    rows = to_array(stream)
    at = len(rows) // 8
    first, used = make_runner(config), make_runner(config)
    blocks = list(first.feed(rows[:at], 16))
    others = [record("A", 500 + tick, tick=tick, size=9, time=900_000_000, flags=0) for tick in range(-28, 28)]
    others += [record("C", 77, time=900_000_000), record("A", 78, side="A", tick=900, size=4, time=900_000_000)]
    list(used.feed(to_array([*build_up(), *walk([0, 40, 0]), *others]), 16))
    assert used._parking
    assert {int(parked.stamps[LISTED]) for parked in first._parking.values()} == {0, 1}
    if is_finished:
        list(used.finish(None, 16))
    used.restore(first.snapshot())
    assert (used.n_events, used.anomalies, used.is_finished) == (first.n_events, first.anomalies, False)
    assert used.snapshot() == first.snapshot()
    assert int(used.engine.field.n_in_use[0]) == int(first.engine.field.n_in_use[0])
    blocks += [*used.feed(rows[at:], 16), *used.finish(None, 16)]
    assert join(blocks).to_bytes() == run_engine(config, stream).to_bytes()


DAY = Span(DAY_START, DAY_START + DAY_NS, OPEN, 10)
OTHERS: dict[str, tuple[Span, dict[str, Any], bool]] = {
    "the day's start": (replace(DAY, day_start=DAY_START + 1), {}, True),
    "the day's end": (replace(DAY, day_end=DAY_START + DAY_NS + 1), {}, True),
    "the first bin": (replace(DAY, first_bin=OPEN + 1), {}, True),
    "no first bin": (replace(DAY, first_bin=None), {}, True),
    "the number of bins": (replace(DAY, n_bins=11), {}, True),
    "no signal": (DAY, {}, False),
    "the signal's parameters": (DAY, {"perm_d2_weight": 0.5}, True),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_snapshot_of_another_run_is_refused(case: str) -> None:
    """Only the named thing differs: the signal's parameters without those of the instrument."""
    span, of_signal, has_signal = OTHERS[case]
    signal = runtime_model(small_config(**of_signal)) if has_signal else None
    other = Runner(CONFIG, span, signal=signal)
    with pytest.raises(ConfigError, match="not of"):
        other.restore(Runner(CONFIG, DAY, signal=runtime_model(CONFIG)).snapshot())


def test_a_snapshot_of_other_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_runner(CONFIG).snapshot()
    make_runner(CONFIG).restore(data)
    monkeypatch.setattr("engine.run.runner.source_hash", lambda: "other code")
    with pytest.raises(ConfigError, match="not of"):
        make_runner(CONFIG).restore(data)


def test_a_refused_snapshot_leaves_the_runner_as_it_was() -> None:
    runner = make_runner(CONFIG)
    list(runner.feed(to_array(build_up()), 16))
    before = runner.snapshot()
    with pytest.raises(ConfigError):
        runner.restore(make_runner(small_config(tau_velocity=3.0)).snapshot())
    assert runner.snapshot() == before
