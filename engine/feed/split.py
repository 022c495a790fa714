"""A file of many contracts cut by contract, in one pass and in flat memory.

Each part is a DBN file of its own: the source's metadata narrowed to the contract, its records byte for byte in their order. What
is no record of a contract (mapping, system and other kinds) belongs to none and is left out. An order file beside the parts says
which part each record went to, so that they can be laid together again; that is done once, and must give back what was cut.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import numpy as np
import zstandard

from engine.errors import ConfigError, SourceError, WorkError
from engine.feed.dbn_stream import DbnStream
from engine.feed.gateway.tape import Contract, contracts_of
from engine.files import fsync_path, sha256_blocks, writing
from engine.schema import MBO_DTYPE, MboRecords
from engine.simulate.file import SymbolInterval, SymbolMapping

_PIECE: Final = 1 << 16
_PART: Final = np.dtype("<u2")  # number of a part


@dataclass(frozen=True)
class Part:
    """A contract's records of a file."""

    symbol: str
    path: Path
    n_records: int


class _Writer:
    """One part under way, compressed; it has its name only when all parts are whole."""

    def __init__(self, folder: Path, head: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=".part.", suffix=".tmp", dir=folder)
        self.temporary = Path(name)
        self._file = open(handle, "wb")  # noqa: SIM115  # closed by `close`
        self._packer = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
        self.n_records = 0
        self._write(head)

    def _write(self, data: bytes) -> None:
        with writing(self.temporary):
            self._file.write(self._packer.compress(data))

    def add(self, records: np.ndarray[Any, Any]) -> None:
        """More records."""
        self._write(records.tobytes())
        self.n_records += len(records)

    def finish(self, path: Path) -> None:
        """Write the rest and give it its name."""
        with writing(self.temporary):
            self._file.write(self._packer.flush())
            self._file.flush()
        fsync_path(self.temporary)
        self.temporary.chmod(0o644)
        self.temporary.rename(path)

    def close(self) -> None:
        """Let go of the file, and of what never got a name."""
        self._file.close()
        self.temporary.unlink(missing_ok=True)


def split_file(path: Path, folder: Path) -> list[Part]:
    """Cut a file by contract into ``folder``, as ``<contract>-<its name>``; the parts, in the order in which they first occur.

    Raises
    ------
    SourceError
        It is damaged, or holds a record that its metadata give to no contract.
    ConfigError
        A part lies there already.
    WorkError
        The parts do not give back what was cut.
    """
    stream = DbnStream(path)
    contracts = list(contracts_of(path, stream.metadata))
    symbols = {one.instrument_id: one.symbol for one in contracts}
    if len({(one.instrument_id, one.symbol) for one in contracts}) != len(symbols):
        raise SourceError(f"{path} gives an instrument id to two contracts; cut it by day first")
    names = {symbol: folder / _part_name(symbol, path) for symbol in symbols.values()}
    order_path = folder / f"{_plain_name(path)}.order.zst"
    if there := [name for name in (*names.values(), order_path) if name.exists()]:
        raise ConfigError(f"{there[0]} lies there already; set it aside or give another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        order = _Writer(folder, b"")
        opened.callback(order.close)
        writers: dict[str, _Writer] = {}

        def write(symbol: str, records: MboRecords) -> int:
            if symbol not in writers:
                mine = [one for one in contracts if one.symbol == symbol]
                writers[symbol] = _Writer(folder, _head(stream.metadata, symbol, mine))
                opened.callback(writers[symbol].close)
            writers[symbol].add(records)
            return list(writers).index(symbol)

        digest = sha256_blocks(_cut(path, stream, symbols, write, order))
        for symbol, writer in writers.items():
            writer.finish(names[symbol])
        order.finish(order_path)
    fsync_path(folder)
    parts = [Part(symbol, names[symbol], writer.n_records) for symbol, writer in writers.items()]
    if sha256_blocks(join(order_path, [one.path for one in parts])) != digest:
        raise WorkError(f"the parts in {folder} do not give back what was cut from {path}; remove them and cut it again")
    return parts


def _cut(
    path: Path, stream: DbnStream, symbols: dict[int, str], write: Callable[[str, MboRecords], int], order: _Writer
) -> Iterator[bytes]:
    """Give each record to its part, and the part's number to the order; the source's bytes as they come by."""
    for records in stream.records():
        parts = np.zeros(len(records), _PART)
        for number in np.unique(records["instrument_id"]).tolist():
            if number not in symbols:
                raise SourceError(f"{path} holds records of id {number}, which its metadata give to no contract; fetch it again")
            is_of = records["instrument_id"] == number
            parts[is_of] = write(symbols[number], records[is_of])
        order.add(parts)
        yield records.tobytes()


def join(order_path: Path, parts: Sequence[Path]) -> Iterator[bytes]:
    """The records of some parts, given in the order of their numbers, as they lay in the file that they were cut from."""
    readers = [_Reader(path) for path in parts]
    with order_path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as order:
        while block := order.read(_PIECE * _PART.itemsize):
            numbers = np.frombuffer(block, _PART)
            out = np.empty(len(numbers), MBO_DTYPE)
            for number in np.unique(numbers).tolist():
                is_of = numbers == number
                out[is_of] = readers[number].take(int(is_of.sum()))
            yield out.tobytes()


class _Reader:
    """Records of a part, so many at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks = DbnStream(path, _PIECE).records()
        self._rest = np.empty(0, MBO_DTYPE)

    def take(self, n: int) -> MboRecords:
        """The next ``n``."""
        while len(self._rest) < n:
            block = next(self._blocks, None)
            if block is None:
                raise SourceError(f"{self._path} has fewer records than its order file says; cut the source again")
            self._rest = np.concatenate([self._rest, block])
        taken, self._rest = self._rest[:n], self._rest[n:]
        return taken


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".zst").removesuffix(".dbn")


def _part_name(symbol: str, path: Path) -> str:
    return f"{re.sub('[^a-z0-9-]', '_', symbol.lower())}-{_plain_name(path)}.dbn.zst"


def _head(metadata: Any, symbol: str, contracts: list[Contract]) -> bytes:
    spans = [SymbolInterval(one.first, one.end, str(one.instrument_id)) for one in contracts]
    return bytes(
        dbn.Metadata(
            dataset=metadata.dataset,
            start=metadata.start,
            end=metadata.end,
            schema=dbn.Schema.from_str("mbo"),
            stype_in=dbn.SType.from_str("raw_symbol"),
            stype_out=dbn.SType.from_str("instrument_id"),
            symbols=[symbol],
            mappings=[SymbolMapping(symbol, spans)],
            ts_out=False,
            version=int(metadata.version),
        )
    )
