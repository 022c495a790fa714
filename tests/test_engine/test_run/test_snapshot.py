"""A runner's snapshot: taken anywhere, a fresh runner goes on from it to the last bit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from tests.reference import Record
from tests.sessions import join, make_runner, run_engine, small_config
from tests.streams import OPEN, build_up, records, to_array
from tests.test_engine.test_run.test_recentre import FAR_AND_BACK, walk

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


@pytest.mark.parametrize("other", [{"tau_velocity": 3.0}, {"rate_kernel": "exact"}])
def test_a_snapshot_of_another_configuration_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="not of"):
        make_runner(small_config(**other)).restore(make_runner(CONFIG).snapshot())
