"""What the gateway plays: market-by-order records of some DBN files in the order of their capture, and whose they are."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.constants import NS_PER_DAY, NS_PER_S
from engine.errors import SourceError
from engine.feed.dbn_stream import DbnStream
from engine.schema import MBO_DTYPE, Ints, MboRecords

CHUNK: Final = 1 << 16  # records looked at in one step


@dataclass(frozen=True)
class Contract:
    """An instrument id stands for a symbol on the UTC days from ``first`` until ``end``, which is not one of them."""

    symbol: str
    instrument_id: int
    first: date
    end: date


@dataclass(frozen=True)
class Tape:
    """Records in the order of capture, mapped from a copy on disk that has no name any more.

    ``released_ns`` (n,) is when each may be sent at the earliest: its capture time, or an earlier record's that is later.
    """

    dataset: str
    contracts: tuple[Contract, ...]
    records: MboRecords
    released_ns: Ints

    @property
    def start_ns(self) -> int:
        """Start of the first UTC day that it holds."""
        return int(self.released_ns[0]) // NS_PER_DAY * NS_PER_DAY

    @property
    def end_ns(self) -> int:
        """End of the last UTC day that it holds."""
        return (int(self.released_ns[-1]) // NS_PER_DAY + 1) * NS_PER_DAY

    @property
    def days(self) -> list[date]:
        """Every UTC day from the first to the last."""
        n = (self.end_ns - self.start_ns) // NS_PER_DAY
        first = datetime.fromtimestamp(self.start_ns // NS_PER_S, UTC).date()
        return [first + timedelta(days=i) for i in range(n)]

    def between(self, start_ns: int, end_ns: int, ids: Iterable[int]) -> Iterator[MboRecords]:
        """Records of some instruments captured from ``start_ns`` on and before ``end_ns``, in pieces."""
        wanted = np.array(sorted(ids), np.uint32)
        for at in range(0, len(self.records), CHUNK):
            piece = self.records[at : at + CHUNK]
            is_in = (piece["ts_recv"] >= start_ns) & (piece["ts_recv"] < end_ns) & np.isin(piece["instrument_id"], wanted)
            if is_in.any():
                yield np.asarray(piece[is_in])


def open_tape(paths: Sequence[Path], work: Path) -> Tape:
    """Read files into one tape, whose records lie on the disk of the folder ``work`` and in no file of it.

    Raises
    ------
    SourceError
        A file is no DBN file of the mbo schema, is damaged, or does not say whose records it holds.
    """
    contracts: dict[Contract, None] = {}
    datasets = set()
    with tempfile.NamedTemporaryFile(dir=work, delete=False) as out:
        for path in paths:
            stream = DbnStream(path)
            for records in stream.records():
                out.write(records.tobytes())
            datasets.add(stream.metadata.dataset)
            contracts |= dict.fromkeys(contracts_of(path, stream.metadata))
    if len(datasets) != 1:
        raise SourceError(f"the files are of the datasets {', '.join(sorted(datasets))}; a gateway plays one, give files of one")
    if not Path(out.name).stat().st_size:
        raise SourceError(f"{paths[0]} holds no mbo record; give files with records")
    mapped: MboRecords = np.memmap(out.name, MBO_DTYPE, mode="r")
    Path(out.name).unlink()  # a file without a name cannot be cut under the mapping, which would end the process
    if (np.diff(mapped["ts_recv"].astype(np.int64)) < 0).any() and len(paths) > 1:
        mapped = mapped[np.argsort(mapped["ts_recv"], kind="stable")]  # files of one day, each of another contract
    return Tape(
        dataset=datasets.pop(),
        contracts=tuple(contracts),
        records=mapped,
        released_ns=np.maximum.accumulate(mapped["ts_recv"].astype(np.int64)),
    )


def contracts_of(path: Path, metadata: Any) -> Iterator[Contract]:
    """Whose records a file of the vendor's history holds.

    Raises
    ------
    SourceError
        It does not say.
    """
    found = False
    for key, intervals in dict(metadata.mappings).items():
        for interval in intervals:
            # Either side of a mapping may be the id, by the way the file was asked for.
            name, number = (key, interval["symbol"]) if interval["symbol"].isdigit() else (interval["symbol"], key)
            if number.isdigit():
                found = True
                yield Contract(name, int(number), interval["start_date"], interval["end_date"])
    if not found:
        raise SourceError(f"{path} maps no symbol to an instrument id in its metadata; give a file of the vendor's history")
