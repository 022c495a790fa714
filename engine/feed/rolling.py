"""Rolls proposed: by the calendar of an expiry, or by the volume that was traded; written without touching what somebody wrote.

Source: CME Group, "Equity Index Roll Dates": by convention a quarterly contract is rolled eight calendar days before it
expires on the third Friday of its month, and from that day on the next one is the lead month.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from engine.constants import ACTION_TRADE, NS_PER_DAY, UNDEF_TIMESTAMP
from engine.errors import ConfigError
from engine.feed.dbn_stream import DbnStream
from engine.feed.gateway.tape import contracts_of
from engine.files import load_yaml, write_atomic
from engine.hours import PRODUCTS, TRADING_DAY, session_window, trade_date_of
from engine.schema import Ints
from engine.source.contracts import MONTHS, delivery_of, root_of
from engine.source.identity import day_start_ns
from engine.source.rolls import Roll, check_rolls, read_rolls

_QUARTERS: Final = (3, 6, 9, 12)
_FRIDAY: Final = 4
_BEFORE_EXPIRY: Final = timedelta(days=8)

Volumes = Mapping[date, Mapping[str, int]]  # trade date -> contract -> contracts traded


def by_calendar(root: str, start: date, end: date) -> list[Roll]:
    """The rolls of an equity index's product on the trade dates from ``start`` until ``end``, which is not one of them.

    Raises
    ------
    ConfigError
        It is another product, whose contracts expire by rules of their own.
    """
    if PRODUCTS.get(root) != "equity":
        raise ConfigError(f"no calendar of rolls is known for {root}; take --rule volume, or write the roll file by hand")
    found = []
    for year in range(start.year, end.year + 1):
        for i, month in enumerate(_QUARTERS):
            day = third_friday(year, month) - _BEFORE_EXPIRY
            if start <= day < end:
                after = (year, _QUARTERS[i + 1]) if i < 3 else (year + 1, _QUARTERS[0])
                found.append(Roll(day, _name(root, year, month), _name(root, *after), "calendar"))
    return found


def third_friday(year: int, month: int) -> date:
    """When an equity index's contract of that month expires, but for holidays, which move no roll."""
    first = date(year, month, 1)
    return first + timedelta(days=(_FRIDAY - first.weekday()) % 7 + 14)


def _name(root: str, year: int, month: int) -> str:
    return f"{root}{MONTHS[month - 1]}{year % 10}"


def volumes_of(paths: Iterable[Path], root: str) -> Volumes:
    """Contracts traded by trade date and outright contract of a product, from files of the vendor's history.

    Two files of the same day hold the same trades only if they are of other contracts; one that is there packed and plain counts
    once, by its name.

    Raises
    ------
    SourceError
        A file is damaged, or does not say whose records it holds.
    """
    by_stem = {path.with_name(path.name.removesuffix(".zst")): path for path in sorted(paths)}
    totals: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in by_stem.values():
        stream = DbnStream(path)
        names = [one for one in contracts_of(path, stream.metadata) if root_of(one.symbol) == root]
        for records in stream.records():
            trades = records[(records["action"] == ACTION_TRADE) & (records["ts_event"] != UNDEF_TIMESTAMP)]
            for one in names:
                own = trades[trades["instrument_id"] == one.instrument_id]
                since, until = day_start_ns(one.first), day_start_ns(one.end)
                own = own[(own["ts_recv"] >= since) & (own["ts_recv"] < until)]
                for day, size in _by_trade_date(own["ts_event"].astype(np.int64), own["size"].astype(np.int64)):
                    totals[day][one.symbol] += size
    return {day: dict(of_day) for day, of_day in sorted(totals.items())}


