"""When the exchange trades: open intervals of a contract's product around one UTC day.

The calendar is a kept library's; daylight saving, half days and the maintenance hour are its business.
"""

import io
from contextlib import suppress
from datetime import date, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from engine.constants import NS_PER_S
from engine.files import write_atomic
from engine.jit import cache_dir
from engine.schema import Ints

# Product root -> calendar of pandas-market-calendars; a product that is not here has unknown hours.
CALENDARS: Final[dict[str, str]] = {
    **dict.fromkeys(("ES", "MES", "NQ", "MNQ", "RTY", "M2K", "YM", "MYM"), "CME Globex Equity"),
    **dict.fromkeys(("CL", "MCL", "NG", "GC", "MGC", "SI", "HG"), "CMEGlobex_CrudeAndRefined"),
    **dict.fromkeys(("ZB", "ZN", "ZF", "ZT", "UB"), "CME Globex Interest Rate Products"),
}


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
    kept = Path(cache_dir()) / "calendars" / f"{symbol_root}_{dt:%Y%m%d}_{version('pandas_market_calendars')}.npy"
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
    """The library's own word; it takes a second to load, hence the cache."""
    import pandas_market_calendars

    schedule = pandas_market_calendars.get_calendar(name).schedule(
        (dt - timedelta(days=1)).isoformat(), (dt + timedelta(days=2)).isoformat()
    )
    spans = np.array(
        [[row.market_open.timestamp(), row.market_close.timestamp()] for row in schedule.itertuples()], np.float64
    ).reshape(-1, 2)
    return (spans.astype(np.int64) * NS_PER_S).reshape(-1, 2)


def _as_bytes(intervals: Ints) -> bytes:
    file = io.BytesIO()
    np.save(file, intervals)
    return file.getvalue()
