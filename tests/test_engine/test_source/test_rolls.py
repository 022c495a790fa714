"""Names of contracts and the roll file: what is front when, and what is refused."""

from datetime import date
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.source.contracts import Delivery, delivery_of, root_of
from engine.source.rolls import read_rolls

TWO = """\
root: MNQ
rolls:
  - {date: 2025-12-15, from: MNQZ5, to: MNQH6, rule: calendar}
  - {date: 2026-03-16, from: MNQH6, to: MNQM6, rule: volume}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "MNQ.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("symbol", "root"),
    [
        ("MNQH6", "MNQ"),
        ("ESZ25", "ES"),
        ("6EM6", "6E"),
        ("M2KU6", "M2K"),
        ("MNQH6-MNQM6", None),
        ("MNQ.FUT", None),
        ("MNQ", None),
    ],
)
def test_root_of_an_outright_contract_only(symbol: str, root: str | None) -> None:
    assert root_of(symbol) == root


@pytest.mark.parametrize(
    ("symbol", "day", "expected"),
    [
        ("MNQH6", date(2026, 2, 6), Delivery(2026, 3)),
        ("MNQZ5", date(2026, 2, 6), Delivery(2025, 12)),  # of last year still
        ("MNQZ4", date(2026, 2, 6), Delivery(2034, 12)),
        ("MNQH0", date(2029, 12, 31), Delivery(2030, 3)),
        ("MNQH26", date(2026, 2, 6), Delivery(2026, 3)),
    ],
)
def test_year_of_one_digit_is_the_next_that_ends_so(symbol: str, day: date, expected: Delivery) -> None:
    assert delivery_of(symbol, day) == expected


@pytest.mark.parametrize(
    ("day", "front"),
    [
        (date(2025, 12, 14), "MNQZ5"),
        (date(2025, 12, 15), "MNQH6"),
        (date(2026, 3, 15), "MNQH6"),
        (date(2026, 3, 16), "MNQM6"),
        (date(2027, 1, 1), "MNQM6"),
    ],
)
def test_front_month_changes_on_the_rolls_day(day: date, front: str, tmp_path: Path) -> None:
    assert read_rolls(written(tmp_path, TWO)).front(day) == front


@pytest.mark.parametrize(
    ("change", "to", "told"),
    [
        ("root: MNQ\n", "", "root and rolls are needed"),
        ("2026-03-16", "2025-12-15", "roll 2 is of 2025-12-15, not later"),
        ("from: MNQH6", "from: MNQU6", "from MNQU6, but the one before went to MNQH6"),
        ("rule: volume", "rule: feeling", "must be one of calendar, volume"),
        ("to: MNQM6", "to: ESM6", "a contract of MNQ is needed"),
        ("to: MNQM6", "to: MNQH6", "to itself"),
        ("2026-03-16", "March", "give it as YYYY-MM-DD"),
        (", rule: volume", "", "must have the keys date, from, to, rule"),
    ],
)
def test_what_is_wrong_is_one_line(change: str, to: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        read_rolls(written(tmp_path, TWO.replace(change, to, 1)))


def test_a_file_without_rolls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one at least"):
        read_rolls(written(tmp_path, "root: MNQ\nrolls: []\n"))
