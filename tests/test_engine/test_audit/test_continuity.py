"""The book at a file's end against the next one's snapshot: ids, prices, sizes and every queue."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.audit.continuity import compare_books, opening_snapshot
from engine.audit.lake import check_lake
from engine.audit.raw_file import check_raw
from engine.config import INSTRUMENT_ENV, InstrumentConfig, load_instrument
from engine.errors import ConfigError
from engine.lake import Lake
from engine.simulate.session import simulate_days
from engine.source.records import open_source
from tests.conftest import REPO_ROOT, shared_path
from tests.fills import FRONT, OWN, UNEXPLAINED, UNKNOWN, WITHDRAWN, judge_fills
from tests.reference import F_LAST, F_SNAPSHOT, UNDEF_PRICE, Record
from tests.streams import DAY, DAY_START, build_up, record, to_array, write_dbn

CONFIG = load_instrument()
DAYS = 5


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Monday to Friday, ten seconds a day, each opened by the book of the day before."""
    first = tmp_path_factory.mktemp("week") / "mnq-20260202.mbo.dbn"
    return [
        one.path for one in simulate_days(first, days=DAYS, seed=5, seconds=10.0, rate=500.0, start="2026-02-02T09:30")
    ]  # fmt: skip


def pairs_of(files: list[Path], lake: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = check_lake(Lake(lake), None, files, continuity=True)["continuity"]
    return found


# One difference at a time


def two_days(folder: Path, tail: list[Record], opening: list[Record]) -> list[Path]:
    """A day of ``build_up`` and ``tail``, and the next one, which opens with ``opening``."""
    day_ns = 86_400 * 10**9
    shifted = to_array(opening)
    shifted["ts_event"] += day_ns
    shifted["ts_recv"] += day_ns
    return [
        write_dbn(folder / "a-20260206.dbn", to_array([*build_up(2), *tail]), day=DAY),
        write_dbn(folder / "b-20260207.dbn", shifted, day=DAY + timedelta(days=1)),
    ]


def snapshot(*orders: tuple[int, str, int, int]) -> list[Record]:
    """A snapshot of (id, side, tick, size), in this order."""
    adds = [record("A", i, side=side, tick=tick, size=size, flags=F_SNAPSHOT) for i, side, tick, size in orders]
    return [
        record("R", 0, side="N", size=0, flags=F_SNAPSHOT),
        *adds[:-1],
        Record(**{**vars(adds[-1]), "flags": F_SNAPSHOT | F_LAST}),
    ]


BOOK = [(1000, "B", -1, 5), (1002, "B", -2, 5), (1001, "A", 1, 5), (1003, "A", 2, 5)]


def test_equal_books_are_the_same(tmp_path: Path) -> None:
    (pair,) = pairs_of(two_days(tmp_path, [], snapshot(*BOOK)), tmp_path)
    assert (pair["same"], pair["differences"], pair["problem"]) == (True, {}, "")


DIFFERENCES = {
    "missing_in_snapshot": (BOOK[1:], 1000),
    "unknown_in_snapshot": ([*BOOK, (9, "A", 2, 1)], 9),
    "other_price": ([(1000, "B", -3, 5), *BOOK[1:]], 1000),
    "other_price ": ([(1000, "A", -1, 5), *BOOK[1:]], 1000),  # the same price on the other side
    "other_size": ([(1000, "B", -1, 4), *BOOK[1:]], 1000),
}


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_difference_is_told_by_kind_with_its_first_order(kind: str, tmp_path: Path) -> None:
    orders, first = DIFFERENCES[kind]
    report = check_lake(Lake(tmp_path), None, two_days(tmp_path, [], snapshot(*orders)), continuity=True)
    (pair,) = report["continuity"]
    assert pair["differences"] == {kind.strip(): {"count": 1, "first": first}}
    assert report["sound"] is False


def test_differences_of_a_kind_are_counted_and_the_first_has_the_lowest_id(tmp_path: Path) -> None:
    orders = [(1000, "B", -3, 5), (1002, "B", -4, 4), (1001, "A", 1, 6), (8, "A", 2, 1), (7, "A", 3, 1)]
    (pair,) = pairs_of(two_days(tmp_path, [], snapshot(*orders)), tmp_path)
    assert pair["differences"] == {
        "missing_in_snapshot": {"count": 1, "first": 1003},
        "unknown_in_snapshot": {"count": 2, "first": 7},
        "other_price": {"count": 2, "first": 1000},
        "other_size": {"count": 2, "first": 1001},
    }
    assert (pair["n_end"], pair["n_opening"]) == (4, 5)


# Queues: three orders at one price, 1 before 2 before 3; then one of them changes


def _at(ts: int, r: Record) -> Record:
    """The same record of another time."""
    return Record(**{**vars(r), "ts_event": ts})


QUEUE = [record("A", i, side="B", tick=-1, size=4, time=i) for i in (1, 2, 3)]
CHANGES: dict[str, tuple[list[Record], list[int]]] = {
    "nothing": ([], [1, 2, 3]),
    "smaller keeps its place": ([record("M", 1, tick=-1, size=3, time=9)], [1, 2, 3]),
    "same size keeps its place": ([record("M", 1, tick=-1, size=4, time=9)], [1, 2, 3]),
    "larger goes to the back": ([record("M", 1, tick=-1, size=5, time=9)], [2, 3, 1]),
    "away and back goes to the back": (
        [record("M", 2, tick=-2, size=4, time=9), record("M", 2, tick=-1, size=4, time=10)],
        [1, 3, 2],
    ),
    "partly filled keeps its place": (
        [record("F", 1, tick=-1, size=1, time=9, flags=0), record("M", 1, tick=-1, size=3, time=9)],
        [1, 2, 3],
    ),
    "refilled from its hidden part goes to the back": (
        [record("F", 1, tick=-1, size=4, time=9, flags=0), record("M", 1, tick=-1, size=4, time=9)],
        [2, 3, 1],
    ),
    "partly cancelled keeps its place": ([record("C", 1, tick=-1, size=1, time=9)], [1, 2, 3]),
    "added again goes to the back": (
        [record("C", 1, tick=-1, size=4, time=9), record("A", 1, tick=-1, size=4, time=10)],
        [2, 3, 1],
    ),
    "unknown modify comes last": (
        [record("C", 1, tick=-1, size=4, time=9), record("M", 1, tick=-1, size=4, time=10)],
        [2, 3, 1],
    ),
    "pending fill and its cancel keep its place": (
        [record("F", 1, tick=-1, size=1, time=9, flags=0), record("C", 1, tick=-1, size=1, time=9)],
        [1, 2, 3],
    ),
    "cancel beyond the pending fill takes the rest of it": (
        [record("F", 1, size=1, time=9), record("C", 1, size=4, time=9), record("A", 1, tick=-1, size=4, time=10)],
        [2, 3, 1],
    ),
    "larger than what a fill has left goes to the back": (
        [record("F", 1, tick=-1, size=2, time=9, flags=0), record("M", 1, tick=-1, size=3, time=9)],
        [2, 3, 1],
    ),
    "across the book and back goes to the back": (
        [record("M", 1, side="A", tick=-1, size=4, time=9), record("M", 1, tick=-1, size=4, time=10)],
        [2, 3, 1],
    ),
    "larger, but without a side": ([record("M", 1, side="N", tick=-1, size=9, time=9)], [1, 2, 3]),
    "larger, but without a price": ([record("M", 1, price=UNDEF_PRICE, size=9, time=9)], [1, 2, 3]),
    "larger 1 ns before the day in the name": ([_at(DAY_START - 1, record("M", 1, tick=-1, size=9))], [2, 3, 1]),
    "larger, but without any time": ([_at(2**64 - 1, record("M", 1, tick=-1, size=9))], [1, 2, 3]),
    "larger with the day's first ns": ([_at(DAY_START, record("M", 1, tick=-1, size=9))], [2, 3, 1]),
    "larger with the day's last ns": ([_at(DAY_START + 86_400 * 10**9 - 1, record("M", 1, tick=-1, size=9))], [2, 3, 1]),
    "clear forgets all queues": (
        [record("R", 0, side="N", size=0, time=9), *[record("A", i, side="B", tick=-1, size=4, time=10) for i in (3, 1)]],
        [3, 1],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_place_in_the_queue(case: str, tmp_path: Path) -> None:
    changes, expected = CHANGES[case]
    path = write_dbn(tmp_path / "a-20260206.dbn", to_array([*build_up(1), *QUEUE, *changes]), day=DAY)
    resting = check_raw(path, CONFIG, keeps_book=True).resting
    assert resting is not None
    queue = resting[(resting["price"] == QUEUE[0].price) & (resting["order_id"] < 10)]
    assert queue[np.argsort(queue["place"])]["order_id"].tolist() == expected


def test_swapped_queue_is_told(tmp_path: Path) -> None:
    queue = [(1000, "B", -1, 5), (1, "B", -1, 4), (3, "B", -1, 4), (2, "B", -1, 4)]
    files = two_days(tmp_path, QUEUE, snapshot(*queue, *BOOK[1:]))
    (pair,) = pairs_of(files, tmp_path)
    assert pair["differences"] == {"other_place_in_queue": {"count": 2, "first": 2}}


# Fills of the same three orders, judged at the end of their event


def _fill(order_id: int, size: int = 4, tick: int = -1) -> Record:
    return record("F", order_id, tick=tick, size=size, time=9, flags=0)


def _cancel(order_id: int, time: int = 9, flags: int = 0) -> Record:
    return record("C", order_id, tick=-1, size=4, time=time, flags=flags)


SALE = record("T", 9, side="A", tick=-1, size=4, time=9, flags=0)
END = record("N", 0, side="N", size=0, time=9)
FILLS: dict[str, tuple[list[Record], list[tuple[str, int]]]] = {
    "the first, then the second of one event": ([SALE, _fill(1), _fill(2, 1), _cancel(1), END], [(FRONT, 0), (FRONT, 0)]),
    "the second told before the first": ([SALE, _fill(2), _fill(1), _cancel(2), _cancel(1), END], [(FRONT, 0), (FRONT, 0)]),
    "the second, and 1 of the first is left": ([SALE, _fill(1, 3), _fill(2), END], [(FRONT, 0), (UNEXPLAINED, 1)]),
    "the third, and nobody goes": ([SALE, _fill(3), END], [(UNEXPLAINED, 2)]),
    "the third, and one of two goes": ([SALE, _fill(3), _cancel(1), END], [(UNEXPLAINED, 2)]),
    "the third, and both go": ([SALE, _fill(3), _cancel(3), _cancel(1), _cancel(2), END], [(WITHDRAWN, 2)]),
    "the second, and the first goes 1 ns later": ([SALE, _fill(2), _cancel(1, 10), END], [(UNEXPLAINED, 1)]),
    "the second, and the first goes 1 ns earlier": ([SALE, _fill(2), _cancel(1, 8), END], [(UNEXPLAINED, 1)]),
    "the second, and the first goes in the next event": ([SALE, _fill(2), END, _cancel(1), END], [(UNEXPLAINED, 1)]),
    "the second, after the first went": ([_cancel(1), END, SALE, _fill(2), END], [(FRONT, 0)]),
    "the second, after the first grew": ([record("M", 1, tick=-1, size=5, time=8), SALE, _fill(2), END], [(FRONT, 0)]),
    "the second, after the first shrank": ([record("M", 1, tick=-1, size=3, time=8), SALE, _fill(2), END], [(UNEXPLAINED, 1)]),
    "the second, re-priced into the asks": (
        [record("T", 2, tick=1, time=9, flags=0), _fill(2, tick=1), _cancel(2), END],
        [(OWN, 1)],
    ),
    "nobody's": ([SALE, _fill(7), END], [(UNKNOWN, 0)]),
    "the first of an event that nobody ended": ([SALE, _fill(1)], [(FRONT, 0)]),
}


@pytest.mark.parametrize("case", FILLS)
def test_fill_against_its_queue(case: str) -> None:
    records, expected = FILLS[case]
    judged = judge_fills(to_array([*QUEUE, *records]))
    assert [(cause, n_ahead) for cause, n_ahead, _ in judged] == expected


# What cannot be judged says why


def test_files_are_compared_in_the_order_of_their_days_whatever_they_are_called(tmp_path: Path) -> None:
    """The later day's file is called a and comes first, too."""
    first, second = two_days(tmp_path, [], snapshot(*BOOK))
    later, earlier = second.rename(tmp_path / "a-20260207.dbn"), first.rename(tmp_path / "z-20260206.dbn")
    (pair,) = pairs_of([later, earlier], tmp_path)
    assert (pair["before"], pair["after"], pair["judged"], pair["same"]) == (earlier.name, later.name, True, True)


def test_a_file_without_a_day_comes_first_and_is_not_judged(tmp_path: Path) -> None:
    nothing = tmp_path / "a-20260208.dbn"
    nothing.write_bytes(b"")
    first, second = two_days(tmp_path, [], snapshot(*BOOK))
    pairs = pairs_of([first, second, nothing], tmp_path)
    assert [(pair["before"], pair["after"], pair["judged"]) for pair in pairs] == [
        (nothing.name, first.name, False),
        (first.name, second.name, True),
    ]


@pytest.mark.parametrize(("day", "n"), [("2026-02-05", 0), ("2026-02-06", 1), ("2026-02-07", 1), ("2026-02-08", 0)])
def test_only_pairs_with_the_day_that_is_asked_for(day: str, n: int, tmp_path: Path) -> None:
    files = two_days(tmp_path, [], snapshot(*BOOK))
    found = check_lake(Lake(tmp_path), day, files, continuity=True)
    assert [pair["judged"] for pair in found["continuity"]] == [True] * n


def test_day_without_a_snapshot_is_not_judged(tmp_path: Path) -> None:
    (pair,) = pairs_of(two_days(tmp_path, [], [record("A", 5)]), tmp_path)
    assert "no snapshot" in pair["reason"]


def test_empty_file_has_no_opening_snapshot(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "a-20260206.dbn", to_array([]), day=DAY)
    assert len(opening_snapshot(open_source([path], CONFIG))) == 0


def test_opening_snapshot_is_sorted_by_id_and_keeps_the_queues(tmp_path: Path) -> None:
    _, path = two_days(tmp_path, [], snapshot((1002, "B", -2, 5), (1000, "B", -1, 4), (1003, "A", 2, 7), (1001, "A", 1, 6)))
    opening = opening_snapshot(open_source([path], CONFIG))
    assert opening[["order_id", "size", "place"]].tolist() == [(1000, 4, 1), (1001, 6, 3), (1002, 5, 0), (1003, 7, 2)]


def test_books_of_nothing_are_the_same() -> None:
    nothing = np.zeros(0, [("order_id", "u8"), ("side", "u1"), ("price", "i8"), ("size", "i8"), ("place", "i8")])
    assert compare_books(nothing, nothing)["same"] is True


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"days": 0}, "days was 0"),
        ({"days": 32}, "days was 32"),
        ({"days": 2}, "must hold the first one's date, 20260206"),
        ({"days": 2, "seconds": 90_000.0, "name": "a-20260206.dbn"}, "a day has 86,400 seconds"),
    ],
)
def test_bad_number_of_days_is_refused_and_writes_nothing(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    how = {"seconds": 1.0, "name": "a.dbn"} | given
    with pytest.raises(ConfigError, match=told):
        simulate_days(tmp_path / how.pop("name"), seed=1, **how)
    assert list(tmp_path.iterdir()) == []


# Whole days, simulated and real: last, as they take the longest


def test_simulated_week_is_continuous(week: list[Path], tmp_path: Path) -> None:
    pairs = pairs_of(week, tmp_path)
    assert len(pairs) == DAYS - 1
    assert all(pair["judged"] and pair["same"] for pair in pairs)
    assert all(pair["n_end"] == pair["n_opening"] > 1000 for pair in pairs)


def test_first_simulated_day_is_that_of_a_single_one(week: list[Path], tmp_path: Path) -> None:
    (alone,) = simulate_days(tmp_path / "one.dbn", days=1, seed=5, seconds=10.0, rate=500.0, start="2026-02-02T09:30")
    assert alone.path.read_bytes() == week[0].read_bytes()


def test_simulated_days_follow_each_other_and_differ(week: list[Path]) -> None:
    sources = [open_source([path], CONFIG) for path in week]
    assert [source.dt for source in sources] == [sources[0].dt + timedelta(days=i) for i in range(DAYS)]
    flows = []
    for source in sources:
        records = np.concatenate(list(source.records()))
        flow = records[records["flags"] & F_SNAPSHOT == 0]
        assert (np.diff(flow["ts_event"].astype(np.int64)) >= 0).all()
        start, end = source.window
        assert start <= flow["ts_event"][0] <= flow["ts_event"][-1] < end
        flows.append(flow["order_id"].tolist())
    assert len({tuple(flow[:50]) for flow in flows}) == DAYS


@pytest.fixture
def es(monkeypatch: pytest.MonkeyPatch) -> InstrumentConfig:
    path = REPO_ROOT / "engine" / "instruments" / "es.yaml"
    monkeypatch.setenv(INSTRUMENT_ENV, str(path))
    return load_instrument()


def test_esh4_opens_with_the_book_of_the_day_before(es: InstrumentConfig, tmp_path: Path) -> None:
    files = [shared_path(f"data/esh4-glbx-mdp3-202312{day}.mbo.dbn.zst") for day in (24, 25)]
    (pair,) = pairs_of(files, tmp_path)
    assert (pair["judged"], pair["same"], pair["n_end"], pair["n_opening"]) == (True, True, 8725, 8725)


def test_files_days_apart_are_not_judged(week: list[Path], tmp_path: Path) -> None:
    (pair,) = pairs_of([week[0], week[2]], tmp_path)
    assert (pair["judged"], pair["problem"]) == (False, "")
    assert "2 days apart" in pair["reason"]


def test_unreadable_neighbour_is_not_judged(week: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "mnq-20260203.mbo.dbn"
    bad.write_bytes(b"")
    pairs = pairs_of([week[0], bad], tmp_path)
    assert [pair["judged"] for pair in pairs] == [False]
