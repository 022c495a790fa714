"""Trading hours: daylight saving, the maintenance hour, weekends, half days and holidays of CME's equity futures."""

import datetime as dt
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import hours
from engine.errors import ConfigError
from engine.hours import (
    CALENDAR_ENV,
    CALENDARS,
    PRODUCTS,
    calendar_version,
    closes,
    open_intervals,
    open_intervals_of,
    read_closes,
    read_session_kind,
    session_window,
    trade_date_of,
    utc_days,
)


def is_open(moment: str, root: str = "MNQ") -> bool:
    """Whether a UTC moment lies in an open interval of its own day's table."""
    when = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    ns = int(when.timestamp()) * 10**9
    return any(start <= ns < end for start, end in open_intervals(root, when.date()).tolist())


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-02-06T14:30:00", True),
        ("2026-02-05T21:59:59", True),
        ("2026-02-05T22:00:00", False),
        ("2026-02-05T22:59:59", False),
        ("2026-02-05T23:00:00", True),
        ("2026-07-01T20:59:59", True),
        ("2026-07-01T21:30:00", False),
        ("2026-07-01T22:00:00", True),
        ("2026-02-06T22:30:00", False),
        ("2026-02-07T15:00:00", False),
        ("2026-02-08T22:59:59", False),
        ("2026-02-08T23:00:00", True),
        ("2023-12-25T15:00:00", False),
        ("2023-12-25T22:59:59", False),
        ("2023-12-25T23:00:00", True),
        ("2023-11-24T18:10:00", True),
        ("2023-11-24T18:30:00", False),
    ],
    ids=[
        "winter morning", "before the winter close", "maintenance begins", "maintenance ends", "winter evening opens",
        "before the summer close", "summer maintenance", "summer evening opens", "Friday after the close", "Saturday",
        "Sunday before the open", "Sunday opens", "Christmas noon", "Christmas before the open", "Christmas evening opens",
        "half day before its close", "half day after its close",
    ],
)  # fmt: skip
def test_exchange_is_open(moment: str, expected: bool) -> None:
    assert is_open(moment) is expected


@pytest.mark.parametrize(
    ("moment", "root", "expected"),
    [
        ("2024-03-28T20:59:59", "ES", True),
        ("2024-03-28T22:00:00", "ES", False),
        ("2024-03-29T13:00:00", "ES", False),
        ("2024-03-31T22:00:00", "ES", True),
        ("2023-04-07T13:14:59", "ES", True),
        ("2023-04-07T13:15:00", "ES", False),
        ("2025-04-17T22:00:00", "MNQ", False),
        ("2025-04-18T13:00:00", "ZN", False),
        ("2025-01-09T14:29:59", "ES", True),
        ("2025-01-09T14:30:00", "ES", False),
        ("2025-01-09T23:00:00", "ES", True),
        ("2025-01-09T18:14:59", "ZN", True),
        ("2025-01-09T18:15:00", "ZN", False),
        ("2025-01-09T18:15:00", "CL", True),
        ("2018-12-05T14:29:59", "ES", True),
        ("2018-12-05T14:30:00", "ES", False),
        ("2018-12-05T23:00:00", "ES", True),
        ("2018-12-04T23:00:00", "ZN", False),
        ("2018-12-05T15:00:00", "ZN", False),
        ("2018-12-05T23:00:00", "ZN", True),
        ("2018-12-05T15:00:00", "CL", True),
    ],
)
def test_days_that_the_library_does_not_know_of(moment: str, root: str, expected: bool) -> None:
    assert is_open(moment, root) is expected


def test_every_product_has_a_calendar() -> None:
    assert set(PRODUCTS.values()) == set(CALENDARS)
    assert {products for products, _ in closes()} <= set(CALENDARS)


def test_hours_of_several_days_are_those_of_each_once() -> None:
    days = [dt.date(2026, 2, 5), dt.date(2026, 2, 6), dt.date(2026, 2, 9)]
    spans = open_intervals_of("MNQ", days).tolist()
    assert [tuple(span) for span in spans] == sorted({tuple(one) for day in days for one in open_intervals("MNQ", day).tolist()})
    assert open_intervals_of("XYZ", days).shape == (0, 2)


def test_intervals_are_ascending_and_apart() -> None:
    spans = open_intervals("ES", dt.date(2026, 2, 6))
    assert (spans[:, 0] < spans[:, 1]).all()
    assert (spans[:-1, 1] <= spans[1:, 0]).all()


def test_product_without_known_hours_has_no_intervals() -> None:
    assert open_intervals("XYZ", dt.date(2026, 2, 6)).shape == (0, 2)


def test_table_reaches_from_the_day_before_to_the_day_after() -> None:
    """Sessions from Wednesday's to Friday's of a plain week, in UTC; the close of one day and the opening of the next."""
    spans = open_intervals("MNQ", dt.date(2026, 2, 4))
    told = [[dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).strftime("%d %H:%M") for ns in span] for span in spans.tolist()]
    assert told == [["02 23:00", "03 22:00"], ["03 23:00", "04 22:00"], ["04 23:00", "05 22:00"], ["05 23:00", "06 22:00"]]


