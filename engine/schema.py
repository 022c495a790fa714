"""Every record and column in one place; kernels, parquet, the wire and the page take theirs from here.

Named arrays of them become bytes here, versioned and checksummed, without pickle: what is kept of a runner or a signal.

Source: engine.md sections 1, 4, 7 and 8.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.errors import ConfigError

_PACK_MAGIC: Final = b"SPYSTATE"
_PACK_VERSION: Final = 1

# One market-by-order record as it lies in a DBN file, versions 1 to 3.
MBO_DTYPE: Final = np.dtype(
    [
        ("length", "u1"),  # 4-byte words
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),  # UTC ns, exchange
        ("order_id", "<u8"),
        ("price", "<i8"),  # 1e-9 dollars
        ("size", "<u4"),  # contracts
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),  # ASCII
        ("side", "u1"),  # ASCII
        ("ts_recv", "<u8"),  # UTC ns, capture
        ("ts_in_delta", "<i4"),  # ns
        ("sequence", "<u4"),
    ]
)

# What a signal says about one bin; on the wire and in the bins each name bears MODEL_PREFIX.
MODEL_DTYPE: Final = np.dtype(
    [
        ("score", "f8"),  # -1..1, positive is up
        ("ready", "?"),
        ("sample_count", "i8"),  # bins seen
        ("base", "f8"),
        ("d1", "f8"),  # 1/s
        ("d2", "f8"),  # 1/s2
        ("d3", "f8"),  # 1/s3
        ("z1", "f8"),
        ("z2", "f8"),
        ("z3", "f8"),
        ("bull_intensity", "f8"),
        ("bear_intensity", "f8"),
        ("mixed_intensity", "f8"),
        ("dominant_state5_code", "i1"),
    ]
)
MODEL_PREFIX: Final = "runtime_model_"

# One bin, without the signal's part.
_BIN_FIELDS: Final[list[tuple[str, str]]] = [
    ("bin_seq", "i8"),
    ("bin_start_ns", "i8"),
    ("bin_end_ns", "i8"),
    ("ts_ns", "i8"),
    ("bin_event_count", "i8"),
    ("event_id", "i8"),  # events so far
    ("mid_price", "f8"),  # dollars; NaN without both sides
    ("best_bid_price_int", "i8"),  # 1e-9 dollars, as every price in `_int`; UNDEF_PRICE where there is none
    ("best_ask_price_int", "i8"),
    ("spot_ref_price_int", "i8"),
    ("book_valid", "?"),
    ("best_bid_size", "i8"),  # contracts
    ("best_ask_size", "i8"),
    ("bid_low_int", "i8"),  # extremes over the bin's sound event ends; UNDEF_PRICE if there was none
    ("bid_high_int", "i8"),
    ("ask_low_int", "i8"),
    ("ask_high_int", "i8"),
    ("trade_count", "i8"),
    ("buy_volume", "i8"),  # contracts by aggressor side
    ("sell_volume", "i8"),
    ("unsided_volume", "i8"),  # of trades without an aggressor: in neither of the two, and in no row
    ("traded_buy_outside", "i8"),  # what of buy_volume and sell_volume stands in no row of the grid
    ("traded_sell_outside", "i8"),
    ("last_trade_price_int", "i8"),  # carried forward; UNDEF_PRICE before the first
    ("quality", "u2"),  # truth bits, 0 is sound
    ("best_ask_move_ticks", "i4"),
    ("best_bid_move_ticks", "i4"),
    ("ask_reprice_sign", "i1"),
    ("bid_reprice_sign", "i1"),
    ("perm_microstate_id", "i1"),
    ("chase_up_flag", "i1"),
    ("chase_down_flag", "i1"),
]
BIN_FIELD_NAMES: Final[tuple[str, ...]] = tuple(name for name, _ in _BIN_FIELDS)
# What stands in a price that is not there, by the bin field's name: no price is it, for 0 and below are prices.
MISSING_PRICES: Final[dict[str, int | float]] = {
    name: math.nan if name == "mid_price" else UNDEF_PRICE
    for name in BIN_FIELD_NAMES
    if name == "mid_price" or name.endswith("_int")
}
MODEL_FIELD_NAMES: Final[tuple[str, ...]] = tuple(MODEL_PREFIX + name for name in MODEL_DTYPE.names or ())
BIN_DTYPE: Final = np.dtype(_BIN_FIELDS + [(MODEL_PREFIX + name, MODEL_DTYPE[name].str) for name in MODEL_DTYPE.names or ()])

CHAINS: Final = ("add", "pull", "fill", "rest_depth", "bid_depth", "ask_depth")

# The float columns of a grid row, in the order the kernels write them.
GRID_F64: Final[tuple[str, ...]] = (
    "pressure_variant",
    "vacuum_variant",
    "add_mass",
    "pull_mass",
    "fill_mass",
    "rest_depth",
    "bid_depth",
    "ask_depth",
    *(f"{order}_{chain}" for order in ("v", "a", "j") for chain in CHAINS),
    "spectrum_score",
)
GRID_I32: Final = ("best_ask_move_ticks", "best_bid_move_ticks")
GRID_LABELS_I8: Final = (
    "ask_reprice_sign",
    "bid_reprice_sign",
    "perm_microstate_id",
    "perm_state5_code",
    "chase_up_flag",
    "chase_down_flag",
)
GRID_TRADED: Final = ("traded_buy", "traded_sell")  # contracts that traded in the bin at the row's price, by aggressor

# Column -> numpy type code, in wire and parquet order.
GRID_COLUMNS: Final[dict[str, str]] = {
    "k": "i4",  # ticks from spot
    **{name: "f8" for name in GRID_F64},
    "spectrum_state_code": "i1",
    **{name: "i4" for name in GRID_I32},
    **{name: "i1" for name in GRID_LABELS_I8},
    "last_event_id": "i8",
    **{name: "i4" for name in GRID_TRADED},
}


@cache
def grid_schema() -> pa.Schema:
    """Arrow schema of one frame: engine.md section 8, no nulls."""
    return pa.schema([pa.field(name, pa.from_numpy_dtype(np.dtype(code)), nullable=False) for name, code in GRID_COLUMNS.items()])


@cache
def bins_schema() -> pa.Schema:
    """Arrow schema of ``bins.parquet``: the bin fields, then the signal's under MODEL_PREFIX, led by its name."""
    fields = [pa.field(name, pa.from_numpy_dtype(BIN_DTYPE[name]), nullable=False) for name in BIN_FIELD_NAMES]
    fields.append(pa.field(MODEL_PREFIX + "name", pa.string(), nullable=False))
    fields += [pa.field(name, pa.from_numpy_dtype(BIN_DTYPE[name]), nullable=False) for name in MODEL_FIELD_NAMES]
    return pa.schema(fields)


