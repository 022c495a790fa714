"""One DBN file: its metadata checked at once, its market-by-order records read on demand.

Uncompressed files are read a window at a time, compressed ones streamed; both through the one descriptor of a `HeldFile`.

Source: engine.md section 1; DBN versions 1 to 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import databento_dbn
import numpy as np
import zstandard
from numpy.typing import NDArray

from engine.constants import MBO_RECORD_BYTES, NS_PER_S, RTYPE_NAMES, UNDEF_TIMESTAMP
from engine.errors import SourceError
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.held_file import READ_BYTES, HeldFile
from engine.source.identity import Witness, on_one_line, read_identity
from engine.source.kernels import AT_MAPPING, BROKEN, is_plain, walk_records

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_START_BYTES: Final = 11  # a magic, a length, and "DBZ" where a legacy file opens with a frame that zstd skips
_PROLOGUE = 8  # "DBN", version, length of the metadata
WINDOW_RECORDS: Final = 1 << 16  # read at once of an uncompressed file, 3.7 MB


def _inflate(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompressed blocks; frames may follow each other. A frame that breaks off raises EOFError after its last block."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    fresh = True
    for block in blocks:
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


@dataclass
class DbnFile:
    """One file: its metadata checked at once, its records read on demand.

    ``notices`` say what is wrong with the file, ``remarks`` what else is in it. ``assumes_symbol``: where nothing in it says
    whose records it holds, they are taken as the locked contract's.
    """

    path: Path
    symbol: str
    assumes_symbol: bool = False
    version: int = 0
    first_day: date = date(1970, 1, 1)
    start_ns: int = 0  # where the data begin, and
    end_ns: int | None = None  # where the data reach by the file's own word
    notices: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    chunk_first: int | None = None
    _metadata_bytes: int = 0

    def __post_init__(self) -> None:
        self.held = HeldFile(self.path)
        start = self.held.read(_START_BYTES, 0)
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
        self.identity = read_identity(self.path, self.symbol, metadata)

    @property
    def sha256(self) -> str:
        """Checksum of the file as it was opened, which is as it still lies on disk."""
        digest = self.held.digest()
        self.held.require_in_place()
        return digest

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.held.size

    def first_of_last(self, n: int) -> int | None:
        """Number of the record that ``n`` others follow at most, if all of the file are plain; None for a compressed one."""
        return None if self.is_compressed else max(0, (self.size - self._metadata_bytes) // MBO_RECORD_BYTES - n)

    def _blocks(self) -> Iterator[bytes]:
        return _inflate(self.held.blocks()) if self.is_compressed else self.held.blocks()

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
            raise SourceError(f"{self.path} has metadata that cannot be decoded: {on_one_line(str(error))}") from error

    def _notice(self, text: str) -> None:
        """Tell of damage once, however often the file is read."""
        if text not in self.notices:
            self.notices.append(text)

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def _raw_records(self, witness: Witness, chunk: int, first: int) -> Iterator[MboRecords]:
        """All MBO records of the file from number ``first`` on, any instrument, in arrays of at most ``chunk``.

        A broken tail is noticed, a mapping record heard by the witness. ``chunk_first`` is the number of the array's first record
        in a file that can be entered there at once, else None.
        """
        if self.is_compressed:
            yield from _leave_out(self._walked(self._after_metadata(), witness, chunk), first)
        else:
            yield from self._plain(witness, chunk, first)

    def _plain(self, witness: Witness, chunk: int, first: int) -> Iterator[MboRecords]:
        n_bytes = self.size - self._metadata_bytes
        whole = max(n_bytes, 0) // MBO_RECORD_BYTES
        done = min(first, whole)
        # A window of the file at a time: what lies behind it need not stay in memory, however long the day.
        while done < whole:
            n = min(WINDOW_RECORDS, whole - done)
            offset = self._metadata_bytes + done * MBO_RECORD_BYTES
            window = np.frombuffer(self.held.read(n * MBO_RECORD_BYTES, offset), MBO_DTYPE)
            for start in range(0, n, chunk):
                records = window[start : start + chunk]
                if not is_plain(records):
                    # Records of other kinds are walked by their own lengths.
                    self.chunk_first = None
                    yield from self._walked(self._rest(done + start), witness, chunk)
                    return
                self.chunk_first = done + start
                yield records
            done += n
        if n_bytes > 0:
            yield from self._walked(self._rest(whole), witness, chunk)  # a tail that breaks off

    def _rest(self, first: int) -> Iterator[NDArray[np.uint8]]:
        for at in range(self._metadata_bytes + first * MBO_RECORD_BYTES, self.size, READ_BYTES):
            yield np.frombuffer(self.held.read(READ_BYTES, at), np.uint8)

    def _after_metadata(self) -> Iterator[NDArray[np.uint8]]:
        skip = self._metadata_bytes
        try:
            for block in self._blocks():
                if skip >= len(block):
                    skip -= len(block)
                    continue
                yield np.frombuffer(block, np.uint8)[skip:]
                skip = 0
        except EOFError:
            self._notice(f"{self.path} breaks off inside its compressed data; read up to the last whole record")
        except zstandard.ZstdError as error:
            self._notice(f"{self.path} is damaged ({error}); read up to the last whole record before it")

    def _walked(self, blocks: Iterator[NDArray[np.uint8]], witness: Witness, chunk: int) -> Iterator[MboRecords]:
        """Cut a byte stream into records by each one's own length."""
        rest = np.zeros(0, np.uint8)
        others = np.zeros(256, np.int64)  # records of other kinds
        ended = 0
        for block in blocks:
            data = np.concatenate([rest, block]) if len(rest) else block
            while True:
                records = np.empty(min(chunk, len(data) // MBO_RECORD_BYTES + 1), MBO_DTYPE)
                n, used, ended = walk_records(data, records.view(np.uint8).reshape(-1, MBO_RECORD_BYTES), others)
                if n:
                    yield records[:n]
                data = data[used:]
                if ended == AT_MAPPING:
                    length = 4 * int(data[0])
                    witness.hear(data[:length].tobytes())
                    data = data[length:]
                elif ended == BROKEN or n < len(records):
                    break
            rest = data
            if ended == BROKEN:
                self._notice(f"{self.path} holds a record of impossible length; read up to the one before it")
                break
        if len(rest) and not self.notices:  # else the end of the compressed data has been told already
            self._notice(f"{self.path} breaks off {len(rest)} bytes into a record; read up to the last whole one")
        if others.any():
            kinds = ", ".join(
                f"{others[kind]} {RTYPE_NAMES.get(kind, f'of kind {kind}')}" for kind in np.flatnonzero(others).tolist()
            )
            self._remark(f"{self.path} holds {others.sum()} records that are not mbo ({kinds}); they were left out")

    def records(self, chunk: int, first: int = 0) -> Iterator[MboRecords]:
        """Records of the locked contract, in file order, from the file's record number ``first`` on.

        Raises
        ------
        SourceError
            The records are not the contract's, nothing says that they are, or the file was changed.
        """
        witness = Witness(self.identity, self.assumes_symbol)
        for block in self._raw_records(witness, chunk, first):
            picked = witness.pick(block)
            if witness.is_taken_on_trust:
                self._remark(
                    f"{self.path} says nowhere whose records it holds; they are taken as {self.symbol}, as was asked for"
                )
            if len(picked):
                yield picked
        witness.finish()


def _leave_out(blocks: Iterator[MboRecords], n: int) -> Iterator[MboRecords]:
    """All but the first ``n`` records."""
    for block in blocks:
        if n < len(block):
            yield block[n:]
        n = max(0, n - len(block))
