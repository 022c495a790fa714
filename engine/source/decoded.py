"""A compressed source decoded once per node: its records as a plain file that every process reads.

Its pages belong to the machine, not to a process, so any number of replays share one copy and no process holds the whole. An
uncompressed DBN file is that already and is used as it is. Measured on 1.5 million records: 0.46 s to decode them once, 0.01 s
to read them in each variant. What lies there is taken only as it was left; cut, overwritten or lost, it is made anew.

Source: DBN's 56-byte MBO record, as it is.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine import constants as c
from engine.errors import SourceError
from engine.files import costs_time_only, write_atomic, writing
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.dbn_file import WINDOW_RECORDS
from engine.source.held_file import HeldFile
from engine.source.id_changes import IdChanges
from engine.source.records import CHUNK_RECORDS, START, Place, Source


class DecodedSource(Source):
    """A source whose kept records lie decoded in a file; says of its files what the original says."""

    def __init__(self, source: Source, data: HeldFile, told: dict[str, Any]) -> None:
        super().__init__(source.files, source.dt, stretch=source.stretch)
        self._lost: list[str] = []
        self._data = data
        self._n_records = data.size // MBO_DTYPE.itemsize
        self._told = told
        self.id_changes = IdChanges(**told["id_changes"])

    @property
    def damage(self) -> list[str]:
        """What was found wrong with the files when they were decoded."""
        return list(self._told["damage"])

    @property
    def remarks(self) -> list[str]:
        """What else was found in them then, and whether the decoded records were lost since."""
        return [*self._told["remarks"], *self._lost]

    def records(self, chunk: int = CHUNK_RECORDS, start: Place = START) -> Iterator[MboRecords]:
        """Slices of the file, read-only; where that is changed meanwhile, the rest comes from the original.

        Raises
        ------
        SourceChangedError
            The original was changed, too.
        """
        for first in range(start.n_before, self._n_records, WINDOW_RECORDS):
            n = min(WINDOW_RECORDS, self._n_records - first)
            try:
                window = np.frombuffer(self._data.read(n * MBO_DTYPE.itemsize, first * MBO_DTYPE.itemsize), MBO_DTYPE)
            except SourceError as error:
                self._lost = [f"the decoded records were lost, the rest is read from the files themselves: {error}"]
                yield from self._original(chunk, first)
                return
            for i in range(0, n, chunk):
                self.place = Place(0, first + i, first + i, int(window[i]["instrument_id"]), self.id_changes)
                yield window[i : i + chunk]

    def tail(self, n: int) -> Iterator[MboRecords]:
        """The last ``n`` records."""
        return self.records(n, START._replace(n_before=max(0, self._n_records - n)))

    def _original(self, chunk: int, first: int) -> Iterator[MboRecords]:
        """Records from number ``first`` on to the last one that was decoded, from the files."""
        n = 0
        for records in super().records(chunk):
            n += len(records)
            if n > first:
                part = records[max(0, len(records) - (n - first)) : len(records) - max(0, n - self._n_records)]
                self.id_changes = IdChanges(**self._told["id_changes"])
                self.place = Place(0, n - len(records), n - len(records), -1, self.id_changes)
                yield part
            if n >= self._n_records:
                return


def decode_once(source: Source, folder: Path, until_ns: int) -> Source:
    """The same records up to the one that shows ``until_ns`` to be over, from a file that is made where missing.

    Where a folder is full or cannot be written to, the source itself comes back: that costs time only.

    Parameters
    ----------
    folder
        Where decoded files lie; safe to delete at any time.
    until_ns
        UTC ns; what comes behind the first record of that time or later is left out.

    Raises
    ------
    SourceError
        A file is not the contract's, or was changed while it was decoded.
    """
    if isinstance(source, DecodedSource) or not any(file.is_compressed for file in source.files):
        return source
    if source.watch is not None:
        return source  # its holes are counted in the files' own records
    files = [(str(f.path.resolve()), *f.held.mark.state, f.symbol, f.assumes_symbol) for f in source.files]
    identity = json.dumps([files, source.stretch.kind, source.window, until_ns])
    stem = folder / hashlib.sha256(identity.encode()).hexdigest()[:24]
    data, facts = stem.with_suffix(".mbo"), stem.with_suffix(".json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(stem.with_suffix(".lock")):
            kept = _take(data, facts)
            if kept is None:
                _decode(source, data, until_ns)
                held = HeldFile(data)
                told = {"damage": source.damage, "remarks": source.remarks, "id_changes": asdict(source.id_changes)}
                # Written last: where the facts are, the records are whole.
                write_atomic(facts, json.dumps({**told, "state": held.mark.state}).encode())
                kept = held, told
    except OSError as error:
        if not costs_time_only(error):
            raise
        return source
    return DecodedSource(source, *kept)


def _take(data: Path, facts: Path) -> tuple[HeldFile, dict[str, Any]] | None:
    """What was decoded before, where it lies as it was left."""
    try:
        told = json.loads(facts.read_text())
        held = HeldFile(data)
    except (FileNotFoundError, ValueError, SourceError):
        return None
    return (held, told) if told.get("state") == list(held.mark.state) else None


def forget_decoded(folder: Path) -> None:
    """Remove what `decode_once` left in a folder."""
    for path in folder.glob("*"):
        if path.suffix in (".mbo", ".json", ".lock", ".part"):
            path.unlink(missing_ok=True)


def _decode(source: Source, data: Path, until_ns: int) -> None:
    start, end = source.window
    part = data.with_suffix(".part")
    try:
        with writing(data), part.open("wb") as file:
            for records in source.records():
                # Snapshots and clears bear times of their own; only what flows tells that the time has come.
                flows = (records["flags"] & c.F_SNAPSHOT == 0) & (records["action"] != c.ACTION_CLEAR)
                ts, captured = records["ts_event"], records["ts_recv"]
                is_own = (captured >= start) & (captured < end)  # of the session; what has no time of capture does not tell
                over = np.flatnonzero(flows & is_own & (ts >= max(until_ns, start)) & (ts < end))
                file.write(np.ascontiguousarray(records[: over[0] + 1] if len(over) else records).view(np.uint8).data)
                if len(over):
                    break
            file.flush()
            os.fsync(file.fileno())
        part.rename(data)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
