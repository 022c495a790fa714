"""Whether each fill hit the front of its queue by exact FIFO, and if not, why: slow, plain, with the places that the audit keeps.

An event is judged at its end. Ahead of a fill are the orders at its order's price with an earlier place that the event does not
fill whole; the feed takes filled orders out only after all fills.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from engine import constants as c
from engine.audit.continuity import _take
from engine.schema import MboRecords

UNKNOWN = "unknown"  # the order was never added
FRONT = "front"
OWN = "own"  # the record of the aggressor's own side: it had rested, was re-priced through the book and met it at once
WITHDRAWN = "withdrawn"  # all orders ahead are cancelled unfilled in this event, at the nanosecond of the trade
UNEXPLAINED = "unexplained"

Live = dict[int, list[int]]  # id -> side, price, size, pending fill, place
Take = Callable[[Live, int, int, int, int, int, int], None]


@dataclass
class Event:
    """What the records since the last event end told."""

    fills: list[tuple[int, int, dict[int, int] | None]] = field(default_factory=list)  # id, ns, sizes ahead; None: id unknown
    filled: Counter[int] = field(default_factory=Counter)  # contracts by id
    cancelled: dict[int, int] = field(default_factory=dict)  # id -> ns
    aggressors: set[int] = field(default_factory=set)

    def judge(self) -> list[tuple[str, int, int]]:
        """Cause, orders ahead and order id of each fill."""
        return [(*self._cause(order_id, ns, sizes), order_id) for order_id, ns, sizes in self.fills]

    def _cause(self, order_id: int, ns: int, sizes: dict[int, int] | None) -> tuple[str, int]:
        if sizes is None:
            return UNKNOWN, 0
        ahead = [i for i, size in sizes.items() if self.filled[i] < size]
        if not ahead:
            return FRONT, 0
        if order_id in self.aggressors:
            return OWN, len(ahead)
        is_withdrawn = all(self.filled[i] == 0 and self.cancelled.get(i) == ns for i in ahead)
        return WITHDRAWN if is_withdrawn else UNEXPLAINED, len(ahead)


def judge_fills(records: MboRecords, take: Take = _take) -> list[tuple[str, int, int]]:
    """Cause, number of orders ahead and order id of every fill record, in file order."""
    names = ("action", "side", "order_id", "price", "size", "ts_event", "flags")
    live: Live = {}
    queues: dict[tuple[int, int], set[int]] = defaultdict(set)
    judged: list[tuple[str, int, int]] = []
    event = Event()
    for i, (action, side, order_id, price, size, ns, flags) in enumerate(zip(*(records[n].tolist() for n in names), strict=True)):
        before = live.get(order_id)
        if action == c.ACTION_FILL:
            queue = queues[before[0], before[1]] if before else ()
            ahead = {k: live[k][2] + live[k][3] for k in queue if before and live[k][4] < before[4]}
            event.fills.append((order_id, ns, ahead if before else None))
            event.filled[order_id] += size
        elif action == c.ACTION_TRADE:
            event.aggressors.add(order_id)
        elif action == c.ACTION_CANCEL:
            event.cancelled[order_id] = ns
        take(live, i, action, side, order_id, price, size)
        after = live.get(order_id)
        if action == c.ACTION_CLEAR:
            queues.clear()
        elif after is not before:
            if before:
                queues[before[0], before[1]].discard(order_id)
            if after:
                queues[after[0], after[1]].add(order_id)
        if flags & c.F_LAST:
            judged += event.judge()
            event = Event()
    return judged + event.judge()
