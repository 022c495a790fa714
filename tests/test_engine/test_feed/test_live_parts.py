"""The small parts of a live feed, by hand: its clock, the calendar, waits and alarm, refusals, settings."""

from typing import Any

import pytest

from engine.errors import ConfigError
from engine.feed.live.clock import HeardClock
from engine.feed.live.gauge import Gauge, is_open
from engine.feed.live.retries import Retries
from engine.feed.live.settings import LiveSettings
from engine.feed.live.words import refusal
from tests.feed import Kept

S = 10**9


def test_the_clock_believes_the_stamp_with_the_least_delay_of_the_last_minutes() -> None:
    clock = HeardClock(2.0)
    assert clock.now_ns(0.0) is None
    clock.hear(10 * S, 1.0)
    assert clock.now_ns(2.0) == 12 * S
    clock.hear(11 * S, 2.0)  # a second late
    assert clock.now_ns(2.0) == 12 * S
    clock.hear(131 * S, 61.0)  # 130 were foretold
    assert clock.now_ns(61.0) == 131 * S
    clock.hear(249 * S, 121.0)  # the first window is forgotten, the second says 251
    assert clock.now_ns(121.0) == 251 * S
    clock.hear(369 * S, 181.0)
    assert clock.now_ns(181.0) == 369 * S
    clock.forget()
    assert clock.now_ns(181.0) is None


def test_the_calendar_knows_the_hour_of_maintenance() -> None:
    thursday_22 = 1_770_328_800 * S  # 2026-02-05 22:00 UTC: 16:00 in Chicago
    assert [is_open("MNQH6", thursday_22 + at) for at in (-1, 0, 3600 * S - 1, 3600 * S)] == [True, False, False, True]
    assert is_open("XYZH6", thursday_22)


def test_waits_grow_to_their_bound_and_begin_anew() -> None:
    kept = Kept()
    settings = LiveSettings("MNQH6", first_wait_s=0.25, longest_wait_s=1.0, budget_s=1e9, limit_s=0.0)
    retries = Retries(settings, Gauge(kept, kept.say, str))
    for bound in (0.25, 0.5, 1.0, 1.0):
        assert 0.5 * bound <= retries.wait_s() <= bound
    retries.failed("away", "dead", may_alarm=True)
    retries.failed("away", "dead", may_alarm=True)
    assert kept.lines == ["away"]
    assert (kept.states[-1].kind, kept.states[-1].alarm) == ("dead", "")
    assert not retries.bears_limit()
    retries.stands()
    assert not retries.has_failed
    assert retries.wait_s() <= 0.25


def test_the_alarm_is_raised_once_and_not_for_who_is_closed() -> None:
    kept = Kept()
    retries = Retries(LiveSettings("MNQH6", budget_s=1e-9), Gauge(kept, kept.say, str))
    retries.failed("away", "dead", may_alarm=False)
    retries.failed("away", "dead", may_alarm=False)
    assert kept.states[-1].alarm == ""
    retries.failed("away", "dead", may_alarm=True)
    retries.failed("gone", "dead", may_alarm=True)
    assert "no feed for 0 s, and trying goes on; at last: away" in kept.states[-1].alarm
    assert len(kept.lines) == 3
    retries.stands()
    assert kept.states[-1].alarm == ""


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("User has reached their open connection limit.", "limit"),
        ("Authentication failed.", "final"),
        ("Unknown dataset XNAS.ITCH.", "final"),
        ("Try again", "lost"),
    ],
)
def test_refusals_by_their_words(text: str, weight: str) -> None:
    assert refusal(text) == weight


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"symbol": "MNQ.FUT"}, "symbol was 'MNQ.FUT'"),
        ({"heartbeat_s": 4.0}, "the vendor sends them every 5 to 1800 s"),
        ({"heartbeat_s": 0.0, "host": "127.0.0.1"}, "heartbeat_s was 0.0; it must be above 0"),
        ({"clock_rate": -1.0}, "clock_rate was -1.0; it must be 0 or more"),
        ({"margin_s": float("nan")}, "margin_s was nan"),
        ({"port": 65536}, "port was 65536"),
        ({"first_wait_s": 3.0}, "first_wait_s was 3.0"),
    ],
)
def test_settings_out_of_bounds_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        LiveSettings(**{"symbol": "MNQH6", **given})
    LiveSettings("MNQH6", heartbeat_s=5.0, port=65535, clock_rate=0.0)
    LiveSettings("MNQH6", heartbeat_s=0.2, host="127.0.0.1")
