"""A slow book that knows each order's place in its queue, and the sweeps of a simulated session on it."""

from typing import Any, NamedTuple


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
