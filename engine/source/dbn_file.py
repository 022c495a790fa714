"""One DBN file: its metadata checked at once, its market-by-order records read on demand.

Uncompressed files are mapped a window at a time, compressed ones streamed.

Source: engine.md section 1; DBN versions 1 to 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import databento_dbn
import numpy as np
import zstandard
from numpy.typing import NDArray

from engine.constants import MBO_RECORD_BYTES, NS_PER_S, UNDEF_TIMESTAMP
from engine.errors import SourceError
from engine.files import sha256_file
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.kernels import are_all_of, is_plain, walk_records

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_START_BYTES: Final = 11  # a magic, a length, and "DBZ" where a legacy file opens with a frame that zstd skips
_PROLOGUE = 8  # "DBN", version, length of the metadata
_READ_BYTES = 1 << 20
WINDOW_RECORDS: Final = 1 << 20  # of a mapped file, 59 MB


def _read_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            yield block


def _inflate(path: Path) -> Iterator[bytes]:
    """Decompressed blocks; frames may follow each other. A frame that breaks off raises EOFError after its last block."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    fresh = True
    for block in _read_file(path):
        while block:
            if out := decompressor.decompress(block):
                yield out
            block = b""
            if decompressor.eof:
                block = decompressor.unused_data
                decompressor = zstandard.ZstdDecompressor().decompressobj()
                fresh = True
            else:
                fresh = False
    if not fresh:
        raise EOFError


