"""Whose records a session's request means: rolls by trade date, files by UTC day, one contract a stretch."""

import datetime as dt
from pathlib import Path

import pytest

from engine.commands.record import _contract
from engine.config import load_instrument
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake, raw_file
from engine.run.cut import cut
from engine.source.rolls import Stretch, read_rolls
from engine.source.sessions import wanted
from tests.feed import start_ns

CONFIG = load_instrument()
H = 3600 * 10**9
BIN = 10**9
ROLLS = """\
root: MNQ
rolls:
  - {date: 2025-12-15, from: MNQZ5, to: MNQH6, rule: calendar}
  - {date: 2026-02-06, from: MNQH6, to: MNQM6, rule: volume}
  - {date: 2026-07-01, from: MNQM6, to: MNQU6, rule: volume}
"""
FOURTH, FIFTH, SIXTH, SEVENTH = (dt.date(2026, 2, day) for day in (4, 5, 6, 7))


def lake_with_rolls(tmp_path: Path, *files: str) -> Lake:
    lake = Lake(tmp_path)
    (tmp_path / "rolls").mkdir()
    (tmp_path / "rolls/MNQ.yaml").write_text(ROLLS)
    lake.raw_dir("MNQ").mkdir(parents=True)
    for name in files:
        (lake.raw_dir("MNQ") / name).write_bytes(b"")
    return lake


@pytest.mark.parametrize(
    ("ns", "front"),
    [
        (start_ns(FIFTH) + 23 * H - 1, "MNQH6"),  # 17:59:59 in New York
        (start_ns(FIFTH) + 23 * H, "MNQM6"),
        (start_ns(dt.date(2026, 6, 30)) + 22 * H - 1, "MNQM6"),  # in summer an hour earlier by UTC
        (start_ns(dt.date(2026, 6, 30)) + 22 * H, "MNQU6"),
        (0, "MNQZ5"),
    ],
)
def test_front_month_changes_where_the_trade_dates_session_begins(ns: int, front: str, tmp_path: Path) -> None:
    lake_with_rolls(tmp_path)
    assert read_rolls(tmp_path / "rolls/MNQ.yaml").front_at(ns) == front


@pytest.mark.parametrize(
    ("day", "kind", "expected"),
    [
        (FOURTH, "utc_day", [("MNQH6", 0, 24, False)]),
        (FIFTH, "utc_day", [("MNQH6", 0, 23, False), ("MNQM6", 23, 24, True)]),
        (SIXTH, "utc_day", [("MNQM6", 0, 24, False)]),
        (FIFTH, "trading_day", [("MNQH6", -1, 22, False)]),
        (SIXTH, "trading_day", [("MNQM6", -1, 22, True)]),  # it begins with the roll
        (SEVENTH, "trading_day", [("MNQM6", -1, 22, False)]),
    ],
)
def test_a_session_is_cut_where_its_contract_changes(
    day: dt.date, kind: str, expected: list[tuple[str, int, int, bool]], tmp_path: Path
) -> None:
    found = wanted(lake_with_rolls(tmp_path), CONFIG, "MNQ", day, kind)  # type: ignore[arg-type]
    begin = start_ns(day)
    assert [
        (one.config.symbol, (one.stretch.start_ns - begin) / H, (one.stretch.end_ns - begin) / H, one.stretch.is_after_roll)
        for one in found
    ] == expected
    assert [one.stretch.contract for one in found] == [one.config.symbol for one in found]


@pytest.mark.parametrize("symbol", [None, "MNQH6"])
def test_a_contract_by_its_name_is_the_whole_session_whatever_rolls(symbol: str | None, tmp_path: Path) -> None:
    (one,) = wanted(lake_with_rolls(tmp_path), CONFIG, symbol, FIFTH)
    assert one.config is CONFIG
    assert (one.stretch.start_ns, one.stretch.end_ns, one.stretch.is_after_roll) == (start_ns(FIFTH), start_ns(SIXTH), False)


def test_another_instrument_and_a_missing_roll_file_are_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(ConfigError, match="ES was asked for, but this environment is locked to future_mbo:MNQH6"):
        wanted(lake, CONFIG, "ES", FIFTH)
    with pytest.raises(DatasetError, match=r"rolls/MNQ.yaml does not exist; write it with python -m engine rolls MNQ --write"):
        wanted(lake, CONFIG, "MNQ", FIFTH)


