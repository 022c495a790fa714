"""When the exchange trades: open intervals of a contract's product around one UTC day.

The calendar is a kept library's; daylight saving, half days and the maintenance hour are its business. What it does not know of
stands in a dated table of ours over it.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from engine.constants import NS_PER_S
from engine.files import write_atomic
from engine.jit import cache_dir
from engine.schema import Ints

_EQUITY: Final = "CME Globex Equity"
_RATES: Final = "CME Globex Interest Rate Products"
# Product root -> calendar of pandas-market-calendars; a product that is not here has unknown hours.
CALENDARS: Final[dict[str, str]] = {
    **dict.fromkeys(("ES", "MES", "NQ", "MNQ", "RTY", "M2K", "YM", "MYM"), _EQUITY),
    **dict.fromkeys(("CL", "MCL", "NG", "GC", "MGC", "SI", "HG"), "CMEGlobex_CrudeAndRefined"),
    **dict.fromkeys(("ZB", "ZN", "ZF", "ZT", "UB"), _RATES),
}
# (calendar, trade date) -> when trading ended that day, Chicago time; None: there was none. By the library of version 5.5:
# after 2022 every Good Friday is a short session, which only those with the month's jobs report are; no day of mourning is known.
CLOSES: Final[dict[tuple[str, date], time | None]] = {
    # CME Group, "U.S. Equity, Interest Rate Markets to Close for National Day of Mourning", 2 December 2018
    (_EQUITY, date(2018, 12, 5)): time(8, 30),
    (_RATES, date(2018, 12, 5)): None,
    # Good Friday 2024, which had no jobs report (the Bureau of Labor Statistics gave it on 5 April): equity futures did not trade
    (_EQUITY, date(2024, 3, 29)): None,
    # CME Group, "Trading Hours for U.S. National Day of Mourning to Honor Former President Jimmy Carter", 30 December 2024
    (_EQUITY, date(2025, 1, 9)): time(8, 30),
    (_RATES, date(2025, 1, 9)): time(12, 15),
    # Good Friday 2025, again without a jobs report; from the day's press, not from a notice of the exchange
    (_EQUITY, date(2025, 4, 18)): None,
    (_RATES, date(2025, 4, 18)): None,
}
_TABLE: Final = sha256(repr(sorted(CLOSES.items(), key=str)).encode()).hexdigest()[:8]


def open_intervals_of(symbol_root: str, days: Sequence[date]) -> Ints:
    """The same of any days and their neighbours, shape (m, 2); each interval once, ascending."""
    spans = [open_intervals(symbol_root, day) for day in days]
    return np.unique(np.concatenate([np.zeros((0, 2), np.int64), *spans]), axis=0)


@cache
def open_intervals(symbol_root: str, dt: date) -> Ints:
    """UTC nanoseconds of open trading from the day before ``dt`` to the day after.

    Returns
    -------
    NDArray[np.int64], shape (m, 2)
        Start and end of each interval, ascending; empty when the product's hours are not known.
    """
    name = CALENDARS.get(symbol_root)
    if name is None:
        return np.zeros((0, 2), np.int64)
    kept = Path(cache_dir()) / "calendars" / f"{symbol_root}_{dt:%Y%m%d}_{version('pandas_market_calendars')}_{_TABLE}.npy"
    try:
        return np.asarray(np.load(kept), np.int64).reshape(-1, 2)
    except (OSError, ValueError):
        pass  # not kept, or damaged: made anew
    intervals = _scheduled(name, dt)
    with suppress(OSError):  # a cache that cannot be written costs time only
        kept.parent.mkdir(exist_ok=True)
        write_atomic(kept, _as_bytes(intervals))
    return intervals


def _scheduled(name: str, dt: date) -> Ints:
    """The library's own word and ours over it; the library takes a second to load, hence the cache."""
    import pandas_market_calendars

    calendar = pandas_market_calendars.get_calendar(name)
    schedule = calendar.schedule((dt - timedelta(days=1)).isoformat(), (dt + timedelta(days=2)).isoformat())
    spans = []
    for row in schedule.itertuples():
        trade_date = row.Index.date()
        closed = CLOSES.get((name, trade_date), row.market_close)
        if closed is not None:
            end = closed if closed is row.market_close else datetime.combine(trade_date, closed, calendar.tz)
            spans.append([int(row.market_open.timestamp()), int(end.timestamp())])
    return np.array(spans, np.int64).reshape(-1, 2) * NS_PER_S


def _as_bytes(intervals: Ints) -> bytes:
    file = io.BytesIO()
    np.save(file, intervals)
    return file.getvalue()
