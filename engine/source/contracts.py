"""Names of futures contracts: root, month and year of delivery.

Source: Databento, symbology: raw symbols of GLBX.MDP3 are those of the exchange, a root, a letter of the month, one or two digits
of the year.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from engine.errors import ConfigError

MONTHS: Final = "FGHJKMNQUVXZ"
_OUTRIGHT: Final = re.compile(rf"([A-Z0-9]+?)([{MONTHS}])(\d{{1,2}})")


@dataclass(frozen=True, order=True)
class Delivery:
    """When a contract is delivered; contracts sort by it."""

    year: int
    month: int


def root_of(symbol: str) -> str | None:
    """The root of an outright contract, as ``MNQ`` of ``MNQH6``; None of a spread, a parent or anything else."""
    found = _OUTRIGHT.fullmatch(symbol)
    return found[1] if found else None


def delivery_of(symbol: str, day: date) -> Delivery:
    """When a contract that traded on ``day`` is delivered: a year of one digit is the next that ends so.

    Raises
    ------
    ConfigError
        It is no outright contract.
    """
    found = _OUTRIGHT.fullmatch(symbol)
    if not found:
        raise ConfigError(f"contract was {symbol!r}; a root, a month's letter and a year are needed, like MNQH6")
    digits = found[3]
    span = 10 ** len(digits)
    year = day.year // span * span + int(digits)
    if year < day.year - 1:  # a contract just delivered may still be spoken of
        year += span
    return Delivery(year, MONTHS.index(found[2]) + 1)
