"""The book of one instrument as snapshot records, in the vendor's form.

Source: Databento, "MBO snapshots": a clear, then adds that keep the priority at each price, all with the flags of a snapshot and
of a doubtful capture time, which is the snapshot's own; the last with the flag of an event's end.
"""

import numpy as np

from engine.constants import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_MODIFY,
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    SIDE_NONE,
    UNDEF_PRICE,
)  # fmt: skip
from engine.schema import MBO_DTYPE, MboRecords

_FLAGS = F_SNAPSHOT | F_BAD_TS_RECV
_READ = ("action", "order_id", "price", "size", "side")


def snapshot_of(records: MboRecords, made_ns: int) -> MboRecords:
    """The orders that rest after all ``records``, which are one instrument's; empty where there are none of it.

    An order that gets more or another price goes to the end of its queue. Fills change nothing by themselves: the book's own
    update follows each.
    """
    if not len(records):
        return np.empty(0, MBO_DTYPE)
    live: dict[int, list[int]] = {}  # order id -> record that it took its place with, size now
    columns = zip(*(records[name].tolist() for name in _READ), strict=True)
    prices = records["price"]
    for i, (action, order, price, size, _side) in enumerate(columns):
        if action == ACTION_ADD:
            live.pop(order, None)
            live[order] = [i, size]
        elif action == ACTION_CANCEL and order in live:
            live[order][1] -= size
            if live[order][1] <= 0:
                del live[order]
        elif action == ACTION_MODIFY:
            before = live.get(order)
            if before is not None and prices[before[0]] == price and size <= before[1]:
                before[1] = size
            else:
                live.pop(order, None)
                live[order] = [i, size]
        elif action == ACTION_CLEAR:
            live.clear()
    out = np.zeros(1 + len(live), MBO_DTYPE)
    out[0] = records[-1]
    if live:
        places = np.array([place for place, _ in live.values()])
        out[1:] = records[places]
        out["size"][1:] = [size for _, size in live.values()]
        out["action"][1:] = ACTION_ADD
    out["flags"] = _FLAGS
    out["flags"][-1] |= F_LAST
    out["ts_recv"] = made_ns
    out["ts_in_delta"] = 0
    for name, value in (("order_id", 0), ("price", UNDEF_PRICE), ("size", 0), ("action", ACTION_CLEAR), ("side", SIDE_NONE),
                        ("channel_id", 0), ("sequence", 0)):  # fmt: skip
        out[name][0] = value
    out["ts_event"][0] = out["ts_event"][min(1, len(live))]  # as the vendor's: that of the first order
    return out