def _by_trade_date(times: Ints, sizes: Ints) -> list[tuple[date, int]]:
    """Sizes summed by trade date, of which a UTC day has two."""
    found: dict[date, int] = defaultdict(int)
    for number in np.unique(times // NS_PER_DAY).tolist():
        of_day = times // NS_PER_DAY == number
        first = trade_date_of(number * NS_PER_DAY)
        turn = session_window(first + timedelta(days=1), TRADING_DAY)[0]
        late = of_day & (times >= turn)
        found[first] += int(sizes[of_day & ~late].sum())
        found[first + timedelta(days=1)] += int(sizes[late].sum())
    return [(day, size) for day, size in found.items() if size]


def by_volume(volumes: Volumes) -> list[Roll]:
    """The rolls that trading shows: on the trade date after the first on which a later contract traded more than the present one.

    So a roll depends on nothing that was not known when its session began. The present contract is at first the one that traded
    most; there is no way back to an earlier one, and a day that knows only one of the two decides nothing.
    """
    days = sorted(volumes)
    if not days:
        return []
    of_first = volumes[days[0]]
    present = max(of_first, key=lambda name: (of_first[name], name))
    found = []
    for day in days:
        of_day = volumes[day]
        later = [name for name in of_day if delivery_of(name, day) > delivery_of(present, day)]
        if not later or not of_day.get(present):
            continue
        rival = max(later, key=lambda name: of_day[name])
        if of_day[rival] > of_day[present]:
            found.append(Roll(next_trade_date(day), present, rival, "volume"))
            present = rival
    return found


def next_trade_date(day: date) -> date:
    """The weekday after a trade date."""
    day += timedelta(days=1)
    while day.weekday() > _FRIDAY:
        day += timedelta(days=1)
    return day


@dataclass(frozen=True)
class Proposal:
    """Rolls beside a roll file: ``new`` are not in it, ``kept`` are, ``differing`` are of a contract that it rolls otherwise."""

    new: tuple[Roll, ...]
    kept: tuple[Roll, ...]
    differing: tuple[tuple[Roll, Roll], ...]  # what was proposed, and what stands there


def compare(path: Path, proposed: Sequence[Roll]) -> Proposal:
    """What a roll file lacks of some rolls; everything is new where there is none.

    Raises
    ------
    ConfigError
        What lies there is no roll file.
    """
    standing = list(read_rolls(path).rolls) if path.exists() else []
    new, kept, differing = [], [], []
    for one in proposed:
        rivals = [other for other in standing if other.before == one.before or other.after == one.after]
        if not rivals:
            new.append(one)
        elif rivals[0] == one:
            kept.append(one)
        else:
            differing.append((one, rivals[0]))
    return Proposal(tuple(new), tuple(kept), tuple(differing))


def line_of(roll: Roll) -> str:
    """A roll as it stands in the file."""
    return f"  - {{date: {roll.day}, from: {roll.before}, to: {roll.after}, rule: {roll.rule}}}"


def write_rolls(path: Path, root: str, new: Sequence[Roll]) -> None:
    """Put new rolls into a roll file, each on a line of its own; the lines that stand there, comments too, stay as they are.

    Raises
    ------
    ConfigError
        They do not fit to what stands there, or its layout leaves no place for a line; the file is left as it is.
    """
    if not new:
        return
    if path.exists():
        lines = path.read_text().splitlines()
        standing = list(read_rolls(path).rolls)
    else:
        lines, standing = [f"root: {root}", "rolls:"], []
    at = next((i for i, line in enumerate(lines) if line.split("#")[0].rstrip() == "rolls:"), None)
    before = [one for one in new if standing and one.day < standing[0].day]
    behind = [one for one in new if one not in before]
    wanted = [*before, *standing, *behind]
    if at is None or any(a.day >= b.day or a.after != b.before for a, b in pairwise(wanted)):
        told = "; ".join(line_of(one).strip(" -") for one in new)
        raise ConfigError(f"{path} stays as it is, since these rolls do not fit into it: {told}. Write them there by hand")
    lines[at + 1 : at + 1] = [line_of(one) for one in before]
    lines += [line_of(one) for one in behind]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    if list(check_rolls(load_yaml(text, f"{path} with the new rolls"), path).rolls) != wanted:
        raise ConfigError(f"{path} stays as it is, since its last lines are no list of rolls; write the new ones by hand")
    write_atomic(path, text.encode())
