"""What a download will ask for: contracts by day, joined to the longest requests of one contract."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Self

from engine.errors import ConfigError, among
from engine.feed.download.vendor import Vendor
from engine.lake import Lake
from engine.source.contracts import root_of
from engine.source.rolls import Rolls, read_rolls, rolls_path

_AT_ONCE = 2_000  # symbols of one request


@dataclass(frozen=True)
class Asked:
    """One request: a contract's records on the UTC days from ``start`` until ``end``, which is not one of them."""

    dataset: str
    schema: str
    contract: str
    start: str
    end: str

    def arguments(self) -> dict[str, Any]:
        """As the client takes it: for the cost and for the data the very same."""
        return {
            "dataset": self.dataset,
            "symbols": self.contract,
            "schema": self.schema,
            "stype_in": "raw_symbol",
            "start": self.start,
            "end": self.end,
        }

    @property
    def id(self) -> str:
        """The same for the same request."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def days(self) -> list[date]:
        """Its days."""
        first = date.fromisoformat(self.start)
        return [first + timedelta(days=i) for i in range((date.fromisoformat(self.end) - first).days)]

    def by_day(self) -> list[Self]:
        """The same, a request a day."""
        kind = type(self)
        return [kind(self.dataset, self.schema, self.contract, f"{day}", f"{day + timedelta(days=1)}") for day in self.days]


def front_months(
    vendor: Vendor, lake: Lake, dataset: str, root: str, days: list[date]
) -> tuple[dict[date, tuple[str, ...]], str]:
    """The contracts that are a product's front month on each UTC day, and whose word that is.

    The roll file's where there is one; else the vendor's, by volume. By a roll file the day before a roll has two, since the new
    one's first session begins in its evening. Days on which no contract was listed are not there.

    Raises
    ------
    ConfigError
        The product is not known, or the roll file names a contract that was not listed on a day.
    """
    listed = _listed(vendor, dataset, root, days)
    path = rolls_path(lake, root)
    if path.exists():
        return _by_file(read_rolls(path), listed), f"front month by the roll file {path}"
    answer = vendor.resolve(dataset, [f"{root}.v.0"], "continuous", "instrument_id", days[0], days[-1] + timedelta(days=1))
    by_number = {(day, number): contract for day, of_day in listed.items() for contract, number in of_day.items()}
    found: dict[date, tuple[str, ...]] = {}
    for first, end, number in _spans(answer):
        for day in days:
            if first <= day < end and (day, number) in by_number:
                found[day] = (by_number[day, number],)
    return found, f"front month by the vendor's {root}.v.0 (volume), since {path} does not exist"


def contract_days(vendor: Vendor, dataset: str, contract: str, days: list[date]) -> dict[date, tuple[str, ...]]:
    """The days on which one contract was listed."""
    answer = vendor.resolve(dataset, [contract], "raw_symbol", "instrument_id", days[0], days[-1] + timedelta(days=1))
    found: dict[date, tuple[str, ...]] = {
        day: (contract,) for first, end, _ in _spans(answer) for day in days if first <= day < end
    }
    if not found:
        raise ConfigError(
            f"symbols was {contract!r}, which was listed on none of these days; give a contract or a product's root"
        )
    return found


def requests_of(contracts: Iterable[tuple[str, date]], dataset: str, schema: str) -> list[Asked]:
    """The fewest requests for some contracts' days, by their first day: days of one that follow each other are one."""
    out: list[Asked] = []
    for contract, day in sorted(contracts):
        after = f"{day + timedelta(days=1)}"
        if out and out[-1].contract == contract and out[-1].end == f"{day}":
            out[-1] = Asked(dataset, schema, contract, out[-1].start, after)
        else:
            out.append(Asked(dataset, schema, contract, f"{day}", after))
    return sorted(out, key=lambda one: (one.start, one.contract))


def _listed(vendor: Vendor, dataset: str, root: str, days: list[date]) -> dict[date, dict[str, str]]:
    """Outright contracts of a product by day, with their ids."""
    first, end = days[0], days[-1] + timedelta(days=1)
    parent = vendor.resolve(dataset, [f"{root}.FUT"], "parent", "instrument_id", first, end)
    numbers = sorted({number for _, _, number in _spans(parent)})
    if not numbers:
        raise ConfigError(f"symbols was {root!r}, of which no contract was listed on these days; give another product's root")
    listed: dict[date, dict[str, str]] = {day: {} for day in days}
    for at in range(0, len(numbers), _AT_ONCE):
        names = vendor.resolve(dataset, numbers[at : at + _AT_ONCE], "instrument_id", "raw_symbol", first, end)
        for number, spans in names["result"].items():
            for since, until, contract in _read_spans(spans):
                if root_of(contract) == root:  # not its spreads
                    for day in days:
                        if since <= day < until:
                            listed[day][contract] = number
    return listed


def _by_file(rolls: Rolls, listed: dict[date, dict[str, str]]) -> dict[date, tuple[str, ...]]:
    found = {}
    for day, of_day in listed.items():
        contracts = tuple(one.contract for one in rolls.stretches(day))
        for contract in contracts:
            if of_day and contract not in of_day:
                told = among(contract, of_day)
                raise ConfigError(f"the roll file says {contract} for {day}, which was not listed then; {told}")
        if of_day:
            found[day] = contracts
    return found


def _spans(answer: dict[str, Any]) -> Iterable[tuple[date, date, str]]:
    for spans in answer["result"].values():
        yield from _read_spans(spans)


def _read_spans(spans: list[dict[str, str]]) -> Iterable[tuple[date, date, str]]:
    for span in spans:
        if span.get("s"):
            yield date.fromisoformat(span["d0"]), date.fromisoformat(span["d1"]), str(span["s"])
