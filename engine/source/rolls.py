"""The roll file of a product: from which day on which contract is the front month, and by which rule that was decided.

``lake/rolls/<ROOT>.yaml``::

    root: MNQ
    rolls:
      - {date: 2026-03-16, from: MNQH6, to: MNQM6, rule: volume}

``date`` is the first day of the new contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from engine.errors import ConfigError
from engine.source.contracts import root_of
from engine.files import read_yaml

RULES: Final = ("calendar", "volume")
_KEYS: Final = ("date", "from", "to", "rule")


@dataclass(frozen=True)
class Roll:
    """From ``day`` on ``after`` is the front month, before it ``before`` was."""

    day: date
    before: str
    after: str
    rule: str


@dataclass(frozen=True)
class Rolls:
    """The rolls of a product, ascending; each begins with the contract that the one before ended with."""

    root: str
    rolls: Sequence[Roll]

    def front(self, day: date) -> str:
        """The front month's contract on a day."""
        passed = [one for one in self.rolls if one.day <= day]
        return passed[-1].after if passed else self.rolls[0].before


def read_rolls(path: Path) -> Rolls:
    """A roll file.

    Raises
    ------
    ConfigError
        One line: what is wrong, where, and what is allowed.
    """
    values = read_yaml(path)
    if set(values) != {"root", "rolls"}:
        raise ConfigError(f"{path} has the keys {', '.join(map(str, values))}; root and rolls are needed, and no other")
    root, given = str(values["root"]), values["rolls"]
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{path} has no rolls; give a list of {{{', '.join(_KEYS)}}}, one at least")
    rolls = [_read_roll(path, root, number, one) for number, one in enumerate(given, 1)]
    for number, (one, next_one) in enumerate(pairwise(rolls), 2):
        if next_one.day <= one.day:
            raise ConfigError(f"{path}: roll {number} is of {next_one.day}, not later than the one before; sort them by date")
        if next_one.before != one.after:
            raise ConfigError(f"{path}: roll {number} is from {next_one.before}, but the one before went to {one.after}")
    return Rolls(root, rolls)


def _read_roll(path: Path, root: str, number: int, given: Any) -> Roll:
    where = f"{path}: roll {number}"
    if not isinstance(given, dict) or set(given) != set(_KEYS):
        raise ConfigError(f"{where} must have the keys {', '.join(_KEYS)}, and no other")
    try:
        day = date.fromisoformat(str(given["date"]))
    except ValueError:
        raise ConfigError(f"{where} has the date {given['date']!r}; give it as YYYY-MM-DD") from None
    for key in ("from", "to"):
        if root_of(str(given[key])) != root:
            raise ConfigError(f"{where} has {key}: {given[key]!r}; a contract of {root} is needed, like {root}H6")
    if given["from"] == given["to"]:
        raise ConfigError(f"{where} goes from {given['from']} to itself")
    if given["rule"] not in RULES:
        raise ConfigError(f"{where} has rule: {given['rule']!r}; it must be one of {', '.join(RULES)}")
    return Roll(day, str(given["from"]), str(given["to"]), str(given["rule"]))
