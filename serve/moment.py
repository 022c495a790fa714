"""A place in a session, as a client names it: a bin, a time, or what New York's clocks show."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from engine.constants import NS_PER_S
from engine.door import read_clock
from engine.errors import ConfigError
from engine.run.extent import Extent
from engine.run.replay import SESSION_TZ, first_bin_ns
from engine.source.records import Source

_MAX_DIGITS: Final = 15
_ZONE: Final = ZoneInfo(SESSION_TZ)


@dataclass(frozen=True)
class Moment:
    """One of the three is given; ``given`` is how the client wrote it."""

    given: str
    bin_seq: int | None = None
    ts_ns: int | None = None  # UTC
    clock: str | None = None  # HH:MM[:SS] in New York


def read_moment(text: str, name: str) -> Moment:
    """A ``bin_seq`` in digits, an ISO 8601 time (New York's where it names no zone), or ``HH:MM[:SS]`` in New York.

    Raises
    ------
    ConfigError
        It is none of them.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return Moment(text, bin_seq=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None:
        moment = moment.replace(tzinfo=_ZONE) if moment.tzinfo is None else moment
        return Moment(text, ts_ns=int(moment.timestamp()) * NS_PER_S + moment.microsecond * 1000)
    try:
        read_clock(text, name)
    except ConfigError:
        raise ConfigError(
            f"{name} was {text[:60]!r}; give a bin_seq, an ISO time like 2026-02-06T09:40:00-05:00, or HH:MM[:SS] of New York"
        ) from None
    return Moment(text, clock=text)


def bin_of(moment: Moment, extent: Extent, source: Source) -> int:
    """The bin of a session that holds a moment.

    Raises
    ------
    ConfigError
        It lies before the first bin, or beyond where the data reach.
    """
    if moment.bin_seq is not None:
        seq = moment.bin_seq
    else:
        ts_ns = moment.ts_ns if moment.ts_ns is not None else first_bin_ns(source, moment.clock or "")
        seq = extent.bin_at(ts_ns)
    last = extent.bin_at(extent.end_ns - 1)
    if not 0 <= seq <= last:
        raise ConfigError(
            f"{moment.given} lies {'before' if seq < 0 else 'behind'} this session, which reaches from {_told(extent.start_ns)} "
            f"to {_told(extent.end_ns)} at most, bins 0 to {last}; choose a place in it"
        )
    return seq


def _told(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, _ZONE).isoformat()
