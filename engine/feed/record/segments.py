"""The segments of a day, written: plain DBN files whose metadata name the contract, each whole up to the last record.

A segment gets its name once its metadata lie there; records are appended in whole ones. What a kill or a full disk cut off in the
middle of a record is cut away, at once or at the next start.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np
from numpy.typing import NDArray

from engine.constants import MBO_LENGTH_WORDS, MBO_RECORD_BYTES, NS_PER_DAY, NS_PER_S, RTYPE_MBO, UNDEF_TIMESTAMP
from engine.feed.follow import Hole
from engine.feed.record.journal import JOURNAL, JournalWriter, Over, Segment, read_journal, segment_name, write_whole
from engine.files import writing
from engine.schema import MBO_DTYPE, MboRecords
from engine.simulate.file import SymbolInterval, SymbolMapping

_WINDOW: Final = 1 << 16  # records looked at together


def captured_ns(records: MboRecords) -> NDArray[np.uint64]:
    """When each record was captured, ns; the exchange's time where that is undefined."""
    captured = records["ts_recv"]
    is_unknown = captured == UNDEF_TIMESTAMP
    return np.where(is_unknown, records["ts_event"], captured) if is_unknown.any() else captured


def segment_head(symbol: str, dataset: str, instrument_id: int, start_ns: int, end_ns: int) -> bytes:
    """Metadata of a segment, of one length for all times; ``end_ns`` is UNDEF_TIMESTAMP while it grows."""
    day = datetime.fromtimestamp(start_ns // NS_PER_S, UTC).date()
    interval = SymbolInterval(day, day + timedelta(days=1), str(instrument_id))
    return bytes(
        dbn.Metadata(
            dataset=dataset,
            start=start_ns,
            end=end_ns,
            schema=dbn.Schema.from_str("mbo"),
            stype_in=dbn.SType.from_str("raw_symbol"),
            stype_out=dbn.SType.from_str("instrument_id"),
            symbols=[symbol],
            mappings=[SymbolMapping(symbol, [interval])],
            ts_out=False,
            version=3,
        )
    )


class DaySegments:
    """A day's segments and its journal; mends on opening what a kill left.

    Every method that writes raises OSError where the disk is full, and then nothing of what it was given lies there.
    """

    def __init__(self, folder: Path, symbol: str, dataset: str, most_bytes: int) -> None:
        self._folder, self._symbol, self._dataset = folder, symbol, dataset
        self._most_bytes = most_bytes
        self._descriptor = -1
        self._left: list[int] = []  # closed to records, not synced yet
        self._at = 0  # bytes written of the open one
        self._head: tuple[int, int] = (0, 0)  # its instrument id and start
        self._journal = JournalWriter(folder / JOURNAL)
        mend_folder(folder)
        self._number = read_journal(folder / JOURNAL).next_number

    @property
    def is_open(self) -> bool:
        """Whether there is a segment to append to."""
        return self._descriptor >= 0

    @property
    def is_full(self) -> bool:
        """Whether the next records belong to a new segment."""
        return self._at >= self._most_bytes

    def begin(self, first: int, made: MboRecords, n_opening: int, hole: Hole | None, like: MboRecords) -> None:
        """A new segment; ``made`` are the records at its front without a number, ``like`` those that come then, one at least."""
        self.close()
        start_ns = int(captured_ns(like[:1])[0])
        self._head = (int(like["instrument_id"][0]), start_ns)
        path = self._folder / segment_name(self._number)
        temporary = path.with_name(f".{path.name}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        data = segment_head(self._symbol, self._dataset, *self._head, UNDEF_TIMESTAMP) + made.tobytes()
        try:
            with writing(path):
                write_whole(descriptor, data, 0)
                self._journal.add_segment(self._number, first, len(made), n_opening, hole)
            self._number += 1
            temporary.rename(path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        self._descriptor, self._at = descriptor, len(data)

    def append(self, records: MboRecords) -> None:
        """More records to the open segment."""
        data = np.ascontiguousarray(records).view(np.uint8).data
        with writing(self._folder):
            write_whole(self._descriptor, data, self._at)
        self._at += len(data)

    def finish(self, over: Over) -> None:
        """The day is over: the last segment's metadata say until when it reaches, the journal that nothing follows."""
        if self.is_open:
            instrument_id, start_ns = self._head
            end_ns = min(max(over.known_until_ns, start_ns), start_ns // NS_PER_DAY * NS_PER_DAY + NS_PER_DAY)
            os.pwrite(self._descriptor, segment_head(self._symbol, self._dataset, instrument_id, start_ns, end_ns), 0)
        with writing(self._folder / JOURNAL):
            self._journal.add_over(over)

    def held(self) -> list[int]:
        """Descriptors of all that is not synced yet, in the order for it; the caller's to close."""
        left, self._left = self._left, []
        mine = [self._journal.descriptor, self._descriptor] if self.is_open else [self._journal.descriptor]
        return [*left, *(os.dup(one) for one in mine), os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)]

    def close(self) -> None:
        """Nothing more comes to the open segment."""
        if self.is_open:
            self._left.append(self._descriptor)
            self._descriptor = -1

    def close_all(self) -> None:
        """Let go of everything."""
        self.close()
        for one in self._left:
            os.close(one)
        self._left = []
        self._journal.close()


def mend_folder(folder: Path) -> None:
    """Take away what never got a name, and cut the last segment behind its last whole record."""
    for left in folder.glob(".*.dbn.tmp"):
        left.unlink()
    segments = read_journal(folder / JOURNAL).segments
    if segments:
        last = segments[-1]
        n = _n_plain(last)
        size = last.head_bytes + n * MBO_RECORD_BYTES
        if size < last.path.stat().st_size:
            os.truncate(last.path, size)


def _n_plain(segment: Segment) -> int:
    """Whole records up to the first that is none, as a machine that lost its power may leave at the end."""
    n = segment.n_whole()
    first = max(0, n - _WINDOW)
    rows = read_records(segment, first, n - first)
    is_broken = (rows["rtype"] != RTYPE_MBO) | (rows["length"] != MBO_LENGTH_WORDS)
    return first + int(np.argmax(is_broken)) if is_broken.any() else n


def read_records(segment: Segment, first: int, most: int) -> MboRecords:
    """At most ``most`` whole records of a segment from the file's number ``first`` on, those made included."""
    n = min(most, segment.n_whole() - first)
    if n <= 0:
        return np.empty(0, MBO_DTYPE)
    out = np.empty(n, MBO_DTYPE)
    view = out.view(np.uint8).data
    with segment.path.open("rb", buffering=0) as file:
        file.seek(segment.head_bytes + first * MBO_RECORD_BYTES)
        got = 0
        while got < len(view) and (more := file.readinto(view[got:])):
            got += more
    return out[: got // MBO_RECORD_BYTES]
