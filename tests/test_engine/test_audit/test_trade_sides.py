"""The side self-test: a buyer's trade prints at or above the ask that stood before its event."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.audit.raw_file import check_raw
from engine.audit.trade_sides import SideTest
from engine.config import load_instrument
from engine.constants import NS_PER_DAY
from engine.hours import open_intervals
from engine.run.runner import Runner, Span
from engine.source.records import open_source
from tests.conftest import REPO_ROOT, shared_path
from tests.reference import UNDEF_PRICE, Record
from tests.streams import DAY, DAY_START, build_up, record, to_array, write_dbn

CONFIG = load_instrument()
HOURS = open_intervals("MNQ", DAY)
SHUT = np.array([[0, 1]], np.int64)


def judged(records: list[Record], chunk: int = 1000, sessions: Any = HOURS) -> dict[str, Any]:
    test = SideTest(Runner(CONFIG, Span(DAY_START, DAY_START + NS_PER_DAY, DAY_START + 2 * NS_PER_DAY)), sessions)
    rows = to_array(records)
    for first in range(0, len(rows), chunk):
        test.feed(rows[first : first + chunk])
    return test.report()


# build_up: bid at tick -1, ask at tick 1


@pytest.mark.parametrize(
    ("side", "tick", "right"),
    [("B", 1, 1), ("B", 2, 1), ("B", 0, 0), ("B", -1, 0), ("A", -1, 1), ("A", -2, 1), ("A", 0, 0), ("A", 1, 0)],
)
def test_trade_is_right_at_or_beyond_the_quote_it_hits(side: str, tick: int, right: int) -> None:
    found = judged([*build_up(), record("T", 0, side=side, tick=tick, time=5)])
    assert (found["judged"], found["right"]) == (1, right)
    assert (found["first_wrong"] is None) == (right == 1)


def test_quote_is_that_before_the_event_and_not_before_the_record() -> None:
    """The event's own records have already taken the ask away when its second trade is printed."""
    event = [
        record("T", 0, side="B", tick=1, size=5, time=5, flags=0),
        record("F", 1001, side="A", tick=1, size=5, time=5, flags=0),
        record("C", 1001, side="A", tick=1, size=5, time=5, flags=0),
        record("T", 0, side="B", tick=1, size=5, time=5, flags=0),
        record("C", 1003, side="A", tick=2, size=5, time=5),
    ]
    found = judged([*build_up(), *event])
    assert (found["judged"], found["right"]) == (2, 2)
    # The next event meets the ask at tick 3: the same price is wrong by now.
    assert judged([*build_up(), *event, record("T", 0, side="B", tick=1, time=9)])["right"] == 2


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7])
def test_chunks_leave_no_trace(chunk: int) -> None:
    events = [
        record("T", 0, side="B", tick=1, size=5, time=5, flags=0),
        record("F", 1001, side="A", tick=1, size=5, time=5, flags=0),
        record("C", 1001, side="A", tick=1, size=5, time=5),
        record("T", 0, side="A", tick=-1, size=1, time=7, flags=0),
        record("F", 1000, side="B", tick=-1, size=1, time=7, flags=0),
        record("M", 1000, side="B", tick=-1, size=4, time=7),
        record("T", 0, side="B", tick=1, size=1, time=9, flags=0),
        record("N", 0, side="N", time=9),
    ]
    whole = judged([*build_up(), *events])
    assert (whole["judged"], whole["right"]) == (3, 2)
    assert judged([*build_up(), *events], chunk) == whole


SET_ASIDE = {
    "no_side": ([*build_up(), record("T", 0, side="N", tick=1)], HOURS),
    "closed": ([*build_up(), record("T", 0, side="B", tick=1)], SHUT),
    "unquoted": ([record("A", 1, side="B", tick=-1), record("T", 0, side="B", tick=1)], HOURS),
    "opening": ([*build_up(), record("T", 0, side="B", tick=1)], np.array([[DAY_START + 14 * 3600 * 10**9, 2**62]])),
}


