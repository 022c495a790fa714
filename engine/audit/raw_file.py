"""One raw file read through the book alone: every record decoded, every anomaly counted, sides tested."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine import constants as c
from engine.audit.continuity import resting_orders
from engine.audit.trade_sides import SideTest
from engine.config import InstrumentConfig
from engine.errors import EngineError
from engine.hours import open_intervals_of
from engine.run.runner import ALL_TIME, Runner
from engine.schema import Ints, MboRecords, Structured
from engine.source.records import Source, open_source

_FIRST_DAY: Final = date(1970, 1, 1)
_LAST_DAY_NS: Final = 2**62  # times from here on, in 2116, are taken for none


@dataclass(frozen=True)
class RawCheck:
    """What `check` says of a file; and, where the file could be read, its source and what rests at its end."""

    report: dict[str, Any]
    source: Source | None = None
    resting: Structured | None = None
    days: tuple[date, ...] = ()  # UTC, on which records were captured, ascending


def check_raw(path: Path, config: InstrumentConfig, keeps_book: bool, assumes_symbol: bool = False) -> RawCheck:
    """Read a file; a fault of it stands in the report's ``problem``.

    Parameters
    ----------
    keeps_book
        Also find what rests at the end with the places in the queues, which reads the file once more.
    """
    report: dict[str, Any] = {"file": path.name, "path": str(path.resolve()), "size": 0, "problem": ""}
    try:
        source = open_source([path], config, assumes_symbol=assumes_symbol)
        report["size"] = source.files[0].size
        # The whole file is one book, over however many days it reaches.
        runner = Runner(config, ALL_TIME)
        sides = SideTest(runner, runner.engine.sessions)
        facts = _Facts()
        for records in source.records():
            if facts.days_of(records):
                sides.sessions = open_intervals_of(config.symbol_root, facts.days)
                runner.engine = runner.engine._replace(sessions=sides.sessions)
            sides.feed(records)
            facts.take(records)
        resting = resting_orders(runner.engine.book, source) if keeps_book else None
        report["sha256"] = source.files[0].sha256
        source.files[0].held.let_go()  # a lake may hold more files than a process may have open
    except EngineError as error:
        return RawCheck({**report, "problem": str(error)})
    report |= {
        "dt": source.dt.isoformat(),
        **facts.report(),
        "gaps": _open_parts(runner.holes, sides.sessions),
        "silences": runner.silences,
        "anomalies": runner.anomalies,
        "first_anomalies": runner.first_anomalies,
        "side_test": sides.report(),
        "id_changes": source.id_changes.count,
        "remarks": source.remarks,
        "problem": "; ".join(filter(None, [*source.damage, _other_day(source, facts), sides.problem])),
    }
    return RawCheck(report, source, resting, tuple(facts.days))


def _other_day(source: Source, facts: "_Facts") -> str:
    """What is to be said of a file that holds nothing of the day it says it is of; else empty."""
    if not facts.days or source.dt in facts.days:
        return ""
    told = ", ".join(day.isoformat() for day in facts.days[:3]) + (" …" if len(facts.days) > 3 else "")
    return (
        f"it says that it is of {source.dt} and all its records were captured on {told}: no bin comes of it; "
        "name the file by the day of its records, or replay it with --dt"
    )


def _open_parts(holes: list[tuple[int, int]], sessions: Ints) -> list[dict[str, int]]:
    """Of each hole what lies in open trading, where that is more than a minute."""
    parts = []
    for since, until in holes:
        for opened, closed in sessions.tolist() or [[since, until]]:
            start, end = max(since, opened), min(until, closed)
            if end - start > c.FEED_GAP_NS:
                parts.append({"start_ns": start, "end_ns": end})
    return parts


class _Facts:
    """What the records say of themselves: span, days, opening, flags."""

    def __init__(self) -> None:
        self._n = self._n_snapshot = self._n_bad_time = self._n_doubtful = self._n_backwards = 0
        self._first = self._last = 0
        self._opens = "cold"
        self._latest = 0  # ts_event, ns
        self._by_day: Counter[date] = Counter()

    @property
    def days(self) -> list[date]:
        """UTC days on which records were captured, ascending."""
        return sorted(self._by_day)

    def days_of(self, records: MboRecords) -> bool:
        """Count records by the day of their capture; whether one is the first of its day."""
        captured = records["ts_recv"]
        captured = np.where((captured == 0) | (captured >= _LAST_DAY_NS), records["ts_event"], captured)
        days, counts = np.unique(captured[captured < _LAST_DAY_NS] // c.NS_PER_DAY, return_counts=True)
        n_known = len(self._by_day)
        self._by_day.update({_FIRST_DAY + timedelta(int(day)): int(n) for day, n in zip(days, counts, strict=True)})
        return len(self._by_day) > n_known

    def take(self, records: MboRecords) -> None:
        """Count one array in."""
        snapshot = records["flags"] & c.F_SNAPSHOT != 0
        if self._n == 0:
            self._first = int(records["ts_recv"][0])
            if records["action"][0] == c.ACTION_CLEAR or snapshot[0]:
                self._opens = "snapshot" if snapshot[0] else "clear"
        self._n += len(records)
        self._last = max(self._last, int(np.max(records["ts_recv"])))
        self._n_snapshot += int(np.count_nonzero(snapshot))
        self._n_bad_time += int(np.count_nonzero((records["flags"] & c.F_BAD_TS_RECV != 0) & ~snapshot))
        self._n_doubtful += int(np.count_nonzero(records["flags"] & c.F_MAYBE_BAD_BOOK))
        times = records["ts_event"][~snapshot & (records["ts_event"] < _LAST_DAY_NS)].astype(np.int64)
        if len(times):
            latest = np.maximum.accumulate(np.maximum(times, self._latest))
            self._n_backwards += int(np.count_nonzero(times < latest))
            self._latest = int(latest[-1])

    def report(self) -> dict[str, Any]:
        """Counts, span in ns, and records by the UTC day of their capture."""
        return {
            "n_records": self._n,
            "n_snapshot": self._n_snapshot,
            "first_ns": self._first,
            "last_ns": self._last,
            "days": {day.isoformat(): self._by_day[day] for day in self.days},
            "opens": self._opens,
            "bad_time": self._n_bad_time,
            "doubtful_book": self._n_doubtful,
            "backwards": self._n_backwards,
        }