def test_tables_are_kept_apart_by_product_day_library_and_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own file, so that one is never read for another; a damaged one is made anew, a cache is not needed."""
    asked: list[tuple[str, dt.date]] = []

    def scheduled(products: str, day: dt.date, over: Any) -> Any:
        asked.append((products, day))
        return np.array([[len(asked), 100]], np.int64)

    monkeypatch.setattr("engine.hours.cache_dir", lambda: str(tmp_path))
    monkeypatch.setattr("engine.hours._scheduled", scheduled)
    fresh = hours._intervals.__wrapped__  # as in another process
    day, other = dt.date(2026, 2, 6), dt.date(2026, 2, 5)
    assert fresh("equity", day, None).tolist() == fresh("equity", day, None).tolist() == [[1, 100]]
    assert fresh("equity", other, None).tolist() == [[2, 100]]
    assert fresh("energy", day, None).tolist() == [[3, 100]]
    monkeypatch.setattr("engine.hours.version", lambda _: "99.0")
    assert fresh("equity", day, None).tolist() == [[4, 100]]
    own = written(tmp_path, OWN)
    assert fresh("equity", day, own).tolist() == fresh("equity", day, own).tolist() == [[5, 100]]
    assert asked == [("equity", day), ("equity", other), ("energy", day), ("equity", day), ("equity", day)]
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(b"damaged")
    assert fresh("equity", day, None).tolist() == [[6, 100]]
    assert fresh("equity", day, None).tolist() == [[6, 100]]
    shutil.rmtree(tmp_path / "calendars")
    (tmp_path / "calendars").write_text("in the way")
    assert fresh("equity", day, None).tolist() == [[7, 100]]


OWN = """\
exchange: CME
closes:
  - {products: equity, date: 2026-02-06, close: "08:30", source: seen on the tape}
  - {products: equity, date: 2025-01-09, close: closed, source: other than what is shipped}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return path


def test_a_calendar_of_ones_own_goes_over_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = calendar_version("MNQ")
    assert is_open("2026-02-06T14:30:00")
    assert is_open("2025-01-09T14:29:59")
    monkeypatch.setenv(CALENDAR_ENV, str(written(tmp_path, OWN)))
    assert is_open("2026-02-06T14:29:59")
    assert not is_open("2026-02-06T14:30:00")
    assert not is_open("2025-01-08T23:00:00")
    assert not is_open("2025-01-09T14:29:59")
    assert is_open("2025-01-09T18:14:59", "ZN")
    assert not is_open("2025-01-09T18:15:00", "ZN")
    after = calendar_version("MNQ")
    assert before is not None
    assert after is not None
    assert before["closes"] != after["closes"]
    assert {**before, "closes": ""} == {**after, "closes": ""}
    assert before["calendar"] == "CME Globex Equity"
    assert before["library"] == "pandas_market_calendars 5.5.0"
    assert calendar_version("XYZ") is None


