"""Trading hours: daylight saving, the maintenance hour, weekends, half days and holidays of CME's equity futures."""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.hours import CALENDARS, CLOSES, open_intervals, open_intervals_of


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


def test_table_of_days_names_calendars_that_are_used() -> None:
    assert {calendar for calendar, _ in CLOSES} <= set(CALENDARS.values())


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
    hours = [[dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).strftime("%d %H:%M") for ns in span] for span in spans.tolist()]
    assert hours == [["02 23:00", "03 22:00"], ["03 23:00", "04 22:00"], ["04 23:00", "05 22:00"], ["05 23:00", "06 22:00"]]


def test_tables_are_kept_apart_by_product_day_and_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own file, so that one is never read for another; a damaged one is made anew, a cache is not needed."""
    asked: list[tuple[str, dt.date]] = []

    def scheduled(name: str, day: dt.date) -> Any:
        asked.append((name, day))
        return np.array([[len(asked), 100]], np.int64)

    monkeypatch.setattr("engine.hours.cache_dir", lambda: str(tmp_path))
    monkeypatch.setattr("engine.hours._scheduled", scheduled)
    fresh = open_intervals.__wrapped__  # as in another process
    day, other = dt.date(2026, 2, 6), dt.date(2026, 2, 5)
    assert fresh("MNQ", day).tolist() == fresh("MNQ", day).tolist() == [[1, 100]]
    assert fresh("MNQ", other).tolist() == [[2, 100]]
    assert fresh("CL", day).tolist() == [[3, 100]]
    monkeypatch.setattr("engine.hours.version", lambda _: "99.0")
    assert fresh("MNQ", day).tolist() == [[4, 100]]
    assert asked == [
        ("CME Globex Equity", day),
        ("CME Globex Equity", other),
        ("CMEGlobex_CrudeAndRefined", day),
        ("CME Globex Equity", day),
    ]
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(b"damaged")
    assert fresh("MNQ", day).tolist() == [[5, 100]]
    assert fresh("MNQ", day).tolist() == [[5, 100]]
    shutil.rmtree(tmp_path / "calendars")
    (tmp_path / "calendars").write_text("in the way")
    assert fresh("MNQ", day).tolist() == [[6, 100]]