@pytest.mark.parametrize("reason", SET_ASIDE)
def test_trade_that_says_nothing_is_set_aside_by_its_reason(reason: str) -> None:
    records, sessions = SET_ASIDE[reason]
    found = judged(records, sessions=sessions)
    assert (found["trades"], found[reason], found["judged"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("time", "reason"),
    [(-1, "closed"), (0, "opening"), (10**9 - 1, "opening"), (10**9, "judged"), (5 * 10**9 - 1, "judged"), (5 * 10**9, "closed")],
)
def test_first_second_of_a_session_and_its_ends_to_the_nanosecond(time: int, reason: str) -> None:
    start = DAY_START + 14 * 3600 * 10**9 + 10**9
    sessions = np.array([[start, start + 5 * 10**9]], np.int64)
    found = judged([*build_up(), record("T", 0, side="B", tick=1, time=10**9 + time)], sessions=sessions)
    assert [name for name in ("no_side", "closed", "opening", "unquoted", "judged") if found[name]] == [reason]


def test_session_shorter_than_a_second_is_all_opening() -> None:
    start = DAY_START + 14 * 3600 * 10**9
    sessions = np.array([[start, start + 10]], np.int64)
    found = judged([*build_up(), *(record("T", 0, side="B", tick=1, time=t) for t in (9, 10))], sessions=sessions)
    assert (found["opening"], found["closed"]) == (1, 1)


@pytest.mark.parametrize(
    ("n_right", "n_wrong", "is_problem"),
    [(0, 19, False), (0, 20, True), (19, 1, False), (18, 2, True), (38, 2, False), (37, 3, True)],
)
def test_nineteen_of_twenty_must_be_right_once_there_are_twenty(n_right: int, n_wrong: int, is_problem: bool) -> None:
    test = SideTest(Runner(CONFIG, Span(DAY_START, DAY_START + NS_PER_DAY, DAY_START + 2 * NS_PER_DAY)), HOURS)
    trades = [record("T", 0, side="B", tick=1 if i < n_right else -1, time=5 + i) for i in range(n_right + n_wrong)]
    test.feed(to_array([*build_up(), *trades]))
    assert bool(test.problem) is is_problem
    if is_problem:
        assert f"only {n_right} of {n_right + n_wrong} trades" in test.problem


def test_first_wrong_trade_is_kept_and_later_ones_are_not() -> None:
    wrong = [record("T", i, side="B", tick=-i, time=i) for i in (3, 4)]
    found = judged([*build_up(), record("T", 1, side="B", tick=1, time=1), *wrong])
    expected = {"order_id": 3, "sequence": 15, "ts_event": wrong[0].ts_event, "price": wrong[0].price}
    assert found["first_wrong"] == expected


def test_trade_without_a_price_is_not_looked_at() -> None:
    found = judged([*build_up(), record("T", 0, side="B", price=UNDEF_PRICE), record("T", 0, side="B", price=0)])
    assert (found["trades"], found["judged"], found["right"]) == (1, 1, 0)


def test_locked_book_judges_no_trade() -> None:
    found = judged([*build_up(), record("A", 77, side="B", tick=1, time=3), record("T", 0, side="B", tick=1, time=5)])
    assert (found["unquoted"], found["judged"]) == (1, 0)


def test_crossed_book_judges_no_trade() -> None:
    crossed = record("A", 77, side="B", tick=3, time=3)
    found = judged([*build_up(), crossed, record("T", 0, side="B", tick=0, time=5)])
    assert (found["unquoted"], found["judged"]) == (1, 0)


def test_fill_tells_no_aggressor() -> None:
    """A fill bears the side of the resting order."""
    found = judged([*build_up(), record("F", 1001, side="A", tick=1, size=5, time=5)])
    assert found["trades"] == 0


def test_inverted_sides_are_a_problem_of_the_file(simulated_file: Path, tmp_path: Path) -> None:
    rows = np.concatenate(list(open_source([simulated_file], CONFIG).records())).copy()
    assert check_raw(simulated_file, CONFIG, keeps_book=False).report["problem"] == ""
    trades = rows["action"] == ord("T")
    rows["side"][trades] = np.where(rows["side"][trades] == ord("B"), ord("A"), ord("B"))
    ids = {"MNQH6": int(rows["instrument_id"][0])}
    path = write_dbn(tmp_path / "a-20260206.dbn", rows, ids, DAY)
    report = check_raw(path, CONFIG, keeps_book=False).report
    assert "sides or book are wrong" in report["problem"]
    assert report["side_test"]["first_wrong"]["sequence"] > 0


def test_every_judged_trade_of_the_esh4_hour_is_right() -> None:
    config = load_instrument(REPO_ROOT / "engine" / "instruments" / "es.yaml")
    report = check_raw(shared_path("data/esh4-glbx-mdp3-20231225.mbo.dbn.zst"), config, keeps_book=False).report
    told = report["side_test"]
    assert (told["judged"], told["right"], told["first_wrong"]) == (2931, 2931, None)
    assert (told["trades"], told["no_side"], told["opening"]) == (2973, 1, 41)
