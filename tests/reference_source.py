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
    n_damages: int
    n_remarks: int  # what is told of the file that is no damage
    end_ns: int | None  # where the data are said to reach, if nothing was wrong with them


def _day_ns(day: Any) -> int:
    return int(dt.datetime.combine(dt.date.fromisoformat(str(day)), dt.time(), dt.UTC).timestamp()) * 10**9


class Names:
    """Who an id is, as the file has said it so far."""

    def __init__(self, metadata: Any, symbol: str, assumed: bool) -> None:
        self.symbol = symbol
        self.spans: list[tuple[int, int, int]] | None = None  # id, from, until; None where the metadata map nothing
        if metadata.mappings:
            self.spans = [
                (int(one["symbol"]), _day_ns(one["start_date"]), _day_ns(one["end_date"]))
                for one in metadata.mappings.get(symbol, [])
            ]
        asked = {*metadata.symbols, *metadata.partial}
        if symbol in metadata.not_found or (asked and symbol not in asked):
            raise Refused("asked for as something else")
        self.is_free = asked == {symbol} or (assumed and not asked)  # the one id there is, is it
        self.said: dict[int, str] = {}  # who else an id is
        self.ours: list[int] = []  # ids that were the contract, the present one last
        self.is_trusted = False  # it is by the metadata's word alone
        self.passed: set[int] = set()  # ids of records that nothing was said of

    def hear(self, record: bytes) -> None:
        """A mapping record."""
        number, time = struct.unpack_from("<IQ", record, 4)
        first, second, width = (16, 38, 22) if len(record) < 160 else (17, 89, 71)
        names = {record[at : at + width].split(b"\0")[0].decode("latin-1") for at in (first, second)} - {""}
        if not names:
            return
        if len(names) > 1:
            raise Refused(f"{number} is {names}")
        (name,) = names
        if self.spans is not None:
            is_it = any(number == i and start <= time < end for i, start, end in self.spans)
            if is_it != (name == self.symbol):
                raise Refused(f"{number} is not {name}")
        elif name != self.symbol:
            if number in self.ours:
                raise Refused(f"{number} is {name} after all")
            self.said[number] = name
        elif number in self.said or number in self.passed or number in self.ours[:-1]:
            raise Refused(f"{number} is {name} after all")
        elif self.ours[-1:] != [number]:
            if self.is_trusted:
                raise Refused(f"not {self.ours} but {number} is {name}")
            self.ours.append(number)
        else:
            self.is_trusted = False

    def is_it(self, number: int, day: int) -> bool:
        """Whether a record is the contract's."""
        if self.spans is not None:
            return any(number == i and start <= day < end for i, start, end in self.spans)
        if number in self.ours[:-1]:
            raise Refused(f"{number} goes on")
        if number in self.ours or number in self.said:
            return number in self.ours
        if self.said or (self.ours and not self.is_trusted):
            self.passed.add(number)
            return False
        if self.ours or not self.is_free:
            raise Refused(f"nobody said who {[*self.ours, number]} are")
        self.ours, self.is_trusted = [number], True
        return True


def read_contract(content: bytes, symbol: str, assumed: bool = False) -> Contract:
    """Records of ``symbol``; ``assumed``: a file that says nothing is taken to be its.

    Raises
    ------
    Refused
        When the file does not say whose its records are, or says that they are another's.
    """
    if content[:4] == b"\x28\xb5\x2f\xfd":
        content = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    at = 8 + int.from_bytes(content[4:8], "little")
    metadata = databento_dbn.Metadata.decode(content[:at])
    names = Names(metadata, symbol, assumed)
    records: list[Record] = []
    sequences: list[int] = []
    n_others = n_broken = 0
    while at < len(content):
        length = 4 * content[at]
        if length < 16 or at + length > len(content):
            n_broken = 1
            break
        if content[at + 1] == 22:
            names.hear(content[at : at + length])
        elif content[at + 1] == 160 and length >= MBO.size:
            _, _, _, number, event, order_id, price, size, flags, _, action, side, recv, _, sequence = MBO.unpack_from(
                content, at
            )
            if names.is_it(number, event if recv == UNDEF_TIME else recv):
                text = [letter.decode("latin-1") for letter in (action, side)]
                if records and records[-1].instrument_id != number and text[0] != "R":  # what rested under the old id goes
                    at_time = recv if flags & F_SNAPSHOT else event
                    records.append(Record("R", "N", UNDEF_PRICE, 0, 0, F_LAST | F_MAYBE_BAD_BOOK, at_time, recv, number))
                    sequences.append(sequence)
                records.append(Record(text[0], text[1], price, size, order_id, flags, event, recv, number))
                sequences.append(sequence)
        else:
            n_others += 1
        at += length
    if names.spans is None and names.said and not names.ours:
        raise Refused(f"others only: {names.said}")
    is_told = metadata.end is not None and metadata.end < UNDEF_TIME and metadata.limit is None
    return Contract(records, sequences, n_broken, int(n_others > 0), int(metadata.end) if is_told and not n_broken else None)
