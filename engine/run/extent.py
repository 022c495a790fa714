"""How far a session reaches and which bin lies where, known before it is replayed.

Bins follow each other without a hole, each as wide as the instrument says, from the first one's start on: through silences, the
maintenance hour and closed hours too. So a bin's number and its start say the same thing, in every session.

Source: engine.md section 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from engine import constants as c
from engine.config import InstrumentConfig
from engine.hours import open_intervals
from engine.run.keyframes import kept_end
from engine.run.replay import first_bin_ns
from engine.run.runner import Runner, Span
from engine.schema import Ints, MboRecords
from engine.source.records import Source

_LOOKED_AT: Final = 1 << 12  # records taken in at once until the first bin opens
_TAIL: Final = 1 << 16  # records from the end in which the latest is looked for


@dataclass(frozen=True)
class Extent:
    """A session's bins: ``start_ns`` of the first one, ``end_ns`` of the last one, ``bin_ns`` their width, UTC ns.

    Bin i starts at ``start_ns + i * bin_ns``.
    ``n_bins`` is None where only a replay tells; ``end_ns`` is then how far the data may reach at most.
    """

    start_ns: int
    end_ns: int
    n_bins: int | None
    bin_ns: int

    def bin_at(self, ts_ns: int) -> int:
        """Number of the bin that holds a time, UTC ns, its start included; below 0 before the first one."""
        return (ts_ns - self.start_ns) // self.bin_ns


def extent_of(
    source: Source, config: InstrumentConfig, start_time: str | None = None, keyframes: Path | None = None
) -> Extent | None:
    """Where the bins of a replay begin and end.

    How many there are is known where the end of the data can be looked at (a plain file, or a compressed one that was decoded:
    ``Replay.source`` once it runs), and where a replay of the session has come to its end. It holds for a file that is whole.

    Parameters
    ----------
    source
        Records of the locked contract. Read are its last ones, and where no ``start_time`` is given its first ones; a replay
        that is under way over it goes on undisturbed.
    start_time
        New York wall-clock time of the first bin, HH:MM or HH:MM:SS; None for the first event.
    keyframes
        The folder of kept states, which also tell how the session ended.

    Returns
    -------
    Extent or None
        None where no start is given and nothing happens inside the session.
    """
    before = source.place, source.id_changes, source.hole
    try:
        return _extent_of(source, config, start_time, keyframes)
    finally:
        source.place, source.id_changes, source.hole = before


def _extent_of(source: Source, config: InstrumentConfig, start_time: str | None, keyframes: Path | None) -> Extent | None:
    day_start, day_end = source.window
    first = None if start_time is None else first_bin_ns(source, start_time)
    sessions = open_intervals(config.symbol_root, source.dt)
    runner = Runner(config, Span(day_start, day_end, first, opens_with_roll=source.stretch.opens_with_roll(first)), sessions)
    bin_ns = runner.params.bin_ns
    n_bins = None if keyframes is None else kept_end(keyframes, source, runner)
    start = first if first is not None else _first_event_ns(source, runner)
    if start is None:
        return None
    if n_bins is None:
        n_bins = _count_bins(source, sessions, start, bin_ns)
    if n_bins is not None:
        return Extent(start, start + n_bins * bin_ns, n_bins, bin_ns)
    reaches = max(source.declared_end_ns or day_end, start)
    return Extent(start, start - (start - reaches) // bin_ns * bin_ns, None, bin_ns)


def _first_event_ns(source: Source, runner: Runner) -> int | None:
    """When the first bin of a replay without a start opens: the run itself says it."""
    for records in source.records(_LOOKED_AT):
        for _ in runner.feed(records, 1):
            if runner.first_bin_ns is not None:
                break
        if runner.first_bin_ns is not None:
            return runner.first_bin_ns
    return None


def _count_bins(source: Source, sessions: Ints, start: int, bin_ns: int) -> int | None:
    """Bins until the last record, and whole ones until where the data are said to reach in that session of trading."""
    latest = _latest_ns(source)
    if latest is None:
        return None
    if latest < start:
        return 0
    n_bins = (latest - start) // bin_ns + 1
    until = source.end_ns  # None where the last records showed the file to be broken
    if until is not None and len(sessions):
        current = sessions[(sessions[:, 0] <= latest) & (latest < sessions[:, 1])]
        until = min(until, int(current[0, 1])) if len(current) else None
    return n_bins if until is None else max(n_bins, (until - start) // bin_ns)


def _latest_ns(source: Source) -> int | None:
    """Time of the session's latest record; None where the end of the data does not show it."""
    start, end = source.window
    tail: Iterator[MboRecords] | None = source.tail(_TAIL)
    latest = told_later = 0
    for records in tail or ():
        ts, captured = records["ts_event"], records["ts_recv"]
        if ((captured < start) | (captured >= end) | (ts >= end)).any():
            return None  # what lies outside the session is the run's to judge
        # Snapshots and clears have times of their own, which no later record must leave open.
        is_dated = (records["flags"] & c.F_SNAPSHOT != 0) | (records["action"] == c.ACTION_CLEAR)
        is_priced = (records["action"] == c.ACTION_ADD) | (records["action"] == c.ACTION_MODIFY)
        counts = ~is_dated & (~is_priced | (records["price"] != c.UNDEF_PRICE))
        latest = max(latest, int(np.max(ts[counts], initial=0)))
        told_later = max(told_later, int(np.max(np.maximum(ts, captured)[is_dated], initial=0)))
    return latest if latest >= max(told_later, 1) else None
