"""One raw file read through the book alone: every record decoded, every anomaly counted, sides tested."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import constants as c
from engine.audit.continuity import resting_orders
from engine.audit.trade_sides import SideTest
from engine.config import InstrumentConfig
from engine.errors import EngineError
from engine.hours import open_intervals
from engine.run.runner import Runner, Span
from engine.schema import Ints, MboRecords, Structured
from engine.source.records import Source, open_source


@dataclass(frozen=True)
class RawCheck:
    """What `check` says of a file; and, where the file could be read, its source and what rests at its end."""

    report: dict[str, Any]
    source: Source | None = None
    resting: Structured | None = None


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
        start, end = source.window
        sessions = open_intervals(config.symbol_root, source.dt)
        # No bins, only the book: the first one lies beyond the day.
        runner = Runner(config, Span(start, end, first_bin=end + c.NS_PER_DAY))
        sides = SideTest(runner, sessions)
        facts = _Facts(source, sessions)
        for records in source.records():
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
        "anomalies": runner.anomalies,
        "first_anomalies": runner.first_anomalies,
        "side_test": sides.report(),
        "id_changes": source.id_changes.count,
        "remarks": source.remarks,
        "problem": "; ".join(filter(None, [*source.damage, sides.problem])),
    }
    return RawCheck(report, source, resting)


class _Facts:
    """What the records say of themselves: span, opening, flags, holes."""

    def __init__(self, source: Source, sessions: Ints) -> None:
        self._start, self._end = source.window
        self._sessions = sessions
        self._n = self._n_snapshot = self._n_bad_time = self._n_doubtful = self._n_backwards = 0
        self._first = self._last = 0
        self._opens = "cold"
        self._latest: int | None = None  # ts_event inside the day
        self._gaps: list[tuple[int, int]] = []

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
        ts = records["ts_event"][~snapshot & (records["ts_event"] >= self._start) & (records["ts_event"] < self._end)]
        if len(ts):
            times = ts.astype(np.int64)
            if self._latest is not None:
                times = np.concatenate([[self._latest], times])
            latest = np.maximum.accumulate(times)
            self._n_backwards += int(np.count_nonzero(times < latest))
            for i in np.flatnonzero(np.diff(latest) > c.FEED_GAP_NS).tolist():
                self._see_hole(int(latest[i]), int(latest[i + 1]))
            self._latest = int(latest[-1])

    def _see_hole(self, since: int, until: int) -> None:
        """A hole counts as far as the exchange was open in it."""
        spans = self._sessions.tolist() or [[since, until]]
        for opened, closed in spans:
            start, end = max(since, opened), min(until, closed)
            if end - start > c.FEED_GAP_NS:
                self._gaps.append((start, end))

    def report(self) -> dict[str, Any]:
        """Counts, span in ns, and the holes of more than a minute in open trading."""
        return {
            "n_records": self._n,
            "n_snapshot": self._n_snapshot,
            "first_ns": self._first,
            "last_ns": self._last,
            "opens": self._opens,
            "bad_time": self._n_bad_time,
            "doubtful_book": self._n_doubtful,
            "backwards": self._n_backwards,
            "gaps": [{"start_ns": start, "end_ns": end} for start, end in self._gaps],
        }
