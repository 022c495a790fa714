"""The orders that rest by now, kept beside the recording: what a segment opens with where the records before it are missing.

An order that gets more or another price goes to the end of its queue; fills change nothing by themselves, the book's own update
follows each.

Source: Databento, "MBO snapshots"; CME: an order keeps its place only while its size falls.
"""

from typing import Final

import numpy as np

from engine.book.order_table import ORDER_DTYPE, delete_order, find_order, free_place, rehash
from engine.constants import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_MODIFY,
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    RTYPE_MBO,
    SIDE_NONE,
    UNDEF_PRICE,
)  # fmt: skip
from engine.jit import kernel
from engine.schema import MBO_DTYPE, Ints, MboRecords, Structured

_FIRST_TABLE: Final = 1 << 12
_FLAGS: Final = F_SNAPSHOT | F_BAD_TS_RECV
_BLOCK: Final = 1 << 12  # records between two looks at whether there is room


@kernel
def _rest(orders: Structured, n: Ints, records: MboRecords) -> None:
    """Take records in. In ``orders`` ``tick`` is the place, which grows from front to back, ``pending`` the order's own time.

    ``n`` (2,): orders there, places given.
    """
    for i in range(records.shape[0]):
        record = records[i]
        action = record["action"]
        if action == ACTION_CLEAR:
            for j in range(orders.shape[0]):
                orders[j]["side"] = 0
            n[0] = 0
        elif action in (ACTION_ADD, ACTION_CANCEL, ACTION_MODIFY):
            j = find_order(orders, record["order_id"])
            if action == ACTION_CANCEL:
                if j >= 0:
                    orders[j]["size"] -= np.int64(record["size"])
                    if orders[j]["size"] <= 0:
                        delete_order(orders, j)
                        n[0] -= 1
                continue
            keeps = action == ACTION_MODIFY and j >= 0
            if keeps and orders[j]["price"] == record["price"] and np.int64(record["size"]) <= orders[j]["size"]:
                orders[j]["size"] = record["size"]
                continue
            if j < 0:
                j = free_place(orders, record["order_id"])
                n[0] += 1
            orders[j]["price"] = record["price"]
            orders[j]["size"] = record["size"]
            orders[j]["side"] = record["side"]
            orders[j]["pending"] = record["ts_event"]
            orders[j]["tick"] = n[1]
            n[1] += 1


def newest_of(records: MboRecords) -> int:
    """Greatest time of an event, ns, of one record at least; 0 where all are undefined."""
    return max(0, int(records["ts_event"].view(np.int64).max()))  # an undefined one is below all


class Resting:
    """Orders at rest after all records that it was given."""

    def __init__(self) -> None:
        self._orders = np.zeros(_FIRST_TABLE, ORDER_DTYPE)
        self._n = np.zeros(2, np.int64)
        self._last = np.zeros(1, MBO_DTYPE)
        self.newest_ns = 0  # greatest time of an event
        self.is_whole = False  # a clear came: nothing rests that it does not know of

    def take(self, records: MboRecords) -> None:
        """More records of the contract, in order."""
        for start in range(0, len(records), _BLOCK):
            block = records[start : start + _BLOCK]
            while 2 * (int(self._n[0]) + len(block)) > len(self._orders):
                larger = np.zeros(2 * len(self._orders), ORDER_DTYPE)
                rehash(self._orders, larger)
                self._orders = larger
            _rest(self._orders, self._n, block)
        if len(records):
            self._last = records[-1:]
            self.newest_ns = max(self.newest_ns, newest_of(records))
            self.is_whole = self.is_whole or bool((records["action"] == ACTION_CLEAR).any())

    @property
    def is_at_event_end(self) -> bool:
        """Whether the last record ended its event, so that the book may be shown."""
        return bool(self._last["flags"][0] & F_LAST)

    def snapshot(self, made_ns: int) -> MboRecords:
        """The book in the form of the vendor's snapshots: a clear, then adds in the order of their places; ``sequence`` is 0."""
        live = self._orders[self._orders["side"] != 0]
        live = live[np.argsort(live["tick"])]
        out = np.zeros(1 + len(live), MBO_DTYPE)
        out["length"], out["rtype"] = MBO_DTYPE.itemsize // 4, RTYPE_MBO
        for name in ("publisher_id", "instrument_id"):
            out[name] = self._last[name][0]
        for name in ("order_id", "price", "size", "side"):
            out[name][1:] = live[name]
        out["ts_event"][1:] = live["pending"]
        out["action"] = ACTION_ADD
        out["flags"] = _FLAGS
        out["flags"][-1] |= F_LAST
        out["ts_recv"] = made_ns
        for name, value in (("action", ACTION_CLEAR), ("price", UNDEF_PRICE), ("side", SIDE_NONE)):
            out[name][0] = value
        out["ts_event"][0] = made_ns
        return out
