"""When the exchange trades: open intervals of a contract's product, and the day that a session is.

The calendar is a kept library's; daylight saving, half days and the maintenance hour are its business. What it does not know of
stands in a dated file of ours over it, ``engine/calendar.yaml``, and what neither knows in one of the user's own, named by
``SPYMASTER_CALENDAR``. `calendar_version` says which of them judged.

Source: CME Group, Globex trading hours: a trading day goes from 17:00 to 16:00 in Chicago, which is 18:00 to 17:00 in New York.
"""

import io
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np

from engine.constants import NS_PER_S
from engine.errors import ConfigError
from engine.files import read_yaml, write_atomic
from engine.jit import cache_dir
from engine.lake import user_path
from engine.schema import Ints

CALENDAR_ENV: Final = "SPYMASTER_CALENDAR"
LIBRARY: Final = "pandas_market_calendars"
_SHIPPED: Final = Path(__file__).resolve().parent / "calendar.yaml"
# Products that trade at the same hours -> their calendar in the library.
CALENDARS: Final = {
    "equity": "CME Globex Equity",
    "rates": "CME Globex Interest Rate Products",
    "energy": "CMEGlobex_CrudeAndRefined",
}
# Product root -> products; a root that is not here has unknown hours.
PRODUCTS: Final[dict[str, str]] = {
    **dict.fromkeys(("ES", "MES", "NQ", "MNQ", "RTY", "M2K", "YM", "MYM"), "equity"),
    **dict.fromkeys(("CL", "MCL", "NG", "GC", "MGC", "SI", "HG"), "energy"),
    **dict.fromkeys(("ZB", "ZN", "ZF", "ZT", "UB"), "rates"),
}
_KEYS: Final = ("products", "date", "close", "source")
_CLOSED: Final = "closed"
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

SessionKind = Literal["utc_day", "trading_day"]
SESSION_KINDS: Final[tuple[SessionKind, ...]] = get_args(SessionKind)
UTC_DAY: Final = "utc_day"
TRADING_DAY: Final = "trading_day"
_NEW_YORK: Final = ZoneInfo("America/New_York")
OPENS: Final = time(18)  # of the evening before a trade date, New York
CLOSES: Final = time(17)

Close = dict[tuple[str, date], time | None]


# --- the day that a session is ---


def read_session_kind(text: str, name: str = "session") -> SessionKind:
    """The kind of a session by its name.

    Raises
    ------
    ConfigError
        There is no such kind.
    """
    for kind in SESSION_KINDS:
        if text == kind:
            return kind
    raise ConfigError(f"{name} was {text[:40]!r}; it must be one of {', '.join(SESSION_KINDS)}")


def session_window(dt: date, kind: SessionKind = UTC_DAY) -> tuple[int, int]:
    """Where a session begins and ends, UTC ns: its start belongs to it, its end does not.

    Parameters
    ----------
    dt
        The UTC day; or the trade date, whose session begins at 18:00 in New York the evening before and ends at 17:00. It is one
        by the clock, whether the exchange trades or not: on a holiday's Monday it holds what trades before the halt.
    """
    if kind == TRADING_DAY:
        return _new_york_ns(dt - timedelta(days=1), OPENS), _new_york_ns(dt, CLOSES)
    start = int(datetime.combine(dt, time(), UTC).timestamp())
    return start * NS_PER_S, (start + 86_400) * NS_PER_S


