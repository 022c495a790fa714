"""Moments to the nanosecond, in every form that comes."""

import pytest

from engine.feed.moments import iso_ns

DAY_S = 1_770_336_000  # 2026-02-06, by `date -u -d 2026-02-06 +%s`


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01", 0),
        ("2026-02-06", DAY_S * 10**9),
        ("2026-02-06T00:00:01", (DAY_S + 1) * 10**9),
        ("2026-02-06T00:00:01Z", (DAY_S + 1) * 10**9),
        ("2026-02-06 00:00:01.5+00:00", (DAY_S + 1) * 10**9 + 500_000_000),
        ("2026-02-06T00:00:00.000000001Z", DAY_S * 10**9 + 1),
        ("2026-02-05T19:00:00-05:00", DAY_S * 10**9),
    ],
)
def test_moment(text: str, ns: int) -> None:
    assert iso_ns(text) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-02-06T25:00", "2026-02-06T00:00:00.1234567890"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        iso_ns(text)