def _on_one_line(text: str) -> str:
    """What a damaged file says of itself, fit for one line of a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


@dataclass(frozen=True)
class Mapping:
    """An instrument id stands for the locked contract from ``start_ns`` until ``end_ns``."""

    instrument_id: int
    start_ns: int
    end_ns: int


@dataclass
class DbnFile:
    """One file: its metadata checked at once, its records read on demand."""

    path: Path
    symbol: str
    version: int = 0
    mappings: tuple[Mapping, ...] = ()
    first_day: date = date(1970, 1, 1)
    start_ns: int = 0  # where the data begin, and
    end_ns: int | None = None  # where the data reach by the file's own word
    notices: list[str] = field(default_factory=list)
    chunk_first: int | None = None
    _metadata_bytes: int = 0

    def __post_init__(self) -> None:
        try:
            with self.path.open("rb") as file:
                start = file.read(_START_BYTES)
        except FileNotFoundError:
            raise SourceError(f"{self.path} does not exist; name a .dbn or .dbn.zst file of the mbo schema") from None
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from error
        if not start:
            raise SourceError(f"{self.path} is empty; give a .dbn or .dbn.zst file of the mbo schema")
        is_skippable = start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5  # a frame without data, as pzstd writes them
        if self.path.suffix == ".dbz" or start[:3] == b"DBZ" or (is_skippable and start[8:] == b"DBZ"):
            raise SourceError(f"{self.path} is a legacy DBZ file; convert it to DBN with databento's dbn tool first")
        self.is_compressed = is_skippable or start[:4] == ZSTD_MAGIC
        metadata = self._decode_metadata(self._head())
        schema = str(metadata.schema) if metadata.schema is not None else None
        if schema not in ("mbo", None):
            raise SourceError(
                f"{self.path} holds schema {schema!r}; only mbo can rebuild a book. Download the same span with --schema mbo"
            )
        self.version = int(metadata.version)
        if metadata.start < UNDEF_TIMESTAMP:
            self.start_ns = int(metadata.start)
            self.first_day = datetime.fromtimestamp(metadata.start / NS_PER_S, UTC).date()
        if metadata.limit is None and metadata.end is not None and metadata.end < UNDEF_TIMESTAMP:
            self.end_ns = int(metadata.end)
        self.mappings = self._mappings(metadata)

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file as it lies on disk."""
        return sha256_file(self.path)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    def _blocks(self) -> Iterator[bytes]:
        return _inflate(self.path) if self.is_compressed else _read_file(self.path)

    def _head(self) -> bytes:
        """The prologue and the whole metadata."""
        head = b""
        need = _PROLOGUE
        try:
            for block in self._blocks():
                head += block
                if len(head) >= _PROLOGUE:
                    if head[:3] != b"DBN":
                        break
                    need = _PROLOGUE + int.from_bytes(head[4:8], "little")
                if len(head) >= need:
                    break
        except zstandard.ZstdError as error:
            raise SourceError(f"{self.path} is not a readable zstd file: {error}") from error
        except EOFError:
            pass  # what there is of it is judged below
        if not b"DBN".startswith(head[:3]):
            raise SourceError(f"{self.path} is not a DBN file (it starts with {head[:4]!r}); give a .dbn or .dbn.zst file")
        if len(head) < need:
            raise SourceError(f"{self.path} breaks off inside its metadata; download it again")
        self._metadata_bytes = need
        return head[:need]

    def _decode_metadata(self, head: bytes) -> Any:
        try:
            return databento_dbn.Metadata.decode(head)
        except (databento_dbn.DBNError, ValueError) as error:
            raise SourceError(f"{self.path} has metadata that cannot be decoded: {_on_one_line(str(error))}") from error

    def _mappings(self, metadata: Any) -> tuple[Mapping, ...]:
        """Ids of the locked contract, per date interval."""
        found = []
        listed = set()
        for symbol, intervals in dict(metadata.mappings).items():
            for interval in intervals:
                # Either side of a mapping may be the id, by the way the file was asked for.
                raw, number = (symbol, interval["symbol"]) if interval["symbol"].isdigit() else (interval["symbol"], symbol)
                listed.add(raw)
                if raw == self.symbol and number.isdigit():
                    found.append(Mapping(int(number), day_start_ns(interval["start_date"]), day_start_ns(interval["end_date"])))
        if listed and not found:
            names = _on_one_line(", ".join(sorted(listed)[:8]))
            raise SourceError(
                f"{self.path} holds {names}{' …' if len(listed) > 8 else ''}, not the locked contract "
                f"{self.symbol}; name the file of {self.symbol}, or another instrument in VP_INSTRUMENT_CONFIG_PATH"
            )
        spans = sorted(found, key=lambda one: one.start_ns)
        for one, next_one in pairwise(spans):
            if one.instrument_id != next_one.instrument_id and next_one.start_ns < one.end_ns:
                raise SourceError(
                    f"{self.path} maps {self.symbol} to ids {one.instrument_id} and {next_one.instrument_id} on the same day; a "
                    "contract has one id a day. Download it again with symbology"
                )
        return tuple(found)

    def _notice(self, text: str) -> None:
        """Tell it once, however often the file is read."""
        if text not in self.notices:
            self.notices.append(text)

    def raw_records(self, chunk: int, first: int = 0) -> Iterator[MboRecords]:
        """All MBO records of the file from number ``first`` on, any instrument, in arrays of at most ``chunk``.

        A broken tail is noticed. ``chunk_first`` is the number of the array's first record in a file that can be entered there
        at once, else None.
        """
        if self.is_compressed:
            yield from _leave_out(self._streamed(chunk), first)
        else:
            yield from self._mapped(chunk, first)

    def _mapped(self, chunk: int, first: int) -> Iterator[MboRecords]:
        n_bytes = self.size - self._metadata_bytes
        whole = max(n_bytes, 0) // MBO_RECORD_BYTES
        done = min(first, whole)
        # A window of the file at a time: what lies behind it need not stay in memory, however long the day.
        while done < whole:
            offset = self._metadata_bytes + done * MBO_RECORD_BYTES
            window = np.memmap(self.path, MBO_DTYPE, "r", offset, (min(WINDOW_RECORDS, whole - done),))
            for start in range(0, len(window), chunk):
                records = window[start : start + chunk]
                if not is_plain(records):
                    # Records of other kinds are walked by their own lengths.
                    self.chunk_first = None
                    yield from self._walked(self._rest(done + start), chunk)
                    return
                self.chunk_first = done + start
                yield records
            done += len(window)
        if n_bytes > 0:
            yield from self._walked(self._rest(whole), chunk)  # a tail that breaks off

    def _rest(self, first: int) -> Iterator[NDArray[np.uint8]]:
        at = self._metadata_bytes + first * MBO_RECORD_BYTES
        while at < self.size:
            block = np.memmap(self.path, np.uint8, "r", at, (min(_READ_BYTES, self.size - at),))
            yield block
            at += len(block)

    def _streamed(self, chunk: int) -> Iterator[MboRecords]:
        yield from self._walked(self._after_metadata(), chunk)

    def _after_metadata(self) -> Iterator[NDArray[np.uint8]]:
        skip = self._metadata_bytes
        try:
            for block in _inflate(self.path):
                if skip >= len(block):
                    skip -= len(block)
                    continue
                yield np.frombuffer(block, np.uint8)[skip:]
                skip = 0
        except EOFError:
            self._notice(f"{self.path} breaks off inside its compressed data; read up to the last whole record")
        except zstandard.ZstdError as error:
            self._notice(f"{self.path} is damaged ({error}); read up to the last whole record before it")

    def _walked(self, blocks: Any, chunk: int) -> Iterator[MboRecords]:
        """Cut a byte stream into records by each one's own length."""
        rest = np.zeros(0, np.uint8)
        n_other = 0
        is_broken = False
        for block in blocks:
            data = np.concatenate([rest, block]) if len(rest) else block
            while True:
                records = np.empty(min(chunk, len(data) // MBO_RECORD_BYTES + 1), MBO_DTYPE)
                n, used, skipped, is_broken = walk_records(data, records.view(np.uint8).reshape(-1, MBO_RECORD_BYTES))
                n_other += skipped
                if n:
                    yield records[:n]
                data = data[used:]
                if is_broken or n < len(records):
                    break
            rest = data
            if is_broken:
                self._notice(f"{self.path} holds a record of impossible length; read up to the one before it")
                break
        if len(rest) and not self.notices:  # else the end of the compressed data has been told already
            self._notice(f"{self.path} breaks off {len(rest)} bytes into a record; read up to the last whole one")
        if n_other:
            self._notice(f"{self.path} holds {n_other} records that are not mbo; they were left out")

    def records(self, chunk: int, first: int = 0) -> Iterator[MboRecords]:
        """Records of the locked contract, in file order, from the file's record number ``first`` on."""
        mappings = self.mappings
        seen: set[int] = set()
        for block in self.raw_records(chunk, first):
            if not mappings:
                seen.update(int(i) for i in np.unique(block["instrument_id"]))
                if len(seen) > 1:
                    raise SourceError(
                        f"{self.path} has no symbol mappings and holds instruments {', '.join(map(str, sorted(seen)[:8]))}; "
                        "without mappings a file must hold exactly one. Download it again with symbology"
                    )
                yield block
                continue
            picked = self._mapped_records(block)
            if len(picked):
                yield picked

    def _mapped_records(self, block: MboRecords) -> MboRecords:
        """Those whose id stands for the locked contract on the UTC day of their capture; the block itself where all do."""
        for mapping in self.mappings:
            if are_all_of(block, mapping.instrument_id, np.uint64(mapping.start_ns), np.uint64(mapping.end_ns)):
                return block
        ids, days = block["instrument_id"], block["ts_recv"]
        days = np.where(days == UNDEF_TIMESTAMP, block["ts_event"], days)
        wanted = np.zeros(len(block), np.bool_)
        for mapping in self.mappings:
            wanted |= (ids == mapping.instrument_id) & (days >= mapping.start_ns) & (days < mapping.end_ns)
        return block if wanted.all() else block[wanted]


def _leave_out(blocks: Iterator[MboRecords], n: int) -> Iterator[MboRecords]:
    """All but the first ``n`` records."""
    for block in blocks:
        if n < len(block):
            yield block[n:]
        n = max(0, n - len(block))


def day_start_ns(day: date | str) -> int:
    """UTC nanoseconds at the start of a day."""
    if isinstance(day, str):
        day = date.fromisoformat(day)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S