def test_files_of_a_trading_day_are_those_of_two_utc_days_in_order(tmp_path: Path) -> None:
    lake = lake_with_rolls(tmp_path, "mnqm6-20260205.dbn", "mnqh6-20260205.dbn", "mnqm6-20260206.dbn", "mnqh6-20260206.dbn")

    def names(symbol: str | None, day: dt.date, kind: str) -> list[list[str]]:
        return [[path.name for path in one.files(lake)] for one in wanted(lake, CONFIG, symbol, day, kind)]  # type: ignore[arg-type]

    assert names("MNQ", SIXTH, "trading_day") == [["mnqm6-20260205.dbn", "mnqm6-20260206.dbn"]]
    assert names(None, SIXTH, "trading_day") == [["mnqh6-20260205.dbn", "mnqh6-20260206.dbn"]]
    assert names("MNQ", FIFTH, "utc_day") == [["mnqh6-20260205.dbn"], ["mnqm6-20260205.dbn"]]
    assert names("MNQ", SIXTH, "utc_day") == [["mnqm6-20260206.dbn"]]
    with pytest.raises(DatasetError, match="dt was 2026-02-07 and .* no file of that day"):
        names("MNQ", SEVENTH, "trading_day")
    with pytest.raises(DatasetError, match="dt was 2026-02-04 and .* no file of that day"):
        names("MNQ", FIFTH, "trading_day")  # the evening before is part of it


def test_a_file_of_another_contract_is_never_taken_for_it(tmp_path: Path) -> None:
    lake = lake_with_rolls(tmp_path, "mnqm6-20260205.dbn", "mnqh60-20260206.dbn", "all-20260206.dbn")
    with pytest.raises(DatasetError, match=r"no file of that day \(there"):
        raw_file(lake, "MNQ", "2026-02-05", "MNQH6")
    assert raw_file(lake, "MNQ", "2026-02-06", "MNQH6").name == "all-20260206.dbn"  # of nobody by its name
    assert raw_file(lake, "MNQ", "2026-02-05").name == "mnqm6-20260205.dbn"


@pytest.mark.parametrize(
    ("start", "n_bins", "expected"),
    [
        (None, None, [("MNQH6", None, None), ("MNQM6", None, None)]),
        ("09:30", None, [("MNQH6", "09:30", None), ("MNQM6", "18:00:00", None)]),
        ("17:59:58", 2, [("MNQH6", "17:59:58", 2)]),  # to the roll and not beyond
        ("17:59:58", 3, [("MNQH6", "17:59:58", 2), ("MNQM6", "18:00:00", 1)]),
        ("18:00", 3, [("MNQM6", "18:00", 3)]),
        ("18:30", None, [("MNQM6", "18:30", None)]),
    ],
)
def test_what_is_asked_over_a_roll_is_two_parts(
    start: str | None, n_bins: int | None, expected: list[tuple[str, str | None, int | None]], tmp_path: Path
) -> None:
    parts = cut(wanted(lake_with_rolls(tmp_path), CONFIG, "MNQ", FIFTH), start, n_bins, BIN)
    assert [(part.one.config.symbol, part.start_time, part.n_bins) for part in parts] == expected


def test_bins_over_a_roll_need_a_start_and_one_contract_needs_none(tmp_path: Path) -> None:
    lake = lake_with_rolls(tmp_path)
    with pytest.raises(ConfigError, match="3 bins were asked for from the first event on, and MNQM6 becomes the front month"):
        cut(wanted(lake, CONFIG, "MNQ", FIFTH), None, 3, BIN)
    (part,) = cut(wanted(lake, CONFIG, "MNQ", SIXTH), None, 3, BIN)
    assert (part.start_time, part.n_bins) == (None, 3)


@pytest.mark.parametrize(
    ("first", "is_after", "expected"), [(None, True, True), (100, True, True), (101, True, False), (None, False, False)]
)
def test_only_the_first_bin_of_the_contract_tells_of_the_roll(first: int | None, is_after: bool, expected: bool) -> None:
    assert Stretch("utc_day", 100, 200, is_after_roll=is_after).opens_with_roll(first) is expected


def test_a_recorder_of_a_product_records_the_front_month_of_now(tmp_path: Path) -> None:
    """Whatever now is: of a roll file whose only roll is long past the contract after it, of one far ahead the one before."""
    lake = lake_with_rolls(tmp_path)
    path = tmp_path / "rolls/MNQ.yaml"
    for day, front in (("2001-01-02", "MNQM6"), ("2999-01-02", "MNQH6")):
        path.write_text(f"root: MNQ\nrolls:\n  - {{date: {day}, from: MNQH6, to: MNQM6, rule: calendar}}\n")
        assert _contract(lake, "MNQ") == front
    assert _contract(lake, "MNQU6") == "MNQU6"
    path.unlink()
    with pytest.raises(DatasetError, match="MNQ.yaml does not exist"):
        _contract(lake, "MNQ")
