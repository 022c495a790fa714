"""Cutting bytes into records.

Source: DBN record header: the first byte is the record's length in 4-byte words, the second its kind.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.constants import MBO_LENGTH_WORDS, MBO_RECORD_BYTES, RTYPE_MBO, RTYPE_SYMBOL_MAPPING
from engine.jit import kernel
from engine.schema import Ints, MboRecords

_HEADER_BYTES = 16
WALKED, AT_MAPPING, BROKEN = 0, 1, 2


@kernel
def is_plain(records: MboRecords) -> bool:
    """Whether every record of an array is an MBO message of the plain length."""
    for i in range(records.shape[0]):
        if records[i]["rtype"] != RTYPE_MBO or records[i]["length"] != MBO_LENGTH_WORDS:
            return False
    return True


@kernel
def are_all_of(records: MboRecords, instrument_id: int, start: Any, end: Any) -> bool:
    """Whether every record is of one id and was captured in [start, end) ns, both u64: one pass instead of numpy's four."""
    for i in range(records.shape[0]):
        captured = records[i]["ts_recv"]
        if records[i]["instrument_id"] != instrument_id or captured < start or captured >= end:
            return False
    return True


@kernel
def walk_records(data: NDArray[np.uint8], out: NDArray[np.uint8], others: Ints) -> tuple[int, int, int]:
    """Copy the MBO records of a byte stream into ``out`` (n, 56) bytes, up to the next mapping record.

    Returns (records copied, bytes used, why it ended: ``WALKED``, ``AT_MAPPING`` or ``BROKEN``, an impossible length). Records of
    other kinds are counted by kind into ``others`` (256,). Longer MBO records carry a gateway time behind the 56 bytes, which is
    left out.
    """
    n = 0
    at = 0
    while n < out.shape[0] and at < data.shape[0]:
        length: Any = 4 * np.int64(data[at])
        if length < _HEADER_BYTES:
            return n, at, BROKEN
        if at + length > data.shape[0]:
            break
        kind = data[at + 1]
        if kind == RTYPE_SYMBOL_MAPPING:
            return n, at, AT_MAPPING
        if kind == RTYPE_MBO and length >= MBO_RECORD_BYTES:
            for b in range(MBO_RECORD_BYTES):
                out[n, b] = data[at + b]
            n += 1
        else:
            others[kind] += 1
        at += length
    return n, at, WALKED
