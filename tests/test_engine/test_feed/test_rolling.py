"""Rolls proposed: the exchange's own table, volumes by hand, and a file whose lines are nobody else's to change."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.errors import ConfigError
from engine.feed.rolling import by_calendar, by_volume, compare, next_trade_date, third_friday, volumes_of, write_rolls
from engine.lake import Lake
from engine.source.rolls import Roll, read_rolls
from tests.feed import FIRST, H6, IDS, M6, SECOND, SPREAD, rows_of, start_ns
from tests.streams import write_dbn

Capture = pytest.CaptureFixture[str]
H = 3600 * 10**9


def test_calendar_is_the_exchanges_table() -> None:
    """CME Group, Equity Index Roll Dates of 2014, 2022 and 2023; contracts by their months."""
    assert [(f"{one.day}", one.before, one.after) for one in by_calendar("MNQ", date(2022, 1, 1), date(2023, 7, 1))] == [
        ("2022-03-10", "MNQH2", "MNQM2"),
        ("2022-06-09", "MNQM2", "MNQU2"),
        ("2022-09-08", "MNQU2", "MNQZ2"),
        ("2022-12-08", "MNQZ2", "MNQH3"),
        ("2023-03-09", "MNQH3", "MNQM3"),
        ("2023-06-08", "MNQM3", "MNQU3"),
    ]
    assert [f"{one.day}" for one in by_calendar("ES", date(2014, 9, 1), date(2015, 1, 1))] == ["2014-09-11", "2014-12-11"]


def test_third_friday_where_the_month_begins_on_a_friday_and_on_a_saturday() -> None:
    assert third_friday(2024, 3) == date(2024, 3, 15)
    assert third_friday(2025, 3) == date(2025, 3, 21)
    assert third_friday(2026, 6) == date(2026, 6, 19)  # a holiday, on which nothing expires; the roll stays on the 11th


def test_bounds_of_a_calendar_and_other_products() -> None:
    assert [f"{one.day}" for one in by_calendar("MNQ", date(2022, 3, 10), date(2022, 6, 9))] == ["2022-03-10"]
    assert by_calendar("MNQ", date(2022, 3, 11), date(2022, 6, 9)) == []
    with pytest.raises(ConfigError, match="no calendar of rolls is known for CL; take --rule volume"):
        by_calendar("CL", date(2022, 1, 1), date(2023, 1, 1))


def day(number: int) -> date:
    return date(2026, 3, number)  # the 6th and the 13th are Fridays


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        ({9: (100, 99), 10: (100, 100), 11: (100, 101)}, [12]),  # as much is not more
        ({9: (100, 1), 13: (100, 101)}, [16]),  # from a Friday on the Monday
        ({9: (100, 1), 10: (1, 100), 11: (100, 1), 12: (1, 100)}, [11]),  # and no way back
        ({9: (100, 1), 10: (0, 500)}, []),  # a day that knows one only
        ({9: (1, 100), 10: (1, 100)}, []),  # it was past before
    ],
)
def test_volume_rolls_on_the_day_after_it_changed_sides(volumes: dict[int, tuple[int, int]], expected: list[int]) -> None:
    rolls = by_volume({day(n): {"MNQH6": of[0], "MNQM6": of[1]} for n, of in volumes.items()})
    assert rolls == [Roll(day(n), "MNQH6", "MNQM6", "volume") for n in expected]


def test_volume_rolls_to_the_later_contract_that_traded_most_and_on_from_there() -> None:
    days = {
        day(9): {"MNQH6": 50, "MNQM6": 10, "MNQU6": 1},
        day(10): {"MNQH6": 5, "MNQM6": 10, "MNQU6": 20},
        day(11): {"MNQH6": 500, "MNQM6": 400, "MNQU6": 20, "MNQZ6": 21},
    }
    assert by_volume(days) == [Roll(day(11), "MNQH6", "MNQU6", "volume"), Roll(day(12), "MNQU6", "MNQZ6", "volume")]
    assert by_volume({}) == []


def test_next_trade_date_is_a_weekday() -> None:
    assert [next_trade_date(day(n)) for n in (5, 6, 7, 8)] == [day(6), day(9), day(9), day(9)]


def test_volume_is_counted_by_trade_date_and_contract(tmp_path: Path) -> None:
    """Every tenth record is a trade of 2: of 930 a day 93, all before the evening; some are moved over 18:00 in New York."""
    rows = rows_of(FIRST).copy()
    trades = np.flatnonzero(rows["action"] == ord("T"))
    by_contract = {number: trades[rows["instrument_id"][trades] == number] for number in (H6, M6, SPREAD)}
    n_h6, n_m6 = len(by_contract[H6]), len(by_contract[M6])
    assert n_h6 + n_m6 + len(by_contract[SPREAD]) == 93
    late, on_time, early = by_contract[H6][:3]
    rows["ts_event"][late], rows["ts_event"][on_time] = start_ns(FIRST) + 23 * H, start_ns(FIRST) + 24 * H - 1
    rows["ts_event"][early] = start_ns(FIRST) + 23 * H - 1
    first = write_dbn(tmp_path / "mnq-20260205.dbn.zst", rows, IDS, FIRST)
    second = write_dbn(tmp_path / "mnq-20260206.dbn", rows_of(SECOND), IDS, SECOND)
    again = write_dbn(tmp_path / "mnq-20260206.dbn.zst", rows_of(SECOND), IDS, SECOND)  # the same packed
    assert volumes_of([first, second, again], "MNQ") == {
        FIRST: {"MNQH6": 2 * (n_h6 - 2), "MNQM6": 2 * n_m6},
        SECOND: {"MNQH6": 2 * (n_h6 + 2), "MNQM6": 2 * n_m6},
    }
    assert volumes_of([first], "ES") == {}


TEXT = """\
# mine
root: MNQ
rolls:  # by hand
  - {date: 2026-03-16, from: MNQH6, to: MNQM6, rule: volume}  # a Monday
