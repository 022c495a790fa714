"""A compressed source decoded once per node: its records as a plain file that every process maps.

The mapped pages belong to the machine, not to a process, so any number of replays share one copy and no process holds the
whole. An uncompressed DBN file is that already and is used as it is. Measured on 5.76 million records (118 MB compressed): each
variant decoding for itself 1.26 s; this file 1.10 s once and 0.03 s a variant, 543 MB at most, pages included; Ray's object
store 2.3 s once and 0.07 s a variant, 1,528 MB in the driver.

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

import numpy as np

from engine import constants as c
from engine.files import write_atomic, writing
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.dbn_file import WINDOW_RECORDS
from engine.source.id_changes import IdChanges
from engine.source.records import CHUNK_RECORDS, START, Place, Source


class DecodedSource(Source):
    """A source whose kept records lie decoded in a file; says of its files what the original says."""

    def __init__(self, source: Source, data: Path, damage: list[str], id_changes: IdChanges) -> None:
        super().__init__(source.files, source.dt)
        self._data = data
        self._n_records = data.stat().st_size // MBO_DTYPE.itemsize
        self._damage = damage
        self.id_changes = id_changes

    @property
    def damage(self) -> list[str]:
        """What was found wrong with the files when they were decoded."""
        return list(self._damage)

    def records(self, chunk: int = CHUNK_RECORDS, start: Place = START) -> Iterator[MboRecords]:
        """Slices of the mapped file, read-only."""
        for first in range(start.n_before, self._n_records, WINDOW_RECORDS):
            n = min(WINDOW_RECORDS, self._n_records - first)
            window = np.memmap(self._data, MBO_DTYPE, "r", first * MBO_DTYPE.itemsize, (n,))
            for i in range(0, n, chunk):
                self.place = Place(0, first + i, first + i, int(window[i]["instrument_id"]), self.id_changes)
                yield window[i : i + chunk]


def decode_once(source: Source, folder: Path, until_ns: int) -> Source:
    """The same records up to the one that shows ``until_ns`` to be over, from a mapped file that is made where missing.

    Parameters
    ----------
    folder
        Where decoded files lie; safe to delete while nobody replays.
    until_ns
        UTC ns; what comes behind the first record of that time or later is left out.
    """
    if isinstance(source, DecodedSource) or not any(file.is_compressed for file in source.files):
        return source
    files = [(str(f.path.resolve()), f.size, os.stat(f.path).st_mtime_ns, f.symbol) for f in source.files]
    identity = json.dumps([files, source.dt.isoformat(), until_ns])
    stem = folder / hashlib.sha256(identity.encode()).hexdigest()[:24]
    data, facts = stem.with_suffix(".mbo"), stem.with_suffix(".json")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(stem.with_suffix(".lock")):
        if not facts.is_file():
            _decode(source, data, until_ns)
            # Written last: where the facts are, the records are whole.
            write_atomic(facts, json.dumps({"damage": source.damage, "id_changes": asdict(source.id_changes)}).encode())
    told = json.loads(facts.read_text())
    return DecodedSource(source, data, told["damage"], IdChanges(**told["id_changes"]))


def forget_decoded(folder: Path) -> None:
    """Remove what `decode_once` left in a folder."""
    for path in folder.glob("*"):
        if path.suffix in (".mbo", ".json", ".lock", ".part"):
            path.unlink(missing_ok=True)


def _decode(source: Source, data: Path, until_ns: int) -> None:
    start, end = source.window
    part = data.with_suffix(".part")
    with writing(data), part.open("wb") as file:
        for records in source.records():
            # Snapshots and clears bear times of their own; only what flows tells that the time has come.
            flows = (records["flags"] & c.F_SNAPSHOT == 0) & (records["action"] != c.ACTION_CLEAR)
            ts = records["ts_event"]
            over = np.flatnonzero(flows & (ts >= max(until_ns, start)) & (ts < end))
            file.write(np.ascontiguousarray(records[: over[0] + 1] if len(over) else records).view(np.uint8).data)
            if len(over):
                break
        file.flush()
        os.fsync(file.fileno())
    part.rename(data)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
