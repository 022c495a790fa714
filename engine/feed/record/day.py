"""One day under way: its segments, its ring, and the number that the next record gets in both."""

from datetime import date
from typing import Final

import numpy as np

from engine.constants import F_SNAPSHOT, NS_PER_DAY, NS_PER_S
from engine.feed.follow import Hole
from engine.feed.record.journal import JOURNAL, Over, read_journal
from engine.feed.record.place import day_folder, ring_path
from engine.feed.record.resting import Resting
from engine.feed.record.ring import SLOT_BYTES, RingWriter, head_left
from engine.feed.record.segments import DaySegments, read_records
from engine.lake import Lake
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.identity import day_start_ns

RESUME_NS: Final = 10 * NS_PER_S
_NOTHING: Final = np.empty(0, MBO_DTYPE)
_MIB: Final = 1 << 20


class RecordedDay:
    """A day that is being recorded, gone on with where there is something of it already.

    A full disk, or any other that does not take what is written, is no error: from then on only the ring gets the records, until
    `retry` succeeds. ``trouble`` says what is wrong, else it is empty.
    """

    def __init__(self, lake: Lake, symbol: str, day: date, dataset: str, segment_mb: int, ring_mb: float) -> None:
        self.day = day
        self.end_ns = day_start_ns(day) + NS_PER_DAY
        folder = day_folder(lake, symbol, day)
        self.segments = DaySegments(folder, symbol, dataset, segment_mb * _MIB)
        before = read_journal(folder / JOURNAL).segments
        last = before[-1] if before else None
        self.number = last.first + max(0, last.n_whole() - last.n_made) if last else 0
        path = ring_path(lake, symbol, day)
        # What an earlier recorder gave out and could not record may come once more, with the same numbers, or be lost.
        self._given_out = head_left(path)
        self.ring = RingWriter(path, int(ring_mb * _MIB) // SLOT_BYTES, self.number)
        self.trouble = ""
        self.missing_since_ns: int | None = None  # not recorded from there on
        self._recorded_ns = 0
        self._instrument_id = -1

    def take(self, records: MboRecords, hole: Hole | None, n_opening: int, newest_ns: int, resting: Resting) -> None:
        """More records, after a hole or not; to the segment first, then to the ring. ``newest_ns`` is the newest event with them.

        ``resting`` is the book before the records. Of them ``n_opening`` at the front are a snapshot of it.
        """
        first = self.number if hole is None else max(self.number, self._given_out) + 1
        if self.missing_since_ns is None:
            is_id_new = int(records["instrument_id"][0]) != self._instrument_id
            if hole is not None or is_id_new or self.segments.is_full or not self.segments.is_open:
                self._begin(first, _NOTHING, n_opening, hole, records)
            self._append(records, newest_ns)
        if hole is not None:
            self.ring.put_hole(hole, first - 1)
        self.ring.put(records, newest_ns)
        self.number = first + len(records)

    def retry(self, like: MboRecords, newest_ns: int, resting: Resting) -> None:
        """Try to record again from the next record on; the segment opens with the book as it rests now, which is whole.

        The hole before it is named. ``like`` are the records that come next, not written here.
        """
        since_ns, reason = self.missing_since_ns, f"not recorded: {self.trouble}"
        assert since_ns is not None
        self.missing_since_ns, self.trouble = None, ""
        made = resting.snapshot(int(like["ts_recv"][0]))
        self._recorded_ns = since_ns
        if self._begin(self.number, made, 0, Hole(since_ns, newest_ns, reason), like):
            self._recorded_ns = newest_ns

    def _begin(self, first: int, made: MboRecords, n_opening: int, hole: Hole | None, like: MboRecords) -> bool:
        try:
            self.segments.begin(first, made, n_opening, hole, like)
        except OSError as error:
            self._is_missing(error)
            return False
        self._instrument_id = int(like["instrument_id"][0])
        return True

    def _append(self, records: MboRecords, newest_ns: int) -> None:
        if self.missing_since_ns is not None:
            return  # the segment could not be begun
        try:
            self.segments.append(records)
        except OSError as error:
            self._is_missing(error)
            return
        self._recorded_ns = newest_ns

    def _is_missing(self, error: OSError) -> None:
        self.missing_since_ns = self._recorded_ns
        self.trouble = f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)
        self.segments.close()

    def finish(self, known_until_ns: int, hole: Hole | None) -> None:
        """Nothing follows; ``hole`` is what the feed lacks at the end."""
        known_until_ns = min(known_until_ns, self.end_ns)
        if hole is not None:
            self.ring.put_hole(hole, self.number)
        if self.missing_since_ns is not None:
            hole = Hole(self.missing_since_ns, max(known_until_ns, self.missing_since_ns), f"not recorded: {self.trouble}")
        try:
            self.segments.finish(Over(known_until_ns, hole))
        except OSError as error:
            self._is_missing(error)
        self.ring.know(known_until_ns)
        self.ring.end()
        self.ring.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files."""
        self.segments.close_all()
        self.ring.close()


def resting_after(lake: Lake, symbol: str, day: date) -> tuple[Resting, MboRecords]:
    """The book after all that was recorded of a day, and the last records: those within `RESUME_NS` of the newest.

    None of these is from before a hole or a snapshot, or of one.
    """
    resting = Resting()
    tail = _NOTHING
    segments = read_journal(day_folder(lake, symbol, day) / JOURNAL).segments
    whole = [i for i, one in enumerate(segments) if one.n_made or one.n_opening or one.hole is not None]
    for segment in segments[whole[-1] if whole else 0 :]:
        at = 0
        while len(records := read_records(segment, at, 1 << 16)):
            at += len(records)
            resting.take(records)
            tail = _last_of(np.concatenate([tail, records]), resting.newest_ns)
    return resting, tail


def _last_of(records: MboRecords, newest_ns: int) -> MboRecords:
    is_out = (records["flags"] & F_SNAPSHOT != 0) | (records["ts_event"] < np.uint64(max(0, newest_ns - RESUME_NS)))
    is_snapshot = records["flags"] & F_SNAPSHOT != 0
    if is_snapshot.any():
        behind = len(records) - int(np.argmax(is_snapshot[::-1]))
        records, is_out = records[behind:], is_out[behind:]
    return records if not len(records) else records[int(np.argmin(is_out)) if not is_out.all() else len(records) :]
