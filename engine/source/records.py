"""DBN files as arrays of market-by-order records of the locked contract: order, scale and symbol are settled here, once.

Source: engine.md section 1.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.config import InstrumentConfig
from engine.constants import NS_PER_DAY
from engine.errors import SourceError
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.dbn_file import DbnFile
from engine.source.follow import Hole, Watch
from engine.source.id_changes import IdChanges, by_id
from engine.source.identity import day_start_ns

CHUNK_RECORDS: Final = 1 << 16


class Place(NamedTuple):
    """Where in a source an array of records began: the place to come back to."""

    file: int  # number of the file
    first: int  # number of the record in it, any instrument
    n_before: int  # the source's own records before
    instrument_id: int  # of the last of them, -1 for none
    id_changes: IdChanges = IdChanges()  # among them


START: Final = Place(0, 0, 0, -1)


class Source:
    """One session's records, from one or more files read one after the other.

    Orders belong to an instrument id. Where the id behind the contract changes, at a date interval's edge or from one file to
    the next, what rested under the old id must not stay in the book: a clear of ours, marked ``F_MAYBE_BAD_BOOK``, goes before
    the first record of the new id unless that is a clear itself. Each change is counted and told in ``notices``.

    ``watch`` is what the recorder of the files knew of its feed, None where nobody watched it.
    """

    def __init__(self, files: Sequence[DbnFile], dt: date, watch: Watch | None = None) -> None:
        self.files = list(files)
        self.dt = dt
        self.watch = watch
        self.hole: Hole | None = None
        self.id_changes = IdChanges()
        self.place = START

    @property
    def window(self) -> tuple[int, int]:
        """The session, ns: the whole UTC day of ``dt``."""
        start = day_start_ns(self.dt)
        return start, start + NS_PER_DAY

    @property
    def notices(self) -> list[str]:
        """What was found in the files while reading, a line each."""
        return [*self.damage, *self.remarks, *self.id_changes.told()]

    @property
    def damage(self) -> list[str]:
        """The notices that say that a file is not whole."""
        return [notice for file in self.files for notice in file.notices]

    @property
    def remarks(self) -> list[str]:
        """The notices that tell what a file holds beside the contract's records."""
        return [remark for file in self.files for remark in file.remarks]

    @property
    def identity(self) -> list[object]:
        """What tells these records from any others: the files as they lay when they were opened, and the watch over them."""
        files: list[object] = [(str(f.path.resolve()), *f.held.mark.state, f.symbol, f.assumes_symbol) for f in self.files]
        return files if self.watch is None else [*files, asdict(self.watch)]

    @property
    def assumes_symbol(self) -> bool:
        """Whether files that do not say whose records they hold are taken as the contract's."""
        return any(file.assumes_symbol for file in self.files)

    @property
    def declared_end_ns(self) -> int | None:
        """Until when the data of the session reach by the word of its last file, ns, capped to the session window.

        None where that says nothing or was cut to a number of records. Files that begin behind the session say nothing of it.
        Where the feed was watched, its recorder's word stands instead.
        """
        _, end = self.window
        if self.watch is not None and self.watch.known_until_ns is not None:
            return min(self.watch.known_until_ns, end)
        last = [file for file in self.files if file.start_ns < end][-1:] or self.files[:1]
        return None if last[0].end_ns is None else min(last[0].end_ns, end)

    @property
    def end_ns(self) -> int | None:
        """The same, if no file was found broken while it was read, else None."""
        return None if self.damage else self.declared_end_ns

    def records(self, chunk: int = CHUNK_RECORDS, start: Place = START) -> Iterator[MboRecords]:
        """Arrays of at most ``chunk`` records of the locked contract, dtype MBO_DTYPE.

        ``place`` is where the array last yielded began, or an earlier one where a file cannot be entered there; ``hole`` is the
        one that lies before it, as the recorder told. A hole without a record behind it comes with an empty array.
        """
        if self.watch is None:
            yield from self._parts(chunk, start)
            return
        holes = self.watch.holes
        n_raw = start.n_before - start.id_changes.n_cleared
        n_done = sum(one.n_before < n_raw for one in holes)
        n_cleared = start.id_changes.n_cleared
        for part in self._parts(chunk, start):
            is_ours = self.id_changes.n_cleared > n_cleared
            n_cleared = self.id_changes.n_cleared
            for hole, records in self.watch.cut(part, n_raw, n_done):
                self.hole = hole
                n_done += hole is not None
                yield records
            n_raw += 0 if is_ours else len(part)
        for one in holes[n_done:]:
            self.hole = one.hole
            yield np.zeros(0, MBO_DTYPE)
        self.hole = None

    def _parts(self, chunk: int, start: Place) -> Iterator[MboRecords]:
        """The same, without a look at holes."""
        self.id_changes = start.id_changes
        self.place = start
        current = start.instrument_id
        n = start.n_before
        for i in range(start.file, len(self.files)):
            for block in self.files[i].records(chunk, start.first if i == start.file else 0):
                first = self.files[i].chunk_first
                if first is not None:
                    self.place = Place(i, first, n, current, self.id_changes)
                for part, number, changes in by_id(block, current, self.id_changes):
                    current, self.id_changes = number, changes
                    n += len(part)
                    yield part

    def tail(self, n: int) -> Iterator[MboRecords] | None:
        """The contract's among the last ``n`` records or so; None where the last file cannot be entered near its end."""
        first = self.files[-1].first_of_last(n)
        return None if first is None else self._parts(n, Place(len(self.files) - 1, first, 0, -1))

    def provenance(self) -> list[dict[str, Any]]:
        """Name, size in bytes and SHA-256 of each file.

        Raises
        ------
        SourceChangedError
            A file is not, or no longer lies, as it was when it was opened.
        """
        return [{"path": str(f.path), "size": f.size, "sha256": f.sha256} for f in self.files]


def open_source(
    paths: Sequence[Path],
    config: InstrumentConfig,
    dt: date | None = None,
    *,
    assumes_symbol: bool = False,
    watch: Watch | None = None,
) -> Source:
    """Open DBN files as one session of the locked contract.

    Parameters
    ----------
    paths
        Files in the order they are to be read.
    dt
        UTC day of the session; default the date in the last file's name, else the first day of its metadata.
    assumes_symbol
        Take a file that nowhere says whose records it holds as the locked contract's, if it holds one instrument.
    watch
        What the recorder of the files knew of its feed; None for a download.

    Raises
    ------
    SourceError
        One line, when a file is missing, empty, not DBN, of another schema, or does not hold the contract.
    """
    files = [DbnFile(Path(path), config.symbol, assumes_symbol) for path in paths]
    if not files:
        raise SourceError("no file was named; give at least one .dbn or .dbn.zst file")
    if dt is None:
        dated = re.search(r"(20\d{2})-?(\d{2})-?(\d{2})", files[-1].path.name)
        try:
            dt = date(*(int(part) for part in dated.groups())) if dated else files[-1].first_day
        except ValueError:
            dt = files[-1].first_day
    return Source(files, dt, watch)
