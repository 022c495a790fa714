"""A DBN file of the mbo schema read once from front to back in flat memory: damage ends it with an error, never early.

`engine.source` reads what the engine plays and bears what is broken; here a file is judged as a delivery.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import databento_dbn
import numpy as np
import zstandard

from engine.constants import MBO_RECORD_BYTES
from engine.errors import SourceError
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.kernels import AT_MAPPING, BROKEN, walk_records

_PACKED_BYTES: Final = 4_096  # compressed; what is alike shrinks a thousandfold and more
_PROLOGUE: Final = 8  # "DBN", version, length of the metadata
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class DbnStream:
    """One open file: its ``metadata``, and its records once; read ``read_bytes`` at a time.

    Raises
    ------
    SourceError
        It is no DBN file, or another's schema.
    """

    def __init__(self, path: Path, read_bytes: int = 1 << 20) -> None:
        self._path = path
        self._blocks = _plain_blocks(path, read_bytes)
        self._rest = b""
        self.metadata = self._read_head()

    def _take(self) -> bool:
        """Read on; whether there was more."""
        try:
            block = next(self._blocks, b"")
        except EOFError:
            raise SourceError(f"{self._path} breaks off inside its compressed data; fetch it again") from None
        except zstandard.ZstdError as error:
            raise SourceError(f"{self._path} is damaged: {error}; fetch it again") from error
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}; name a DBN file") from error
        self._rest += block
        return bool(block)

    def _read_head(self) -> Any:
        need = _PROLOGUE
        while len(self._rest) < need:
            if not self._take():
                raise SourceError(f"{self._path} breaks off inside its metadata; fetch it again")
            if self._rest[:3] != b"DBN"[: len(self._rest)]:
                raise SourceError(f"{self._path} is not a DBN file; give a .dbn or .dbn.zst file of the mbo schema")
            if len(self._rest) >= _PROLOGUE:
                need = _PROLOGUE + int.from_bytes(self._rest[4:8], "little")
        head, self._rest = self._rest[:need], self._rest[need:]
        try:
            metadata = databento_dbn.Metadata.decode(head)
        except (databento_dbn.DBNError, ValueError) as error:
            raise SourceError(f"{self._path} has metadata that cannot be decoded: {error}; fetch it again") from error
        schema = None if metadata.schema is None else str(metadata.schema)
        if schema not in ("mbo", None):
            raise SourceError(f"{self._path} holds schema {schema!r}; only mbo is read, fetch it with --schema mbo")
        return metadata

    def records(self) -> Iterator[MboRecords]:
        """Its mbo records in file order, in arrays of some thousands; those of other kinds are passed over.

        Raises
        ------
        SourceError
            It is damaged or breaks off.
        """
        others = np.zeros(256, np.int64)
        while self._rest or self._take():
            data = np.frombuffer(self._rest, np.uint8)
            records = np.empty(len(data) // MBO_RECORD_BYTES + 1, MBO_DTYPE)
            n, used, ended = walk_records(data, records.view(np.uint8).reshape(-1, MBO_RECORD_BYTES), others)
            if n:
                yield records[:n]
            if ended == BROKEN:
                raise SourceError(f"{self._path} holds a record of impossible length; fetch it again")
            skip = used + (4 * int(data[used]) if ended == AT_MAPPING else 0)
            is_whole = ended != AT_MAPPING or skip <= len(data)
            self._rest = self._rest[skip if is_whole else used :]
            if (ended != AT_MAPPING or not is_whole) and not self._take():
                break
        if self._rest:
            raise SourceError(f"{self._path} breaks off {len(self._rest)} bytes into a record; fetch it again")


def _plain_blocks(path: Path, read_bytes: int) -> Iterator[bytes]:
    """A file's bytes, decompressed; a frame that breaks off raises EOFError."""
    with path.open("rb") as file:
        is_compressed = file.read(4) == _ZSTD_MAGIC
        file.seek(0)
        yield from _inflated(file, read_bytes) if is_compressed else iter(lambda: file.read(read_bytes), b"")


def _inflated(file: IO[bytes], read_bytes: int) -> Iterator[bytes]:
    """Decompressed blocks of ``read_bytes`` and hardly more: little goes in at a time, whatever comes out of it."""
    decompressor = None
    ready = bytearray()
    while block := file.read(_PACKED_BYTES):
        while block:
            decompressor = decompressor or zstandard.ZstdDecompressor().decompressobj()
            ready += decompressor.decompress(block)
            block = decompressor.unused_data if decompressor.eof else b""
            if decompressor.eof:
                decompressor = None
        if len(ready) >= read_bytes:
            yield bytes(ready)
            ready.clear()
    if ready:
        yield bytes(ready)
    if decompressor is not None:
        raise EOFError