def trade_date_of(ts_ns: int) -> date:
    """The trade date of a time, UTC ns: from 18:00 in New York on it is the next day; the hour before is the day's own."""
    local = datetime.fromtimestamp(ts_ns // NS_PER_S, _NEW_YORK)
    return local.date() + timedelta(days=local.time() >= OPENS)


def utc_days(dt: date, kind: SessionKind) -> tuple[date, ...]:
    """The UTC days that a session lies in, in order; the vendor's files are cut by them."""
    return (dt - timedelta(days=1), dt) if kind == TRADING_DAY else (dt,)


def _new_york_ns(day: date, clock: time) -> int:
    return int(datetime.combine(day, clock, _NEW_YORK).timestamp()) * NS_PER_S


# --- open intervals ---


def open_intervals_of(symbol_root: str, days: Sequence[date]) -> Ints:
    """The same of any days and their neighbours, shape (m, 2); each interval once, ascending."""
    spans = [open_intervals(symbol_root, day) for day in days]
    return np.unique(np.concatenate([np.zeros((0, 2), np.int64), *spans]), axis=0)


def open_intervals(symbol_root: str, dt: date) -> Ints:
    """UTC nanoseconds of open trading from the day before ``dt`` to the day after.

    Returns
    -------
    NDArray[np.int64], shape (m, 2)
        Start and end of each interval, ascending; empty when the product's hours are not known.

    Raises
    ------
    ConfigError
        The file that ``SPYMASTER_CALENDAR`` names cannot be used.
    """
    products = PRODUCTS.get(symbol_root)
    return np.zeros((0, 2), np.int64) if products is None else _intervals(products, dt, _own_file())


def calendar_version(symbol_root: str) -> dict[str, str] | None:
    """Which calendar says when a product trades: its name, the library and its version, a hash of the closes over it.

    None where the product's hours are not known. Two datasets or recordings with the same were judged by the same hours.
    """
    products = PRODUCTS.get(symbol_root)
    if products is None:
        return None
    return {"calendar": CALENDARS[products], "library": f"{LIBRARY} {version(LIBRARY)}", "closes": _hash_of(closes(_own_file()))}


@cache
def _intervals(products: str, dt: date, own: Path | None) -> Ints:
    over = closes(own)
    kept = Path(cache_dir()) / "calendars" / f"{products}_{dt:%Y%m%d}_{version(LIBRARY)}_{_hash_of(over)}.npy"
    try:
        return np.asarray(np.load(kept), np.int64).reshape(-1, 2)
    except (OSError, ValueError):
        pass  # not kept, or damaged: made anew
    intervals = _scheduled(products, dt, over)
    with suppress(OSError):  # a cache that cannot be written costs time only
        kept.parent.mkdir(exist_ok=True)
        write_atomic(kept, _as_bytes(intervals))
    return intervals


def _scheduled(products: str, dt: date, over: Close) -> Ints:
    """The library's own word and ours over it; the library takes a second to load, hence the cache."""
    import pandas_market_calendars

    calendar = pandas_market_calendars.get_calendar(CALENDARS[products])
    schedule = calendar.schedule((dt - timedelta(days=1)).isoformat(), (dt + timedelta(days=2)).isoformat())
    spans = []
    for row in schedule.itertuples():
        trade_date = row.Index.date()
        closed = over.get((products, trade_date), row.market_close)
        if closed is not None:
            end = closed if closed is row.market_close else datetime.combine(trade_date, closed, calendar.tz)
            spans.append([int(row.market_open.timestamp()), int(end.timestamp())])
    return np.array(spans, np.int64).reshape(-1, 2) * NS_PER_S


def _as_bytes(intervals: Ints) -> bytes:
    file = io.BytesIO()
    np.save(file, intervals)
    return file.getvalue()


# --- what stands over the library ---


def _own_file() -> Path | None:
    given = os.environ.get(CALENDAR_ENV)
    return user_path(given).resolve() if given else None


@cache
def closes(own: Path | None = None) -> Close:
    """(products, trade date) -> when trading ended that day, Chicago time; None: there was none.

    Those that are shipped, and over them the user's own. Read once in a process.

    Raises
    ------
    ConfigError
        A file is not one of closes; the line says what is allowed.
    """
    shipped = read_closes(_SHIPPED)
    return shipped if own is None else shipped | read_closes(own)


def read_closes(path: Path) -> Close:
    """The closes of one file, as ``engine/calendar.yaml`` is laid out.

    Raises
    ------
    ConfigError
        One line: what is wrong, where, and what is allowed.
    """
    values = read_yaml(path)
    if set(values) != {"exchange", "closes"}:
        raise ConfigError(f"{path} has the keys {', '.join(map(str, values))}; exchange and closes are needed, and no other")
    if values["exchange"] != "CME":
        raise ConfigError(f"{path} is of exchange {values['exchange']!r}; it must be CME, the one whose calendars are known")
    given = values["closes"]
    if not isinstance(given, list):
        raise ConfigError(f"{path} has closes: {given!r}; give a list of {{{', '.join(_KEYS)}}}")
    found: Close = {}
    for number, one in enumerate(given, 1):
        key, close = _read_close(f"{path}: close {number}", one)
        if key in found:
            raise ConfigError(f"{path}: close {number} is of {key[0]} on {key[1]} as one before is; give each day once")
        found[key] = close
    return found


def _read_close(where: str, given: Any) -> tuple[tuple[str, date], time | None]:
    if not isinstance(given, dict) or set(given) != set(_KEYS):
        raise ConfigError(f"{where} must have the keys {', '.join(_KEYS)}, and no other")
    for key in _KEYS:
        if not isinstance(given[key], str) or not given[key].strip():
            raise ConfigError(f"{where} has {key}: {given[key]!r}; a text is needed, in quotes if need be")
    if given["products"] not in CALENDARS:
        raise ConfigError(f"{where} has products: {given['products']!r}; it must be one of {', '.join(CALENDARS)}")
    try:
        if not _DAY.fullmatch(given["date"]):
            raise ValueError(given["date"])
        day = date.fromisoformat(given["date"])
    except ValueError:
        raise ConfigError(f"{where} has date: {given['date']!r}; give the trade date as YYYY-MM-DD") from None
    text = given["close"]
    if text != _CLOSED and not _CLOCK.fullmatch(text):
        raise ConfigError(f'{where} has close: {text!r}; give Chicago time as "HH:MM", or {_CLOSED}')
    return (given["products"], day), None if text == _CLOSED else time.fromisoformat(text)


def _hash_of(over: Close) -> str:
    return sha256(repr(sorted(over.items(), key=str)).encode()).hexdigest()[:8]
