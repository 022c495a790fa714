"""Changes of the instrument id behind a contract: counted, told, and never an order of the old id in the new one's book.

Source: Databento, symbology: an id stands for a raw symbol from one date to another, and may stand for something else after.
"""

from dataclasses import dataclass

from engine import constants as c
from engine.schema import MboRecords, Record


@dataclass(frozen=True)
class IdChanges:
    """How often the id changed while a source was read, and the first time in words."""

    count: int = 0
    first: str = ""

    def and_one(self, old: int, record: Record) -> "IdChanges":
        """These, and the change that a record of the new id shows."""
        if self.count:
            return IdChanges(self.count + 1, self.first)
        ts = record["ts_recv"]
        when = "an unknown time" if ts == c.UNDEF_TIMESTAMP else f"{ts} ns"
        return IdChanges(1, f"from {old} to {record['instrument_id']} at {when}, sequence {record['sequence']}")

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
