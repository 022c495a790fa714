"""Trades while the calendar says closed and silences while it says open are told, to the second; nothing else is."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.dataset.capture import publish_replay
from engine.hours import open_intervals
from engine.lake import Lake
from engine.run.hours_told import HoursCheck
from engine.schema import BIN_DTYPE
from tests.feed import start_ns
from tests.sessions import small_config
from tests.streams import build_up, record, to_array, write_dbn

DAY = dt.date(2026, 2, 6)
S = 10**9
MINUTE = 60 * S
H = 60 * MINUTE
MIDNIGHT = start_ns(DAY)
CLOSE = MIDNIGHT + 22 * H
HOURS = open_intervals("MNQ", DAY)


def bins(first_ns: int, n: int, busy: Sequence[int], traded: Sequence[int] = ()) -> NDArray[np.void]:
    """Bins of a minute; some hold a record, some a trade of three."""
    rows = np.zeros(n, BIN_DTYPE)
    rows["bin_start_ns"] = first_ns + np.arange(n) * MINUTE
    rows["bin_end_ns"] = rows["bin_start_ns"] + MINUTE
    rows["bin_event_count"][[*busy, *traded]] = 1
    rows["trade_count"][list(traded)] = 3
    return rows


def told(rows: NDArray[np.void], chunk: int = 1000, hours: NDArray[np.int64] = HOURS) -> list[str]:
    check = HoursCheck("MNQ", hours)
    for at in range(0, len(rows), chunk):
        check.see(rows[at : at + chunk])
    return [line.split(", when")[0] for line in check.notices()]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([0, 30, 60], []),  # 29 minutes between two busy bins
        ([0, 31, 60], ["no record came from 2026-02-06 14:01:00 to 2026-02-06 14:31:00 UTC"]),
        ([30, 59], ["no record came from 2026-02-06 14:00:00 to 2026-02-06 14:30:00 UTC"]),  # from the first bin on
        ([29, 59], []),
        ([0, 29, 33], ["no record came from 2026-02-06 14:34:00 to 2026-02-06 15:04:00 UTC"]),  # to the last bin
    ],
)
def test_a_silence_of_half_an_hour_in_open_trading_is_told(busy: list[int], expected: list[str], chunk: int) -> None:
    assert told(bins(MIDNIGHT + 14 * H, 64 if 33 in busy else 61, busy), chunk) == expected


def test_silence_at_a_close_the_maintenance_hour_and_a_weekend_is_none() -> None:
    whole = bins(CLOSE - H, 24 * 60, [0, 15, 31])  # from 21:32 on, closed at 22:00, and it is a Friday
    assert told(whole) == []
    assert told(bins(CLOSE - H, 24 * 60, [0, 15, 29])) == ["no record came from 2026-02-06 21:30:00 to 2026-02-06 22:00:00 UTC"]
    before = CLOSE - 24 * H - 10 * MINUTE  # Thursday's close is ten minutes later, the opening seventy
    assert told(bins(before, 3 * 60, [0, 99, 120, 149, 170])) == []  # the first after 29 minutes of open trading
    assert told(bins(before, 3 * 60, [0, 100, 129, 158])) == [
        "no record came from 2026-02-05 23:00:00 to 2026-02-05 23:30:00 UTC"
    ]


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_trades_outside_the_hours_are_told_and_orders_are_not(chunk: int) -> None:
    first = CLOSE - 2 * MINUTE  # bins 0 and 1 are open, 2 is the first closed one
    assert told(bins(first, 6, busy=[2, 3, 4], traded=[0, 1]), chunk) == []
    (line,) = told(bins(first, 6, busy=[0], traded=[1, 2]), chunk)
    assert line == "3 trades came from 2026-02-06 22:00:00 to 2026-02-06 22:00:00 UTC"
    assert told(bins(first, 6, busy=[0], traded=[1, 3, 5]), chunk) == [
        "6 trades came from 2026-02-06 22:01:00 to 2026-02-06 22:03:00 UTC"
    ]
    half = bins(first + MINUTE // 2, 6, busy=[0], traded=[1])  # this bin is half open
    assert told(half, chunk) == []
    opening = bins(CLOSE + 49 * H - 2 * MINUTE, 4, busy=[], traded=[1, 2])  # Sunday's; behind the table all is closed
    assert told(opening, chunk, HOURS[HOURS[:, 0] < CLOSE]) == [
        "6 trades came from 2026-02-08 22:59:00 to 2026-02-08 23:00:00 UTC"
    ]


def test_without_hours_or_bins_nothing_is_told_and_asking_twice_changes_nothing() -> None:
    rows = bins(MIDNIGHT + 14 * H, 61, [0])
    assert told(rows, hours=np.zeros((0, 2), np.int64)) == []
    assert HoursCheck("MNQ", HOURS).notices() == []
    check = HoursCheck("MNQ", HOURS)
    check.see(rows)
    assert len(check.notices()) == 1
    assert check.notices() == check.notices()
    check.see(bins(MIDNIGHT + 15 * H + MINUTE, 2, [1]))
    (line,) = check.notices()
    assert line.startswith("no record came from 2026-02-06 14:01:00 to 2026-02-06 15:02:00 UTC, when")


def test_a_halt_that_the_calendar_does_not_know_is_told_in_the_manifest_and_mended_by_a_calendar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last record at 20:00, the file's end at midnight; with a close at 14:01 in Chicago there is no hole and no notice."""
    rows = to_array([*build_up(), *(record("A", 1 + i, time=50 * S * i) for i in range(1, 7))])  # five minutes
    for name in ("ts_event", "ts_recv"):
        rows[name] += np.uint64(5 * H + 55 * MINUTE)  # to 15:00 in New York
    path = write_dbn(tmp_path / "mnq-20260206.dbn", rows, end_ns=MIDNIGHT + 24 * H)
    config = small_config(cell_width_ms=60_000)
    one = publish_replay(Lake(tmp_path / "lake"), "one", [path], config, start_time="14:55")
    assert [line.split(" (")[0] for line in one.manifest["notices"]] == [
        "no record came from 2026-02-06 20:01:00 to 2026-02-06 22:00:00 UTC, when the calendar"
    ]
    assert one.manifest["n_bins"] == 125
    assert one.manifest["quality"]["gap"] >= 119
    own = tmp_path / "own.yaml"
    own.write_text('exchange: CME\ncloses:\n  - {products: equity, date: 2026-02-06, close: "14:01", source: seen on the tape}\n')
    monkeypatch.setenv("SPYMASTER_CALENDAR", str(own))
    other = publish_replay(Lake(tmp_path / "lake"), "other", [path], config, start_time="14:55")
    assert other.manifest["notices"] == []
    assert (other.manifest["n_bins"], other.manifest["quality"]) == (6, {})
    assert other.manifest["calendar"]["closes"] != one.manifest["calendar"]["closes"]
