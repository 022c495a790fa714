"""Which records are a session's own, and when each happened.

A record belongs to the session in which it was captured, as the vendor cuts its files. What was captured before builds the book
and may warm the field; what was captured behind the end, snapshots included, belongs to no bin. A session whose own records open
with a clear or a snapshot begins anew with it, as its own file would: so its bins do not depend on what came before in a file.

Source: engine.md section 1, "Session window"; Databento, a day's file is cut at midnight UTC by ``ts_recv``.
"""

from typing import Any, Final

import numpy as np

from engine import constants as c
from engine.jit import inline_kernel
from engine.run.state import UNSET
from engine.schema import Record

_FIRST_UNDEFINED: Final = 2**63  # ns; times from here on do not fit the clock's 64 bits and are none


@inline_kernel
def captured_at(record: Record, run: Record) -> int:
    """When a record was captured, ns: by its own word, else when it happened, else with the record before it.

    A snapshot's orders happened long before they were captured, so that their own times do not tell.
    """
    raw = record["ts_recv"]
    if raw == 0 or raw >= np.uint64(_FIRST_UNDEFINED):
        raw = record["ts_event"]
        is_old_order = record["flags"] & c.F_SNAPSHOT != 0 and record["action"] != c.ACTION_CLEAR
        if is_old_order or raw >= np.uint64(_FIRST_UNDEFINED):
            return run["captured"]
    captured: Any = np.int64(raw)
    return captured


@inline_kernel
def opens_session(record: Record, s: Record, run: Record, captured: int) -> bool:
    """Whether the first record of the session's own begins a book of its own: a clear, or a snapshot that is not under way."""
    if record["action"] == c.ACTION_CLEAR:
        return True
    if record["flags"] & c.F_SNAPSHOT == 0 or s["snapshot_open"] == 1:
        return False
    return run["in_snapshot"] == 0 or captured - run["captured"] > c.FEED_GAP_NS


@inline_kernel
def effective_time(record: Record, captured: int, s: Record, run: Record) -> int:
    """A record's place in time, ns, or UNSET when it lies beyond the session and must be dropped.

    Snapshot records carry their orders' old times: the Clear that opened the snapshot dates them, else their own capture time.
    """
    if captured >= run["day_end"]:
        return UNSET
    is_clear = record["action"] == c.ACTION_CLEAR
    is_snapshot = record["flags"] & c.F_SNAPSHOT != 0
    raw = record["ts_event"]
    if is_snapshot and not is_clear:
        if s["snapshot_open"] == 1:
            return s["snapshot_ts"]
        raw = record["ts_recv"]
    ts: Any = np.int64(raw) if raw < np.uint64(_FIRST_UNDEFINED) else np.int64(UNSET)
    if ts == UNSET or ts >= run["day_end"]:
        if not (is_snapshot or is_clear):
            return UNSET
        # An undefined time must not run the clock.
        ts = run["latest_ts"] if run["latest_ts"] != UNSET else run["day_start"]
    if captured < run["day_start"]:
        return min(ts, run["day_start"] - 1)  # no clock that runs ahead brings it into a bin
    return ts
