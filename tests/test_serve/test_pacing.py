"""Due times against a clock of our own."""

import asyncio

import pytest

from serve.pacing import Pacer, WallClock


def test_bins_are_due_against_the_start_so_delays_do_not_add_up() -> None:
    pacer = Pacer(cell_width_ms=100, speed=1.0)
    pacer.start(50.0)
    pacer.start(99.0)  # a second start changes nothing
    assert pacer.due(0) == 50.0
    assert pacer.due(36_000) == pytest.approx(50.0 + 3600.0, abs=1e-9)


def test_speed_divides_the_width_and_a_resumed_stream_starts_at_its_bin() -> None:
    pacer = Pacer(cell_width_ms=250, speed=4.0, first_bin=1000)
    pacer.start(0.0)
    assert pacer.due(1000) == 0.0
    assert pacer.due(1001) == pytest.approx(0.0625)  # 250 ms of market time at four times its speed
    assert pacer.due(1016) == pytest.approx(1.0)


def test_speed_zero_has_no_pace() -> None:
    pacer = Pacer(cell_width_ms=100, speed=0.0)
    pacer.start(7.0)
    assert not pacer.is_paced
    assert pacer.due(12_345) == 7.0


def test_the_slowest_speed_is_a_pace() -> None:
    pacer = Pacer(cell_width_ms=100, speed=1e-9)
    assert pacer.is_paced


def test_a_pace_must_start_before_it_is_asked() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Pacer(cell_width_ms=100, speed=1.0).due(0)


def test_the_wall_clock_never_wakes_early() -> None:
    async def scenario() -> tuple[float, float]:
        clock = WallClock()
        when = clock.now() + 0.02
        await clock.sleep_until(when)
        return when, clock.now()

    when, now = asyncio.run(scenario())
    assert now >= when


def test_bins_are_counted_as_due_from_the_moment_each_is() -> None:
    pacer = Pacer(cell_width_ms=250, speed=2.0, first_bin=10)
    assert pacer.period_s == 0.125
    assert Pacer(cell_width_ms=250, speed=0.0).period_s == 0.0
    pacer.start(64.0)
    for now, n_due in ((63.0, 0), (64.0, 1), (64.124, 1), (64.125, 2), (65.0, 9)):
        assert pacer.n_due(10, now) == n_due, now
    assert (pacer.n_due(12, 64.249), pacer.n_due(12, 64.25)) == (0, 1)
