"""What crosses the socket for one bin: a JSON header and one Arrow IPC stream, encoded and decoded.

Source: interfaces.md, "HTTP and WebSocket"; engine.md sections 4 and 8.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.schema import BIN_DTYPE, BIN_FIELD_NAMES, GRID_COLUMNS, MODEL_FIELD_NAMES, MODEL_PREFIX, BinRows, grid_schema

STREAM_FORMAT: Final = "dense_grid"
SCHEMA_VERSION: Final = 2  # of what a bin carries; 2 brought the traded volume by price and side, and `model_trades`
MODEL_TRADES: Final = "model_trades"
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
    """Encodes the bins of one stream; made once per stream, for one thread at a time, then some 30 to 50 microseconds a bin.

    Arrow's own writer spends most of its time on metadata that never changes here: same schema, same rows, no nulls. So one
    stream is written by pyarrow, the place of each column's buffer in it is computed and checked, and every bin is a copy
    of that stream with other numbers in it. A column is copied for all bins of a block at once.

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
        probe = {name: np.arange(i, i + n_rows)[np.newaxis].astype(code) for i, (name, code) in enumerate(GRID_COLUMNS.items())}
        template, body_offset = _written_by_arrow({name: column[0] for name, column in probe.items()})
        self._layout = _body_layout(n_rows, body_offset, len(template))
        self._template = np.frombuffer(template, np.uint8)
        self._make_room(1)
        if self._encode_grids(probe, 1) != [template]:
            raise RuntimeError("pyarrow lays out an IPC stream in an unknown way; the frame encoder must follow it")

    def _make_room(self, n_bins: int) -> None:
        self._streams = np.tile(self._template, (n_bins, 1))  # (n_bins, bytes of a stream)
        rows = self._streams.view(self._layout)[:, 0]
        # Looked up once: by name in each block it would take as long as all the copying.
        self._columns: dict[str, NDArray[Any]] = {name: rows[name] for name in GRID_COLUMNS}

    def _encode_grids(self, columns: Mapping[str, NDArray[Any]], n_bins: int) -> list[bytes]:
        """One Arrow IPC stream with one record batch for each bin; columns have shape (n_bins, n_rows)."""
        if n_bins > len(self._streams):
            self._make_room(n_bins)
        for name, places in self._columns.items():
            places[:n_bins] = columns[name]
        return [stream.tobytes() for stream in self._streams[:n_bins]]

    def encode(
        self,
        block: Block,
        model_trades: Sequence[Sequence[Mapping[str, Any]]] = (),
        ingest_ns: int = 0,
        grid_ready_ns: int = 0,
    ) -> list[BinFrames]:
        """Both frames of each bin of a block.

        Parameters
        ----------
        model_trades
            For each bin, what became of the champion's trades in it; empty where there is nothing to tell of the whole block.
        ingest_ns, grid_ready_ns : int
            When the block's records were taken up, and when its rows were ready; UTC.
        """
        grids = self._encode_grids(block.grid, block.n)
        frames = []
        for i, values in enumerate(block.bins.tolist()):
            head = encode_header(values, block.model_name, model_trades[i] if model_trades else ())
            frames.append(BinFrames(values[_BIN_SEQ], head, grids[i], values[_BIN_END], ingest_ns, grid_ready_ns))
        return frames


def encode_header(values: Sequence[Any], model_name: str, model_trades: Sequence[Mapping[str, Any]] = ()) -> str:
    """Header of one bin as JSON, without the closing brace and ``dropped_bins``.

    ``model_trades`` is left out where there is none: nine bins in ten would say so in vain, ten times a second, to each client.

    Parameters
    ----------
    values : sequence
        One row of BIN_DTYPE as Python has it, such as ``row.tolist()``.

    Raises
    ------
    ValueError
        When a number but the mid is NaN or infinite, which the engine never emits.
    """
    shown = list(values)
    if math.isnan(shown[_MID]):
        shown[_MID] = _NULL  # JSON has no NaN: a bin without both sides has no mid
    if not all(map(math.isfinite, _FLOATS_OF(shown))):
        wrong = ", ".join(f"{_BIN_NAMES[i]} was {values[i]}" for i in _FLOATS if not math.isfinite(shown[i]))
        raise ValueError(f"{wrong}; JSON has no such number, and the engine emits none")
    for i in _FLAGS:
        shown[i] = "true" if shown[i] else "false"
    shown.insert(len(BIN_FIELD_NAMES), _COMPACT.encode(model_name))
    head = _HEAD % tuple(shown)
    return f'{head},"{MODEL_TRADES}":{_COMPACT.encode(model_trades)}' if model_trades else head


def decode_header(text: str) -> dict[str, Any]:
    """A ``grid_update`` with its 64-bit strings turned back into integers, those of its trades too.

    Raises
    ------
    ValueError
        When the text is not a JSON object, or a 64-bit value is no decimal string.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"a header must be a JSON object, got {type(values).__name__}")
    trades = values.get(MODEL_TRADES, [])
    if not isinstance(trades, list) or not all(isinstance(one, dict) for one in trades):
        raise ValueError(f"{MODEL_TRADES} must be a list of JSON objects")
    for fields in (values, *trades):
        _decode_integers(fields)
    return values


def _decode_integers(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if is_text_integer(name):
            if not isinstance(value, str):
                raise ValueError(f"{name} was {value!r}; it must be a decimal string")
            values[name] = int(value)


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


class _Null(float):
    """A mid that is not there, as JSON says it."""

    def __repr__(self) -> str:
        return "null"


def _form(name: str) -> str:
    """How a field of a bin stands in its header: as `json` would write it, floats to the last bit."""
    kind = BIN_DTYPE[name].kind
    form = {"b": "%s", "f": "%r"}.get(kind, "%d")
    return f'"{name}":"{form}"' if is_text_integer(name) else f'"{name}":{form}'


_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_NULL: Final = _Null(0.0)
# A header differs from the next in its values alone: written into a form it takes a third of the time that it takes `json`.
_BIN_NAMES: Final = (*BIN_FIELD_NAMES, *MODEL_FIELD_NAMES)
_FORMS: Final = [*map(_form, BIN_FIELD_NAMES), f'"{MODEL_PREFIX}name":%s', *map(_form, MODEL_FIELD_NAMES)]
_HEAD: Final = '{"type":"grid_update",' + ",".join(_FORMS)
_BIN_SEQ: Final = _BIN_NAMES.index("bin_seq")  # places in a row
_BIN_END: Final = _BIN_NAMES.index("bin_end_ns")
_MID: Final = _BIN_NAMES.index("mid_price")
_FLAGS: Final = [i for i, name in enumerate(_BIN_NAMES) if BIN_DTYPE[name].kind == "b"]
_FLOATS: Final = [i for i, name in enumerate(_BIN_NAMES) if BIN_DTYPE[name].kind == "f"]
_FLOATS_OF: Final = itemgetter(*_FLOATS)


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
