"""Cutting bytes into records.

Source: DBN record header: the first byte is the record's length in 4-byte words, the second its kind.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.constants import MBO_LENGTH_WORDS, MBO_RECORD_BYTES, RTYPE_MBO
from engine.jit import kernel
from engine.schema import MboRecords

_HEADER_BYTES = 16


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
def walk_records(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> tuple[int, int, int, bool]:
    """Copy the MBO records of a byte stream into ``out`` (n, 56) bytes.

    Returns (records copied, bytes used, records of other kinds passed over, whether an impossible length was met). Longer MBO
    records carry a gateway time behind the 56 bytes, which is left out.
    """
    n = 0
    at = 0
    n_other = 0
    while n < out.shape[0] and at < data.shape[0]:
        length: Any = 4 * np.int64(data[at])
        if length < _HEADER_BYTES:
            return n, at, n_other, True
        if at + length > data.shape[0]:
            break
        if data[at + 1] == RTYPE_MBO and length >= MBO_RECORD_BYTES:
            for b in range(MBO_RECORD_BYTES):
                out[n, b] = data[at + b]
            n += 1
        else:
            n_other += 1
        at += length
    return n, at, n_other, False
