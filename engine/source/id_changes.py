"""Changes of the instrument id behind a contract: counted, told, and never an order of the old id in the new one's book.

Source: Databento, symbology: an id stands for a raw symbol from one date to another, and may stand for something else after.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine import constants as c
from engine.schema import MboRecords, Record
from engine.source.kernels import are_all_of


@dataclass(frozen=True)
class IdChanges:
    """How often the id changed while a source was read, the first time in words, and how many clears of ours went in for it."""

    count: int = 0
    first: str = ""
    n_cleared: int = 0

    def and_one(self, old: int, record: Record) -> "IdChanges":
        """These, and the change that a record of the new id shows."""
        n_cleared = self.n_cleared + int(record["action"] != c.ACTION_CLEAR)
        if self.count:
            return IdChanges(self.count + 1, self.first, n_cleared)
        ts = record["ts_recv"]
        when = "an unknown time" if ts == c.UNDEF_TIMESTAMP else f"{ts} ns"
        return IdChanges(1, f"from {old} to {record['instrument_id']} at {when}, sequence {record['sequence']}", n_cleared)

    def told(self) -> list[str]:
        """A notice, where there was a change."""
        if not self.count:
            return []
        return [f"changes of the contract's instrument id: {self.count}, first {self.first}; what rested before was cleared"]


def clear_before(record: MboRecords) -> MboRecords:
    """The clear that goes before the first record of a new id; of its time and id, and marked ``F_MAYBE_BAD_BOOK``.

    Parameters
    ----------
    record : (1,) of MBO_DTYPE
    """
    cleared = record.copy()
    if record["flags"][0] & c.F_SNAPSHOT:
        cleared["ts_event"] = record["ts_recv"]  # a snapshot's own times are its orders'
    cleared["action"], cleared["side"] = c.ACTION_CLEAR, c.SIDE_NONE
    cleared["price"] = c.UNDEF_PRICE
    cleared["order_id"] = cleared["size"] = 0
    cleared["flags"] = c.F_LAST | c.F_MAYBE_BAD_BOOK
    return cleared


def by_id(block: MboRecords, current: int, changes: IdChanges) -> Iterator[tuple[MboRecords, int, IdChanges]]:
    """Consecutive records in parts of one instrument id each, with that id and the changes so far.

    A change's clear of ours is a part of its own, of one record.

    Parameters
    ----------
    current
        The id of the record before, -1 for none.
    """
    if are_all_of(block, current, np.uint64(0), np.uint64(c.UNDEF_TIMESTAMP)):
        yield block, current, changes
        return
    ids = block["instrument_id"]
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(block)]
    for first, last in pairwise(edges):
        part = block[first:last]
        before, current = current, int(ids[first])
        if before >= 0 and current != before:
            changes = changes.and_one(before, part[0])
            if part[0]["action"] != c.ACTION_CLEAR:
                yield clear_before(part[:1]), current, changes
        yield part, current, changes
