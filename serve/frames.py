"""What crosses the socket for one bin: a JSON header and one Arrow IPC stream, encoded and decoded.

Source: interfaces.md, "HTTP and WebSocket"; engine.md sections 4 and 8.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.schema import BIN_FIELD_NAMES, GRID_COLUMNS, MODEL_FIELD_NAMES, MODEL_PREFIX, BinRows, grid_schema

STREAM_FORMAT: Final = "dense_grid"
_ARROW_ALIGNMENT: Final = 8  # bytes; Arrow pads every buffer of an IPC body to this

# JSON numbers are doubles in a browser: what may pass 2^53 travels as a decimal string.
_TEXT_SUFFIXES: Final = ("_ns", "_int")


class Block(Protocol):
    """The part of `engine.run.runner.BinBlock` that the wire needs."""

    @property
    def n(self) -> int: ...
    @property
    def bins(self) -> BinRows: ...
    @property
    def model_name(self) -> str: ...
    @property
    def grid(self) -> Mapping[str, NDArray[Any]]: ...


@dataclass(frozen=True, slots=True)
class BinFrames:
    """One bin, encoded.

    ``head`` is the header's JSON without its closing brace: how many bins were skipped before it is known only when it is sent.
    The moments of its making are UTC, and no part of what it is: when its records were taken up, and when its rows were ready.
    """

    bin_seq: int
    head: str
    grid: bytes
    bin_end_ns: int = 0
    ingest_ns: int = field(default=0, compare=False)
    grid_ready_ns: int = field(default=0, compare=False)
    # When the last of its records was taken up; 0 where they were taken up at once, as from a file.
    last_ingest_ns: int = field(default=0, compare=False)

    def header(self, dropped_bins: int) -> str:
        """The complete ``grid_update`` text.

        Parameters
        ----------
        dropped_bins : int
            Whole bins skipped since the one sent before.
        """
        return f'{self.head},"dropped_bins":{dropped_bins}}}'


def is_text_integer(name: str) -> bool:
    """Whether a 64-bit field travels as a decimal string."""
    return name.endswith(_TEXT_SUFFIXES)


class FrameEncoder:
    """Encodes the bins of one stream; made once per stream, for one thread at a time, then about 100 microseconds a bin.

    Arrow's own writer spends most of its time on metadata that never changes here: same schema, same rows, no nulls. So one
    stream is written by pyarrow, the place of each column's buffer in it is computed and checked, and every bin is a copy
    of that stream with other numbers in it.

    Parameters
    ----------
    n_rows : int
        Grid rows of a bin, ``2 * radius + 1``.

    Raises
    ------
    RuntimeError
        When pyarrow lays a stream out in another way than assumed here.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        probe = {name: np.arange(i, i + n_rows).astype(code) for i, (name, code) in enumerate(GRID_COLUMNS.items())}
        template, body_offset = _written_by_arrow(probe)
        layout = _body_layout(n_rows, body_offset, len(template))
        self._stream = bytearray(template)
        rows = np.frombuffer(self._stream, dtype=layout, count=1)[0]
        # Looked up once: by name in each bin it would take as long as all the copying.
        self._columns: dict[str, NDArray[Any]] = {name: rows[name] for name in GRID_COLUMNS}
        if self.encode_grid(probe) != template:
            raise RuntimeError("pyarrow lays out an IPC stream in an unknown way; the frame encoder must follow it")

    def encode_grid(self, columns: Mapping[str, NDArray[Any]]) -> bytes:
        """One Arrow IPC stream with one record batch.

        Parameters
        ----------
        columns : mapping of str to NDArray, shape (n_rows,)
            Every name of `engine.schema.GRID_COLUMNS`.
        """
        for name, place in self._columns.items():
            place[:] = columns[name]
        return bytes(self._stream)

    def encode(self, block: Block, i_bin: int = 0) -> BinFrames:
        """Both frames of one bin of a block."""
        row = block.bins[i_bin]
        grid = block.grid
        columns = {name: grid[name][i_bin] for name in GRID_COLUMNS}
        head = encode_header(row, block.model_name)
        return BinFrames(int(row["bin_seq"]), head, self.encode_grid(columns), int(row["bin_end_ns"]))


def encode_header(row: np.void, model_name: str) -> str:
    """Header of one bin as JSON, without the closing brace and ``dropped_bins``.

    Raises
    ------
    ValueError
        When a number but the mid is NaN or infinite, which the engine never emits.
    """
    values = dict(zip(_BIN_NAMES, row.tolist(), strict=True))
    header: dict[str, Any] = {"type": "grid_update"}
    for name in BIN_FIELD_NAMES:
        value = values[name]
        header[name] = str(value) if name in _TEXT_FIELDS else value
    if math.isnan(header[_MID]):
        header[_MID] = None  # JSON has no NaN: a bin without both sides has no mid
    header[MODEL_PREFIX + "name"] = model_name
    for name in MODEL_FIELD_NAMES:
        header[name] = values[name]
    return _COMPACT.encode(header)[:-1]


def decode_header(text: str) -> dict[str, Any]:
    """A ``grid_update`` with its 64-bit strings turned back into integers.

    Raises
    ------
    ValueError
        When the text is not a JSON object, or a 64-bit value is no decimal string.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"a header must be a JSON object, got {type(values).__name__}")
    for name, value in values.items():
        if is_text_integer(name):
            if not isinstance(value, str):
                raise ValueError(f"{name} was {value!r}; it must be a decimal string")
            values[name] = int(value)
    return values


def decode_grid(data: bytes) -> dict[str, NDArray[Any]]:
    """Columns of a binary frame, by name.

    Raises
    ------
    ValueError
        When it does not hold exactly one record batch of the grid's schema.
    """
    with pa.ipc.open_stream(data) as reader:
        batches = list(reader)
        if len(batches) != 1 or not reader.schema.equals(grid_schema()):
            raise ValueError(f"a grid frame must hold one record batch of the grid's schema, got {len(batches)} batches")
    return {name: batches[0].column(name).to_numpy() for name in GRID_COLUMNS}


def message(kind: str, **fields: Any) -> str:
    """Any other text frame, ``type`` first."""
    return _COMPACT.encode({"type": kind, **fields})


_MID: Final = "mid_price"
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_BIN_NAMES: Final = (*BIN_FIELD_NAMES, *MODEL_FIELD_NAMES)
_TEXT_FIELDS: Final = frozenset(name for name in BIN_FIELD_NAMES if is_text_integer(name))


def _written_by_arrow(columns: Mapping[str, NDArray[Any]]) -> tuple[bytes, int]:
    """A stream as pyarrow writes it, and where its record batch's body starts."""
    schema = grid_schema()
    batch = pa.record_batch([pa.array(columns[name]) for name in GRID_COLUMNS], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    data = sink.getvalue().to_pybytes()
    reader = pa.BufferReader(data)
    pa.ipc.read_message(reader)  # the schema
    body_bytes = pa.ipc.read_message(reader).body.size
    return data, reader.tell() - body_bytes


def _body_layout(n_rows: int, body_offset: int, n_bytes: int) -> np.dtype[np.void]:
    """The whole stream as one record whose fields are the columns' buffers."""
    offsets, offset = [], body_offset
    for code in GRID_COLUMNS.values():
        offsets.append(offset)
        used = n_rows * np.dtype(code).itemsize
        offset += -(-used // _ARROW_ALIGNMENT) * _ARROW_ALIGNMENT
    formats = [(code, (n_rows,)) for code in GRID_COLUMNS.values()]
    return np.dtype({"names": list(GRID_COLUMNS), "formats": formats, "offsets": offsets, "itemsize": n_bytes})
