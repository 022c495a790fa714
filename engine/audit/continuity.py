"""The vendor's own oracle: the book one day's file ends with against the snapshot that opens the next day's.

Compared are ids, sides, prices, sizes, and the order of every queue. A file's snapshot lists each level from its front, so
the place of an order in it is its place in the queue; our own book keeps no queues, and the places of what rests at a file's
end are found by reading the file once more.

Source: Databento, `mbo` schema, snapshots at midnight UTC; CME: an order keeps its place only while its size falls.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine import constants as c
from engine.book.kernels import BID, BookState
from engine.schema import MboRecords, Structured
from engine.source.records import Source

RESTING_DTYPE: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("side", "u1"),  # ASCII, as in the feed
        ("price", "<i8"),  # 1e-9 dollars
        ("size", "<i8"),  # contracts
        ("place", "<i8"),  # grows from the front of a queue to its back
    ]
)
_SIDES: Final = {c.SIDE_BID: "bid", c.SIDE_ASK: "ask"}


def resting_orders(book: BookState, source: Source) -> Structured:
    """What rests in a book that all of ``source`` has made, with the places in the queues; RESTING_DTYPE, sorted by id."""
    live = book.orders[(book.orders["side"] != 0) & (book.orders["size"] > 0)]
    resting = np.zeros(len(live), RESTING_DTYPE)
    for name in ("order_id", "price", "size"):
        resting[name] = live[name]
    resting["side"] = np.where(live["side"] == BID, c.SIDE_BID, c.SIDE_ASK)
    resting.sort(order="order_id")
    places = _places(source, resting["order_id"])
    resting["place"] = [places.get(i, -1) for i in resting["order_id"].tolist()]
    return resting


def opening_snapshot(source: Source) -> Structured:
    """The adds of the snapshot that opens a source, RESTING_DTYPE, sorted by id; empty where none does."""
    parts = []
    for records in source.records():
        snapshot = records["flags"] & c.F_SNAPSHOT != 0
        n = len(records) if snapshot.all() else int(np.argmin(snapshot))
        parts.append(records[:n])
        if n < len(records):
            break
    adds = np.concatenate(parts) if parts else np.zeros(0, RESTING_DTYPE)
    if len(adds):
        adds = adds[adds["action"] == c.ACTION_ADD]
    opening = np.zeros(len(adds), RESTING_DTYPE)
    for name in ("order_id", "side", "price", "size"):
        opening[name] = adds[name]
    opening["place"] = np.arange(len(adds))
    opening.sort(order="order_id")
    return opening


def compare_books(end: Structured, opening: Structured) -> dict[str, Any]:
    """How many orders differ, by kind, with the first of each kind.

    Returns
    -------
    dict
        ``n_end``, ``n_opening`` (orders), ``same``, and ``differences``: kind -> {``count``, ``first`` (an order id)}.
    """
    common, at_end, at_opening = np.intersect1d(end["order_id"], opening["order_id"], return_indices=True)
    before, after = end[at_end], opening[at_opening]
    moved = (before["price"] != after["price"]) | (before["side"] != after["side"])
    resized = before["size"] != after["size"]
    before, after = before[~moved], after[~moved]
    by_queue = [one["order_id"][np.lexsort((one["place"], one["price"], one["side"]))] for one in (before, after)]
    found = {
        "missing_in_snapshot": np.setdiff1d(end["order_id"], opening["order_id"]),
        "unknown_in_snapshot": np.setdiff1d(opening["order_id"], end["order_id"]),
        "other_price": common[moved],
        "other_size": common[resized],
        "other_place_in_queue": by_queue[0][by_queue[0] != by_queue[1]],
    }
    differences = {kind: {"count": len(ids), "first": int(ids[0])} for kind, ids in found.items() if len(ids)}
    return {"n_end": len(end), "n_opening": len(opening), "same": not differences, "differences": differences}


def _places(source: Source, wanted: NDArray[np.uint64]) -> dict[int, int]:
    """When each of the orders that rest at the end took the place it has, as a count of records; ``wanted`` sorted."""
    live: dict[int, list[int]] = {}  # id -> side, price, size, pending fill, place
    n_before = 0
    for records in source.records():
        for i, *values in _of_these(records, wanted):
            _take(live, n_before + i, *values)
        n_before += len(records)
    return {order_id: values[4] for order_id, values in live.items()}


def _of_these(records: MboRecords, wanted: NDArray[np.uint64]) -> list[tuple[int, ...]]:
    """Index, action, side, id, price, size of the records that the book took in and that concern the wanted orders."""
    clears = records["action"] == c.ACTION_CLEAR
    has_time = (records["ts_event"] < 2**63) | (records["flags"] & c.F_SNAPSHOT != 0)
    kept = clears | (np.isin(records["order_id"], wanted) & has_time)
    kept &= clears | (records["price"] != c.UNDEF_PRICE)
    at = np.flatnonzero(kept)
    rows = records[at]
    columns = [rows[name].tolist() for name in ("action", "side", "order_id", "price", "size")]
    return list(zip(at.tolist(), *columns, strict=True))


def _take(live: dict[int, list[int]], i: int, action: int, side: int, order_id: int, price: int, size: int) -> None:
    """One record meets the queues: the back of one is taken by what is new, moves, or grows."""
    if action == c.ACTION_CLEAR:
        live.clear()
        return
    order = live.get(order_id)
    if action in (c.ACTION_ADD, c.ACTION_MODIFY):
        if side not in _SIDES:
            return
        keeps = action == c.ACTION_MODIFY and order is not None and order[:2] == [side, price] and size <= order[2]
        live[order_id] = [side, price, size, 0, order[4] if keeps and order is not None else i]
    elif order is not None and action == c.ACTION_FILL:
        filled = min(size, order[2])
        order[2] -= filled
        order[3] += filled
    elif order is not None and action == c.ACTION_CANCEL:
        absorbed = min(size, order[3])
        order[3] -= absorbed
        order[2] -= min(size - absorbed, order[2])
        if order[2] == 0:
            del live[order_id]
