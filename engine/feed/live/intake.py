"""What a feed hands on: the contract's records once and in order, whole snapshots, and the hole where something is missing."""

from itertools import pairwise

import numpy as np

from engine.constants import ACTION_CLEAR, F_LAST, F_SNAPSHOT, NS_PER_S
from engine.feed.follow import Hole
from engine.feed.live.clock import HeardClock
from engine.feed.live.doubles import Doubles, Memory
from engine.feed.live.gauge import Gauge
from engine.feed.live.settings import LiveSettings
from engine.feed.live.sink import Sink
from engine.feed.live.words import in_seconds
from engine.schema import MboRecords
from engine.source.id_changes import clear_before

NOT_HONOURED = "the replay did not begin where it was asked to"
_MOST_MARGIN_NS = 60 * NS_PER_S


class Intake:
    """Between connections and sink. ``tail``: what an earlier feed handed on last, (n,) MBO_DTYPE, to go on behind it."""

    def __init__(self, settings: LiveSettings, sink: Sink, gauge: Gauge, tail: MboRecords | None = None) -> None:
        self._settings = settings
        self._sink = sink
        self._gauge = gauge
        self.clock = HeardClock(settings.clock_rate)
        self._memory = Memory(int(settings.reorder_s * NS_PER_S))
        self._margin_ns = int(settings.margin_s * settings.clock_rate * NS_PER_S)
        self._doubles: Doubles | None = None
        self._no_replay = ""  # why the next connection must not ask for one
        self._hole = ""  # why one is to be named before what comes next
        self._partial: list[MboRecords] = []  # of a snapshot that is under way
        self._instrument_id = -1
        self._last_ns = 0  # time of what was handed on last
        self._known_ns = 0
        self._is_known_by_clock = False
        self.is_current = False  # whether nothing is missing between what came and the present
        self.has_news = False  # whether this connection brought anything that was not known
        self.has_market = False  # or a record at all
        if tail is not None and len(tail):
            self._last_ns = int(tail["ts_event"][-1])
            behind = np.flatnonzero(tail["flags"] & F_SNAPSHOT)
            rest = tail[behind[-1] + 1 :] if len(behind) else tail
            if len(rest):
                self._memory.keep(rest)

    def begin(self) -> int | None:
        """Another connection is to be made: the event time (UTC ns) to ask from, or None for a snapshot."""
        if self._partial:
            self._partial.clear()
            self._no_replay = "the connection ended inside a snapshot"
        self.clock.forget()
        self.is_current = self.has_news = self.has_market = False
        self._doubles = None if self._no_replay else self._memory.expected()
        if self._doubles is None and self._last_ns:
            self._hole = self._hole or self._no_replay or "nothing but a snapshot had come, so that no replay could be proved"
        return None if self._doubles is None else self._doubles.start_ns

    @property
    def is_replay(self) -> bool:
        """Whether this connection asked for a replay."""
        return self._doubles is not None

    def refuse_replay(self, why: str) -> None:
        """The next connection must not ask for a replay."""
        self._no_replay = why

    def map(self, instrument_id: int, symbol: str, ts_ns: int) -> None:
        """Records with this id are the contract's."""
        if instrument_id != self._instrument_id:
            self._instrument_id = instrument_id
            self._sink.mapping(instrument_id, symbol, ts_ns)

    def come_up(self) -> bool:
        """The vendor says that nothing is under way any more; False where what had to come again did not."""
        if self._doubles is not None and not self._doubles.is_whole:
            self._no_replay = NOT_HONOURED
            return False
        self.has_news = True
        self.is_current = not self._partial and not self._hole
        return True

    def take(self, records: MboRecords) -> bool:
        """The next records that came, (n,) MBO_DTYPE; False where they prove that the replay did not begin where asked."""
        if self._instrument_id >= 0:
            is_ours = records["instrument_id"] == self._instrument_id
            if not is_ours.all():
                records = records[is_ours]
        self.has_market |= len(records) > 0
        doubles = self._doubles
        if doubles is not None and not doubles.is_whole:
            before = doubles.n_dropped
            rest = doubles.rest_of(records)
            self._gauge.count(n_doubles=self._gauge.now.n_doubles + doubles.n_dropped - before)
            if rest is None:
                self._no_replay = NOT_HONOURED
                return False
            records = rest
        if len(records):
            self._sort(records)
        return True

    def known_now(self, at_s: float) -> None:
        """Time has passed: tell how far the feed is known without a record, at our monotonic second ``at_s``."""
        now_ns = self.clock.now_ns(at_s) if self.is_current and self._settings.clock_rate else None
        if now_ns is not None and now_ns - self._margin_ns > self._known_ns:
            self._is_known_by_clock = True
            self._know(now_ns - self._margin_ns)

    def _know(self, ts_ns: int) -> None:
        if ts_ns > self._known_ns:
            self._known_ns = ts_ns
            self._sink.known_until(ts_ns)

    def _sort(self, records: MboRecords) -> None:
        is_snapshot = (records["flags"] & F_SNAPSHOT) != 0
        if not self._partial and not is_snapshot.any():
            self._hand_on(records)
            return
        # A snapshot ends with its last record, before another's clear, or where ordinary records come.
        starts = np.flatnonzero(is_snapshot[1:] != is_snapshot[:-1]) + 1
        lasts = np.flatnonzero(is_snapshot & ((records["flags"] & F_LAST) != 0)) + 1
        clears = np.flatnonzero(is_snapshot & (records["action"] == ACTION_CLEAR))
        edges = np.unique(np.concatenate([[0, len(records)], starts, lasts, clears]))
        for first, end in pairwise(edges.tolist()):
            part = records[first:end]
            if self._partial and (not is_snapshot[first] or part["action"][0] == ACTION_CLEAR):
                self._hand_on_snapshot()
            if not is_snapshot[first]:
                self._hand_on(part)
                continue
            self._partial.append(part)
            if part["flags"][-1] & F_LAST:
                self._hand_on_snapshot()

    def _hand_on_snapshot(self) -> None:
        records = np.concatenate(self._partial)
        self._partial.clear()
        made_ns = int(records["ts_recv"].astype(np.int64).max())
        # The vendor dates a live snapshot's clear like its first order, which may be days old. It takes the snapshot's own time,
        # as in a file's snapshot: the book is known from there on, and no bin lies before.
        opening = records["action"] == ACTION_CLEAR
        records["ts_event"][opening] = records["ts_recv"][opening]
        self._name_hole(records, made_ns)
        self._sink.take(records)
        self._memory.forget()
        self._last_ns = made_ns
        self._count(records)
        self.is_current = self._doubles is None
        self._know(made_ns - self._margin_ns)

    def _hand_on(self, records: MboRecords) -> None:
        times = records["ts_event"].astype(np.int64)
        if self._is_known_by_clock and int(times[0]) <= self._known_ns:
            self._widen(self._known_ns - int(times.min()))
        self._is_known_by_clock = False
        self._name_hole(records, int(times[0]))
        self._sink.take(records)
        self._memory.keep(records)
        self._last_ns = int(times[-1])
        self._count(records)
        self.is_current |= self._doubles is None
        self._know(int(times.max()))

    def _count(self, records: MboRecords) -> None:
        now = self._gauge.now
        self.has_news = True
        self._gauge.count(
            n_records=now.n_records + len(records),
            newest_ns=max(now.newest_ns, int(records["ts_event"].astype(np.int64).max())),
            sequence=int(records["sequence"][-1]),
        )

    def _name_hole(self, records: MboRecords, until_ns: int) -> None:
        """Before what follows a hole: its bounds, and a clear where no snapshot begins with one."""
        if not self._hole:
            return
        hole = Hole(self._last_ns, max(until_ns, self._last_ns), self._hole)
        self._hole = self._no_replay = ""
        self._memory.forget()
        self._sink.hole(hole)
        self._gauge.count(n_holes=self._gauge.now.n_holes + 1)
        self._gauge.warn(f"a hole of {in_seconds(hole.until_ns - hole.since_ns)} from {hole.since_ns} ns on: {hole.reason}")
        if records["action"][0] != ACTION_CLEAR:
            self._sink.take(clear_before(records[:1]))

    def _widen(self, late_ns: int) -> None:
        """Records came behind the time that was said to be known."""
        self._margin_ns = min(max(self._margin_ns, 2 * late_ns), _MOST_MARGIN_NS)
        self._gauge.warn(
            f"records came {in_seconds(late_ns)} behind the market's clock; known time stays {in_seconds(self._margin_ns)} back"
        )
