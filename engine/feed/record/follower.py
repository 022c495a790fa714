"""A follower of a recorded day: first what lies in the segments, then the ring, each record once and no seam between them.

Records have a number in the day. Whatever the ring has from that number on is read there; what it has no more, or not yet again
after a new start, is read from the segments, which are written first. Where those lack it too, a hole is named and the book as it
rested behind it comes first.
"""

import threading
import time
from datetime import date
from typing import Final

import numpy as np

from engine.feed.follow import Batch, Hole
from engine.feed.record.journal import JOURNAL, Journal, Segment, read_journal
from engine.feed.record.place import day_folder, ring_path
from engine.feed.record.resting import newest_of
from engine.feed.record.ring import Damaged, Overrun, RingReader
from engine.feed.record.segments import read_records
from engine.lake import Lake
from engine.schema import MBO_DTYPE, MboRecords

_MOST: Final = 1 << 16  # records in a batch
_LOOK_S: Final = 0.1  # between two looks at whether the recorder is still the same
_WITHOUT_RING_S: Final = 0.02
_NOTHING: Final = np.empty(0, MBO_DTYPE)


class DayFollower:
    """One reader of a day, recorded or under way; see `engine.feed.follow.Follower`. For one thread."""

    def __init__(self, lake: Lake, symbol: str, day: date) -> None:
        self._journal_path = day_folder(lake, symbol, day) / JOURNAL
        self._ring_path = ring_path(lake, symbol, day)
        self._ring: RingReader | None = None
        self._number = 0  # of the next record
        self._known_ns = 0
        self._is_over = False
        self._made: tuple[Segment, int] | None = None  # a book to hand out first, and how much of it has been
        self._last_hole: Hole | None = None  # at the day's end, handed out

    def read(self, timeout_s: float) -> Batch:
        """What has come, at once where something has; an empty batch after ``timeout_s`` without."""
        until = time.monotonic() + timeout_s
        while True:
            batch = self._next()
            left_s = until - time.monotonic()
            if batch is not None or left_s <= 0:
                return batch or self._batch(_NOTHING)
            self._wait(left_s)

    def close(self) -> None:
        """Let go of the ring."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _batch(self, records: MboRecords, hole: Hole | None = None) -> Batch:
        return Batch(records, hole, self._known_ns, self._is_over)

    def _know(self, records: MboRecords) -> None:
        self._known_ns = max(self._known_ns, newest_of(records))

    def _next(self) -> Batch | None:
        if self._is_over:
            return self._batch(_NOTHING)
        if self._made is not None:
            return self._from_made(*self._made)
        return self._from_ring() or self._from_segments()

    # --- the ring ---

    def _from_ring(self) -> Batch | None:
        ring = self._attached()
        if ring is None:
            return None
        try:
            piece = ring.read(self._number, _MOST)
        except Overrun:
            return None
        except Damaged:
            self.close()
            return None
        n = len(piece.records) + (piece.hole is not None)
        self._number += n
        self._is_over = piece.is_over
        known_ns = self._known_ns
        if piece.is_newest and piece.hole is None:
            self._known_ns = max(known_ns, piece.known_until_ns)
        elif len(piece.records):
            self._know(piece.records)
        if n or self._is_over or self._known_ns > known_ns:
            return self._batch(piece.records, piece.hole)
        if not ring.is_current():
            self.close()
        return None

    def _attached(self) -> RingReader | None:
        if self._ring is None:
            try:
                self._ring = RingReader(self._ring_path)
            except (FileNotFoundError, Damaged):
                return None
        return self._ring

    def _wait(self, timeout_s: float) -> None:
        if self._ring is None:
            threading.Event().wait(min(timeout_s, _WITHOUT_RING_S))
            return
        try:
            self._ring.wait(min(timeout_s, _LOOK_S))
        except Damaged:
            self.close()

    # --- the segments ---

    def _from_segments(self) -> Batch | None:
        journal = read_journal(self._journal_path)
        for segment in reversed(journal.segments):
            at = self._number - segment.first
            if 0 <= at < segment.n_whole() - segment.n_made:
                records = read_records(segment, segment.n_made + at, _MOST)
                self._number += len(records)
                self._know(records)
                return self._batch(records)
        behind = [one for one in journal.segments if one.first > self._number]
        return self._over_hole(behind[0]) if behind else self._at_end(journal)

    def _over_hole(self, segment: Segment) -> Batch:
        """On behind what is missing before a segment."""
        first = read_records(segment, 0, 1)
        until_ns = int(first["ts_recv"][0]) if len(first) else self._known_ns
        hole = segment.hole or Hole(self._known_ns, until_ns, f"segments before {segment.path.name} are missing")
        self._number = segment.first
        self._made = (segment, 0) if segment.n_made else None
        return self._batch(_NOTHING, hole)

    def _from_made(self, segment: Segment, done: int) -> Batch:
        records = read_records(segment, done, min(_MOST, segment.n_made - done))
        done += len(records)
        self._made = (segment, done) if 0 < done < segment.n_made and len(records) else None
        return self._batch(records)

    def _at_end(self, journal: Journal) -> Batch | None:
        """Behind the last segment: the day may be over, if nobody goes on with it."""
        if journal.over is None or self._ring is not None:
            return None
        self._known_ns = max(self._known_ns, journal.over.known_until_ns)
        if journal.over.hole is not None and self._last_hole is None:
            self._last_hole = journal.over.hole
            return self._batch(_NOTHING, self._last_hole)
        self._is_over = True
        return self._batch(_NOTHING)


def open_follower(lake: Lake, symbol: str, day: date) -> DayFollower:
    """A reader of a contract's UTC day, from its first record on, whether it is recorded now, later, or was.

    Raises
    ------
    ConfigError
        The symbol cannot be one.
    """
    return DayFollower(lake, symbol, day)
