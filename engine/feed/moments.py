"""Moments as the vendor and its client write them."""

import re
from datetime import UTC, datetime
from typing import Final

from engine.constants import NS_PER_S

_FORM: Final = re.compile(r"([^.]*?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DAY_LETTERS: Final = len("2026-02-06")


def iso_ns(text: str) -> int:
    """UTC nanoseconds of an ISO 8601 moment or day, UTC without an offset; to the nanosecond, which the library does not read.

    Raises
    ------
    ValueError
        It is none.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(text)
    plain, fraction, zone = found.groups()
    if len(plain) == _DAY_LETTERS and not zone:
        plain += "T00:00:00"
    moment = datetime.fromisoformat(plain + (zone or "Z"))
    return int(moment.astimezone(UTC).timestamp()) * NS_PER_S + int((fraction or "").ljust(9, "0"))
