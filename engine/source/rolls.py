"""The roll file of a product: from which day on which contract is the front month, and by which rule that was decided.

``lake/rolls/<ROOT>.yaml``::

    root: MNQ
    rolls:
      - {date: 2026-03-16, from: MNQH6, to: MNQM6, rule: volume}

``date`` is the first trade date of the new contract: from 18:00 in New York the evening before on it is the front month. So a
trading day has one contract, and the UTC day before the date two.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from engine.errors import ConfigError, DatasetError
from engine.files import read_yaml
from engine.hours import TRADING_DAY, UTC_DAY, SessionKind, session_window, trade_date_of
from engine.lake import Lake
from engine.source.contracts import root_of

RULES: Final = ("calendar", "volume")
_KEYS: Final = ("date", "from", "to", "rule")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True)
class Roll:
    """From the trade date ``day`` on ``after`` is the front month, before it ``before`` was."""

    day: date
    before: str
    after: str
    rule: str

    @property
    def at_ns(self) -> int:
        """When it is: the start of the trade date's session, UTC ns."""
        return session_window(self.day, TRADING_DAY)[0]


@dataclass(frozen=True)
class Stretch:
    """What of a session is one contract's: from ``start_ns`` until ``end_ns``, UTC ns.

    ``contract`` is empty where nobody asked for a product's front month. ``is_after_roll``: it begins where a roll is, so that
    its first bin is the contract's first.
    """

    kind: SessionKind
    start_ns: int
    end_ns: int
    contract: str = ""
    is_after_roll: bool = False

    def opens_with_roll(self, first_bin: int | None) -> bool:
        """Whether the first bin of a run is the contract's first as the front month: it starts there, or with the first event."""
        return self.is_after_roll and first_bin in (None, self.start_ns)

    @classmethod
    def whole(cls, dt: date, kind: SessionKind = UTC_DAY, contract: str = "") -> Self:
        """All of a session."""
        return cls(kind, *session_window(dt, kind), contract)


@dataclass(frozen=True)
class Rolls:
    """The rolls of a product, ascending; each begins with the contract that the one before ended with.

    Before the first roll its ``from`` is the front month, after the last one its ``to``, however long: who asks for a day far
    beyond it gets a contract that nothing is known of.
    """

    root: str
    rolls: Sequence[Roll]

    def front(self, day: date) -> str:
        """The front month's contract on a trade date."""
        passed = [one for one in self.rolls if one.day <= day]
        return passed[-1].after if passed else self.rolls[0].before

    def front_at(self, ts_ns: int) -> str:
        """The front month's contract at a time, UTC ns."""
        return self.front(trade_date_of(ts_ns))

    def stretches(self, dt: date, kind: SessionKind = UTC_DAY) -> list[Stretch]:
        """A session cut by contract, in order: one stretch, or one more for each roll in it."""
        start, end = session_window(dt, kind)
        begins = [start, *(one.at_ns for one in self.rolls if start < one.at_ns < end)]
        rolls = {one.at_ns for one in self.rolls}
        return [
            Stretch(kind, since, until, self.front_at(since), since in rolls)
            for since, until in zip(begins, [*begins[1:], end], strict=True)
        ]


def rolls_path(lake: Lake, root: str) -> Path:
    """Where a product's roll file lies."""
    return lake.root / "rolls" / f"{root}.yaml"


def require_rolls(lake: Lake, root: str) -> Rolls:
    """A product's rolls.

    Raises
    ------
    DatasetError
        There is no roll file; the line says how to get one.
    ConfigError
        It is none, or another product's.
    """
    path = rolls_path(lake, root)
    if not path.exists():
        raise DatasetError(
            f"the contract of {root} depends on its rolls and {path} does not exist; write it with "
            f"python -m engine rolls {root} --write, or name a contract"
        )
    return read_rolls(path)


def read_rolls(path: Path) -> Rolls:
    """A roll file.

    Raises
    ------
    ConfigError
        One line: what is wrong, where, and what is allowed.
    """
    return check_rolls(read_yaml(path), path)


def check_rolls(values: Mapping[str, Any], path: Path) -> Rolls:
    """The same of what a file holds, or would hold."""
    if set(values) != {"root", "rolls"}:
        raise ConfigError(f"{path} has the keys {', '.join(map(str, values))}; root and rolls are needed, and no other")
    root, given = str(values["root"]), values["rolls"]
    if root != path.stem:
        raise ConfigError(f"{path} has root: {root}; it must be {path.stem}, by which the file is called")
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
    for key in _KEYS:
        if not isinstance(given[key], str):
            raise ConfigError(f"{where} has {key}: {given[key]!r}; a text is needed, in quotes if need be")
    try:
        if not _DAY.fullmatch(given["date"]):
            raise ValueError(given["date"])
        day = date.fromisoformat(given["date"])
    except ValueError:
        raise ConfigError(f"{where} has the date {given['date']!r}; give it as YYYY-MM-DD") from None
    for key in ("from", "to"):
        if root_of(given[key]) != root:
            raise ConfigError(f"{where} has {key}: {given[key]!r}; a contract of {root} is needed, like {root}H6")
    if given["from"] == given["to"]:
        raise ConfigError(f"{where} goes from {given['from']} to itself")
    if given["rule"] not in RULES:
        raise ConfigError(f"{where} has rule: {given['rule']!r}; it must be one of {', '.join(RULES)}")
    return Roll(day, given["from"], given["to"], given["rule"])