# Aliases by which kernels and owners are typed.
MboRecords = NDArray[np.void]  # (n,) MBO_DTYPE: what a feed sends
BinRows = NDArray[np.void]  # (n,) BIN_DTYPE
Outputs = NDArray[np.void]  # (n,) MODEL_DTYPE, or that and a signal's own fields
Structured = NDArray[np.void]  # any other array whose elements are read by key: state, orders, counts
Record = np.void  # one element of a structured array, read by key
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pack(kind: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as one block of bytes.

    Parameters
    ----------
    kind, key
        What is packed and which parameters it belongs to; `unpack` refuses any other.
    """
    body = io.BytesIO()
    header = json.dumps({"version": _PACK_VERSION, "kind": kind, "key": key, "names": list(arrays)}).encode()
    body.write(len(header).to_bytes(4, "little") + header)
    for array in arrays.values():
        np.lib.format.write_array(body, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    payload = body.getvalue()
    return _PACK_MAGIC + hashlib.sha256(payload).digest() + payload


def unpack(kind: str, key: str, data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a `pack`.

    Raises
    ------
    ConfigError
        When the bytes are damaged, of another kind, or belong to other parameters.
    """
    digest, payload = data[len(_PACK_MAGIC) : len(_PACK_MAGIC) + 32], data[len(_PACK_MAGIC) + 32 :]
    if not data.startswith(_PACK_MAGIC) or hashlib.sha256(payload).digest() != digest:
        raise ConfigError(f"the snapshot of {kind} is damaged; make it anew")
    body = io.BytesIO(payload)
    header = json.loads(body.read(int.from_bytes(body.read(4), "little")))
    if (header["version"], header["kind"], header["key"]) != (_PACK_VERSION, kind, key):
        raise ConfigError(
            f"the snapshot is of {header['kind']} {header['key']} (format {header['version']}), not of {kind} {key} "
            f"(format {_PACK_VERSION}); make it anew"
        )
    return {name: np.lib.format.read_array(body, allow_pickle=False) for name in header["names"]}
