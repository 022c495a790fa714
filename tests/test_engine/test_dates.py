"""What every door reads alike: days and times of day."""

import datetime as dt

import pytest

from engine.door import read_clock, read_day
from engine.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:00", dt.time(0)), ("09:25", dt.time(9, 25)), ("09:25:00", dt.time(9, 25)), ("23:59:59", dt.time(23, 59, 59))],
)
def test_a_time_of_day_is_read(text: str, expected: dt.time) -> None:
    assert read_clock(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9:25",
        "24:00",
        "24:00:00",
        "09:60",
        "09:25:60",
        "0925",
        "T0925",
        "T09:25",
        "092500.0",
        "09:25Z",
        "09+01:00",
        "09:25+01:00",
    ],
)
def test_what_is_no_time_of_day_in_the_two_forms_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^opening was '.*'; give New York wall-clock time as HH:MM or HH:MM:SS") as error:
        read_clock(text, "opening")
    assert repr(text) in str(error.value)


def test_a_day_is_read_in_one_form_only() -> None:
    assert read_day("2024-02-29") == dt.date(2024, 2, 29)
    for text in ("2026-02-29", "20260206", "2026-W06-5", "2026-2-6", ""):
        with pytest.raises(ConfigError, match="YYYY-MM-DD"):
            read_day(text)
