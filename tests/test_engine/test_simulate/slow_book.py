"""A slow book that knows each order's place in its queue, and the sweeps of a simulated session on it."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import databento
import numpy as np
from numpy.typing import NDArray

from engine.schema import MBO_DTYPE

START_NS = int(datetime(2026, 2, 6, 14, tzinfo=UTC).timestamp()) * 10**9  # 09:00 in New York
LAST, SNAPSHOT = 128, 32


class Resting(NamedTuple):
    side: str
    price: int
    size: int


class SlowBook:
    """Orders and queues in dictionaries; a queue is a list of ids, the front first."""

    def __init__(self) -> None:
        self.orders: dict[int, Resting] = {}
        self.queues: dict[str, dict[int, list[int]]] = {"A": {}, "B": {}}
        self.seen: set[int] = set()

    def add(self, order_id: int, order: Resting) -> None:
        assert order_id not in self.seen, "an order id comes twice"
        assert order.size > 0
        self.seen.add(order_id)
        self._enter(order_id, order)

    def cancel(self, order_id: int, order: Resting) -> None:
        assert self.orders[order_id] == order, "a cancel takes the whole order where it rests"
        self._leave(order_id)

    def modify(self, order_id: int, order: Resting) -> None:
        old = self.orders[order_id]
        assert order.size > 0
        assert old.side == order.side
        assert old != order, "a modify changes something"
        if old.price == order.price and order.size < old.size:
            self.orders[order_id] = order  # keeps its place
        else:
            self._leave(order_id)
            self._enter(order_id, order)

    def _enter(self, order_id: int, order: Resting) -> None:
        self.orders[order_id] = order
        self.queues[order.side].setdefault(order.price, []).append(order_id)

    def _leave(self, order_id: int) -> None:
        order = self.orders.pop(order_id)
        queue = self.queues[order.side][order.price]
        queue.remove(order_id)
        if not queue:
            del self.queues[order.side][order.price]

    def best(self) -> tuple[int, int]:
        """Best bid and ask; fails on an empty side."""
        return max(self.queues["B"]), min(self.queues["A"])

    def in_priority(self, side: str) -> list[int]:
        """The first ids that a sweep through this side would hit, enough of them."""
        prices = sorted(self.queues[side], reverse=side == "B")[:10]
        return [order_id for price in prices for order_id in self.queues[side][price]]


def resting(record: dict[str, Any]) -> Resting:
    return Resting(record["side"], record["price"], record["size"])


def apply_sweep(book: SlowBook, event: list[dict[str, Any]]) -> None:
    """One trade, its fills in price-time priority, then one update for each order hit, in the same order."""
    trade, rest = event[0], event[1:]
    fills, updates = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    hit_side = {"B": "A", "A": "B"}[trade["side"]]
    assert [r["action"] for r in fills] == ["F"] * len(fills)
    assert len(fills) == len(updates) > 0
    assert trade["order_id"] == 0
    assert sum(fill["size"] for fill in fills) == trade["size"]
    assert trade["price"] == fills[0]["price"]
    assert [fill["order_id"] for fill in fills] == book.in_priority(hit_side)[: len(fills)]
    for i, (fill, update) in enumerate(zip(fills, updates, strict=True)):
        order = book.orders[fill["order_id"]]
        assert update["order_id"] == fill["order_id"]
        assert (fill["side"], fill["price"]) == (hit_side, order.price)
        if fill["size"] == order.size:
            assert update["action"] == "C"
            book.cancel(update["order_id"], resting(update))
        else:
            assert i == len(fills) - 1, "only the last order hit may be left with a rest"
            assert (update["action"], update["size"]) == ("M", order.size - fill["size"])
            book.modify(update["order_id"], resting(update))


def open_store(path: Path) -> databento.DBNStore:
    """The file as databento reads it; from its bytes, as ``from_file`` leaves the file open."""
    return databento.DBNStore.from_bytes(path.read_bytes())


def decode(path: Path) -> NDArray[np.void]:
    """The records of a file as databento reads them, in our dtype."""
    return open_store(path).to_ndarray().astype(databento_dtype()).view(MBO_DTYPE)


def databento_dtype() -> np.dtype[Any]:
    """Our layout with databento's one-character strings for action and side."""
    names = MBO_DTYPE.names or ()
    return np.dtype([(name, "S1" if name in ("action", "side") else MBO_DTYPE[name].str) for name in names])


def split_events(records: NDArray[np.void]) -> list[list[dict[str, Any]]]:
    """Records after the snapshot, an event a list."""
    names = ("action", "side", "order_id", "price", "size", "flags", "ts_event", "ts_recv")
    columns = {name: records[name].tolist() for name in names}
    events: list[list[dict[str, Any]]] = [[]]
    for i in range(len(records)):
        record = {name: columns[name][i] for name in names} | {
            "action": chr(columns["action"][i]),
            "side": chr(columns["side"][i]),
        }
        events[-1].append(record)
        if record["flags"] & LAST:
            events.append([])
    assert events.pop() == [], "the file ends inside an event"
    return events


@cache
def walked(path: str) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
    """Follow a whole file with the slow book, checking every event.

    Returns
    -------
    Per event end its time, best bid and best ask; and per second the occupied levels and the orders.
    """
    records = decode(Path(path))
    book = SlowBook()
    n_snapshot = int(np.flatnonzero(records["flags"] == LAST | SNAPSHOT)[0]) + 1
    for record in split_events(records[:n_snapshot])[0][1:]:
        book.add(record["order_id"], resting(record))
    quotes = [(START_NS, *book.best())]
    sizes: list[tuple[int, int]] = []
    for event in split_events(records[n_snapshot:]):
        head = event[0]
        assert len({(r["ts_event"], r["ts_recv"]) for r in event}) == 1, "an event has one time"
        assert [r["flags"] for r in event] == [0] * (len(event) - 1) + [LAST]
        if head["action"] == "T":
            apply_sweep(book, event)
        else:
            assert len(event) == 1
            {"A": book.add, "C": book.cancel, "M": book.modify}[head["action"]](head["order_id"], resting(head))
        bid, ask = book.best()
        assert bid < ask, f"crossed at {head['ts_event']}"
        if head["ts_event"] // 10**9 != quotes[-1][0] // 10**9:
            sizes.append((len(book.queues["A"]) + len(book.queues["B"]), len(book.orders)))
        quotes.append((head["ts_event"], bid, ask))
    return quotes, sizes
