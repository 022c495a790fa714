"""Section 1 of engine.md written down slowly: a DBN file's bytes as the records of one contract.

Records are cut by their own lengths; Databento's library decodes the metadata only.
"""

import datetime as dt
import struct
from dataclasses import dataclass
from typing import Any

import databento_dbn
import zstandard

from tests.reference import F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, UNDEF_PRICE, Record

UNDEF_TIME = 2**64 - 1
NS_PER_DAY = 86_400 * 10**9
# length rtype publisher instrument ts_event order_id price size flags channel action side ts_recv delta sequence
MBO = struct.Struct("<BBHIQQqIBBccQiI")


class Refused(Exception):
    """The file does not say which of its records are wanted."""


@dataclass
class Contract:
    """The records of one contract in file order, and what was odd about the file."""

    records: list[Record]
    sequences: list[int]
    n_notices: int
    end_ns: int | None  # where the data are said to reach, if nothing was wrong with them


def _day_ns(day: Any) -> int:
    return int(dt.datetime.combine(dt.date.fromisoformat(str(day)), dt.time(), dt.UTC).timestamp()) * 10**9


def read_contract(content: bytes, symbol: str) -> Contract:
    """Records of ``symbol``.

    Raises
    ------
    Refused
        When the file has no mappings and holds more than one instrument.
    """
    if content[:4] == b"\x28\xb5\x2f\xfd":
        content = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    at = 8 + int.from_bytes(content[4:8], "little")
    metadata = databento_dbn.Metadata.decode(content[:at])
    spans = [
        (int(one["symbol"]), _day_ns(one["start_date"]), _day_ns(one["end_date"])) for one in metadata.mappings.get(symbol, [])
    ]
    records, sequences, ids = [], [], set()
    ids_kept: list[int] = []
    n_others = n_broken = 0
    while at < len(content):
        length = 4 * content[at]
        if length < 16 or at + length > len(content):
            n_broken = 1
            break
        if content[at + 1] == 160 and length >= MBO.size:
            _, _, _, number, event, order_id, price, size, flags, _, action, side, recv, _, sequence = MBO.unpack_from(
                content, at
            )
            ids.add(number)
            day = event if recv == UNDEF_TIME else recv
            if not metadata.mappings or any(number == i and start <= day < end for i, start, end in spans):
                text = [letter.decode("latin-1") for letter in (action, side)]
                if ids_kept and ids_kept[-1] != number and text[0] != "R":  # what rested under the old id goes
                    at_time = recv if flags & F_SNAPSHOT else event
                    records.append(Record("R", "N", UNDEF_PRICE, 0, 0, F_LAST | F_MAYBE_BAD_BOOK, at_time, recv, number))
                    sequences.append(sequence)
                ids_kept.append(number)
                records.append(Record(text[0], text[1], price, size, order_id, flags, event, recv, number))
                sequences.append(sequence)
        else:
            n_others += 1
        at += length
    if not metadata.mappings and len(ids) > 1:
        raise Refused(f"no mappings, and instruments {sorted(ids)}")
    is_told = metadata.end is not None and metadata.end < UNDEF_TIME and metadata.limit is None
    n_notices = n_broken + (n_others > 0)
    return Contract(records, sequences, n_notices, int(metadata.end) if is_told and not n_notices else None)