"""
H_TO_M = Roll(date(2026, 3, 12), "MNQH6", "MNQM6", "calendar")
M_TO_U = Roll(date(2026, 6, 11), "MNQM6", "MNQU6", "calendar")
Z_TO_H = Roll(date(2025, 12, 11), "MNQZ5", "MNQH6", "calendar")


def test_lines_that_stand_are_kept_to_the_letter_and_differences_told(tmp_path: Path) -> None:
    path = tmp_path / "MNQ.yaml"
    path.write_text(TEXT)
    proposal = compare(path, [Z_TO_H, H_TO_M, M_TO_U])
    assert (proposal.new, proposal.kept) == ((Z_TO_H, M_TO_U), ())
    assert proposal.differing == ((H_TO_M, Roll(date(2026, 3, 16), "MNQH6", "MNQM6", "volume")),)
    write_rolls(path, "MNQ", proposal.new)
    lines = path.read_text().splitlines()
    assert lines[:3] + lines[4:5] == TEXT.splitlines()
    assert [lines[3], lines[5]] == [
        "  - {date: 2025-12-11, from: MNQZ5, to: MNQH6, rule: calendar}",
        "  - {date: 2026-06-11, from: MNQM6, to: MNQU6, rule: calendar}",
    ]
    assert [one.after for one in read_rolls(path).rolls] == ["MNQH6", "MNQM6", "MNQU6"]
    again = compare(path, [Z_TO_H, H_TO_M, M_TO_U])
    assert (again.new, again.kept) == ((), (Z_TO_H, M_TO_U))


@pytest.mark.parametrize(
    ("text", "new", "told"),
    [
        (
            TEXT,
            Roll(date(2026, 9, 10), "MNQU6", "MNQZ6", "calendar"),
            "do not fit into it: {date: 2026-09-10",
        ),  # one misses
        ("root: MNQ\nrolls: [{date: 2026-03-16, from: MNQH6, to: MNQM6, rule: volume}]\n", M_TO_U, "do not fit into it"),
        ("rolls:\n  - {date: 2026-03-16, from: MNQH6, to: MNQM6, rule: volume}\nroot: MNQ\n", M_TO_U, "is not valid YAML"),
    ],
)
def test_what_does_not_fit_leaves_the_file_as_it_is(text: str, new: Roll, told: str, tmp_path: Path) -> None:
    path = tmp_path / "MNQ.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        write_rolls(path, "MNQ", [new])
    assert path.read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == ["MNQ.yaml"]


def test_command_proposes_writes_and_never_writes_over(tmp_path: Path, capsys: Capture) -> None:
    lake = Lake(tmp_path)
    ask = ["rolls", "MNQ", "--start", "2026-01-01", "--end", "2026-07-01", "--lake", str(tmp_path)]
    assert main(ask) == 0
    out = capsys.readouterr().out
    assert "  - {date: 2026-03-12, from: MNQH6, to: MNQM6, rule: calendar}  # new\n" in out
    assert f"with --write they go into {tmp_path / 'rolls/MNQ.yaml'}" in out
    assert not (lake.root / "rolls").exists()
    assert main([*ask, "--write"]) == 0
    path = lake.root / "rolls/MNQ.yaml"
    assert list(read_rolls(path).rolls) == [H_TO_M, M_TO_U]
    path.write_text(path.read_text().replace("2026-03-12", "2026-03-16"))
    edited = path.read_text()
    capsys.readouterr()
    assert main([*ask, "--write", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["new"], told["written"], len(told["kept"])) == ([], False, 1)
    assert told["differing"][0]["stands"]["date"] == "2026-03-16"
    assert path.read_text() == edited


def test_command_reads_volumes_of_the_lake(tmp_path: Path, capsys: Capture) -> None:
    folder = Lake(tmp_path).raw_dir("MNQ")
    folder.mkdir(parents=True)
    rows = rows_of(FIRST).copy()
    rows["size"][(rows["action"] == ord("T")) & (rows["instrument_id"] == M6)] = 1000
    for name, content, of in (("a-20260205.dbn", rows_of(FIRST), FIRST), ("b-20260206.dbn", None, SECOND)):
        if content is None:
            content = rows_of(SECOND).copy()
            content["size"][(content["action"] == ord("T")) & (content["instrument_id"] == M6)] = 1000
        write_dbn(folder / name, content, IDS, of)
    assert main(["rolls", "MNQ", "--rule", "volume", "--lake", str(tmp_path), "--write"]) == 0
    assert "{date: 2026-02-09, from: MNQH6, to: MNQM6, rule: volume}  # written" in capsys.readouterr().out  # Monday


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--rule", "volume"], "--rule volume needs raw files"),
        (["--rule", "volume", "--start", "2026-01-01"], "--start and --end are of --rule calendar"),
        (["--files", "some.dbn"], "--rule calendar reads no file; add --rule volume"),
        (["--start", "2026-01-02", "--end", "2026-01-02"], "is not after --start"),
    ],
)
def test_command_refuses_in_one_line(more: list[str], told: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["rolls", "MNQ", "--lake", str(tmp_path), *more]) == 2
    assert told in capsys.readouterr().err
