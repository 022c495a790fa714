"""Which price a trade meets, column by column and bit by bit."""

import numpy as np
import pytest

from engine.constants import UNDEF_PRICE
from engine.trades.tape import CLOSED, GAP, POSTPONED, ROLL, SOUND, mid_tape, touch_tape

LAST = {"bid": 100, "ask": 104, "bid_low": 97, "bid_high": 102, "ask_low": 103, "ask_high": 108}


def one(quality: int = 0, **changes: int) -> dict[str, int]:
    """The tape of a single bin."""
    columns = [np.array([value], np.int64) for value in {**LAST, **changes}.values()]
    tape = touch_tape(*columns, np.array([quality], np.uint16))
    return {name: int(column[0]) for name, column in zip(tape._fields, tape, strict=True)}


def test_every_column_keeps_its_place() -> None:
    assert one() == {**LAST, "state": SOUND}


@pytest.mark.parametrize(("name", "at_end"), [("bid_low", 100), ("bid_high", 100), ("ask_low", 104), ("ask_high", 104)])
def test_an_extreme_that_is_missing_alone_is_the_price_at_the_bins_end(name: str, at_end: int) -> None:
    assert one(**{name: UNDEF_PRICE}) == {**LAST, name: at_end, "state": SOUND}
    assert [one(**{name: price})[name] for price in (1, 0, -1)] == [1, 0, -1]


@pytest.mark.parametrize(
    ("bit", "state"),
    [  # engine.md section 4: cold, gap, crossed, one-sided, bad time, doubtful, closed, roll
        (1, GAP),
        (2, GAP),
        (4, POSTPONED),
        (8, POSTPONED),
        (16, POSTPONED),
        (32, POSTPONED),
        (64, CLOSED),
        (128, ROLL),
        (4 | 2, GAP),
        (4 | 64, CLOSED),
        (64 | 1 | 2, CLOSED),
        (128 | 1, ROLL),
        (128 | 64 | 2, CLOSED),
    ],
)
def test_each_bit_of_quality_stops_trade_and_of_several_the_most_telling_counts(bit: int, state: int) -> None:
    assert one(bit)["state"] == state


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        *(({"bid": price}, SOUND) for price in (1, 0, -1)),
        ({"bid": -1, "ask": 0}, SOUND),
        ({"bid": -3, "ask": -2}, SOUND),
        ({"bid": -3, "ask": -3}, POSTPONED),
        ({"bid": UNDEF_PRICE}, POSTPONED),
        ({"bid": -1, "ask": UNDEF_PRICE}, POSTPONED),
        ({"ask": 101}, SOUND),
        ({"ask": 100}, POSTPONED),  # locked
        ({"ask": 99}, POSTPONED),
    ],
)
def test_a_book_is_usable_with_two_sides_apart(changes: dict[str, int], state: int) -> None:
    assert one(**changes)["state"] == state


def test_of_the_mid_every_column_is_the_mid_and_none_is_no_price() -> None:
    tape = mid_tape(np.array([21_000.125, 0.0, -1.0, np.nan, 1e-9]))
    for column in tape[:6]:
        assert column.tolist() == [21_000_125_000_000, 0, -1_000_000_000, -1_000_000_000, 1]  # where there is none, the last
    assert tape.state.tolist() == [SOUND, SOUND, SOUND, POSTPONED, SOUND]
    assert (SOUND, POSTPONED, GAP, CLOSED, ROLL) == (0, 1, 2, 3, 4)