@pytest.mark.parametrize(
    ("change", "to", "told"),
    [
        ("exchange: CME\n", "", "exchange and closes are needed"),
        ("exchange: CME", "exchange: ICE", "it must be CME"),
        ("products: equity, date: 2026-02-06", "products: stocks, date: 2026-02-06", "must be one of equity, rates, energy"),
        ("date: 2026-02-06", "date: 2026-02-30", "close 1 has date: '2026-02-30'; give the trade date as YYYY-MM-DD"),
        ("date: 2026-02-06", "date: 20260206", "close 1 has date: 20260206; a text is needed"),
        ('"08:30"', '"8:30"', "give Chicago time as \"HH:MM\", or closed"),
        ('"08:30"', '"24:00"', "give Chicago time"),
        ('"08:30"', "08:30:00", "give Chicago time"),
        ('"08:30"', "null", "close 1 has close: None; a text is needed"),
        (", source: seen on the tape", "", "close 1 must have the keys products, date, close, source"),
        ("source: seen on the tape", "source: ''", "a text is needed"),
        ("2025-01-09", "2026-02-06", "close 2 is of equity on 2026-02-06 as one before is"),
        ("close: closed", "close: no", "true or false to some readers"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_calendar_is_one_line(change: str, to: str, told: str, tmp_path: Path) -> None:
    assert change in OWN
    with pytest.raises(ConfigError, match=re.escape(told)):
        read_closes(written(tmp_path, OWN.replace(change, to, 1)))


# Trade date, and the UTC bounds of what trades on it, by hand from Chicago's clock (UTC-6, in summer UTC-5): the opening is at
# 17:00 the day before; None: nothing trades.
NAMED: dict[str, tuple[str, tuple[str, str] | None]] = {
    "2026-03-09, after the clocks go forward on Sunday": ("2026-03-09", ("2026-03-08T22:00", "2026-03-09T21:00")),
    "2026-11-02, after the clocks go back on Sunday": ("2026-11-02", ("2026-11-01T23:00", "2026-11-02T22:00")),
    "Martin Luther King's day, a halt at noon": ("2025-01-20", ("2025-01-19T23:00", "2025-01-20T18:00")),
    "Memorial day, a halt at noon": ("2025-05-26", ("2025-05-25T22:00", "2025-05-26T17:00")),
    "the day before Independence day, 12:15": ("2025-07-03", ("2025-07-02T22:00", "2025-07-03T17:15")),
    "Labor day, a halt at noon": ("2025-09-01", ("2025-08-31T22:00", "2025-09-01T17:00")),
    "the Friday after Thanksgiving, 12:15": ("2025-11-28", ("2025-11-27T23:00", "2025-11-28T18:15")),
    "Christmas Eve, 12:15": ("2025-12-24", ("2025-12-23T23:00", "2025-12-24T18:15")),
    "the day of mourning for Jimmy Carter, 8:30": ("2025-01-09", ("2025-01-08T23:00", "2025-01-09T14:30")),
    "the day of mourning for George Bush, 8:30": ("2018-12-05", ("2018-12-04T23:00", "2018-12-05T14:30")),
    "Good Friday with the jobs report, 8:15": ("2026-04-03", ("2026-04-02T22:00", "2026-04-03T13:15")),
    "Good Friday without it": ("2025-04-18", None),
}


@pytest.mark.parametrize("case", NAMED)
def test_named_days_have_the_bounds_that_the_exchange_gave(case: str) -> None:
    day, expected = NAMED[case]
    spans = open_intervals("MNQ", dt.date.fromisoformat(day))
    inside = session_window(dt.date.fromisoformat(day), "trading_day")
    of_day = [span for span in spans.tolist() if inside[0] <= span[0] < inside[1]]
    assert of_day == ([] if expected is None else [[ns_of(expected[0]), ns_of(expected[1])]])
    assert all(end <= inside[1] for _, end in of_day)


def test_sunday_open_and_maintenance_hour() -> None:
    """To the second: nothing trades from Friday's close to Sunday evening, or in the hour between two trading days."""
    assert is_open("2026-02-06T21:59:59")
    assert not is_open("2026-02-06T22:00:00")
    assert not is_open("2026-02-08T22:59:59")
    assert is_open("2026-02-08T23:00:00")
    assert is_open("2026-02-09T21:59:59")
    assert not is_open("2026-02-09T22:00:00")
    assert not is_open("2026-02-09T22:59:59")
    assert is_open("2026-02-09T23:00:00")


def ns_of(moment: str) -> int:
    return int(dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("day", "kind", "start", "end"),
    [
        ("2026-02-06", "utc_day", "2026-02-06T00:00", "2026-02-07T00:00"),
        ("2026-02-06", "trading_day", "2026-02-05T23:00", "2026-02-06T22:00"),
        ("2026-07-01", "trading_day", "2026-06-30T22:00", "2026-07-01T21:00"),
        ("2026-03-08", "trading_day", "2026-03-07T23:00", "2026-03-08T21:00"),  # the clocks go forward within: 22 hours
        ("2026-03-09", "trading_day", "2026-03-08T22:00", "2026-03-09T21:00"),
        ("2026-11-01", "trading_day", "2026-10-31T22:00", "2026-11-01T22:00"),  # and back: 24 hours
        ("2026-11-02", "trading_day", "2026-11-01T23:00", "2026-11-02T22:00"),
        ("2026-01-01", "trading_day", "2025-12-31T23:00", "2026-01-01T22:00"),
    ],
)
def test_window_of_a_session(day: str, kind: Any, start: str, end: str) -> None:
    assert session_window(dt.date.fromisoformat(day), kind) == (ns_of(start), ns_of(end))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-02-05T22:59:59", "2026-02-05"),
        ("2026-02-05T23:00:00", "2026-02-06"),
        ("2026-02-06T22:30:00", "2026-02-06"),  # the hour of maintenance
        ("2026-07-01T21:59:59", "2026-07-01"),
        ("2026-07-01T22:00:00", "2026-07-02"),
        ("2026-12-31T23:00:00", "2027-01-01"),
    ],
)
def test_trade_date_turns_at_six_in_the_evening_in_new_york(moment: str, expected: str) -> None:
    assert trade_date_of(ns_of(moment)) == dt.date.fromisoformat(expected)


def test_utc_days_of_a_session_are_those_it_touches() -> None:
    day = dt.date(2026, 3, 1)
    assert utc_days(day, "utc_day") == (day,)
    assert utc_days(day, "trading_day") == (dt.date(2026, 2, 28), day)


def test_kind_of_session_is_one_of_two() -> None:
    assert [read_session_kind(kind) for kind in ("utc_day", "trading_day")] == ["utc_day", "trading_day"]
    with pytest.raises(ConfigError, match="session was 'day'; it must be one of utc_day, trading_day"):
        read_session_kind("day")
