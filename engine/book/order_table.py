"""Orders by id in one open-addressing hash table.

Linear probing with backward-shift deletion, so that no tombstones pile up over a day. A place is empty where its side is 0.
"""

from typing import Any, Final

import numpy as np

from engine.jit import inline_kernel, kernel
from engine.schema import Record, Structured

ORDER_DTYPE: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("price", "<i8"),  # 1e-9 dollars
        ("size", "<i8"),  # contracts still resting
        ("pending", "<i8"),  # filled, and not yet taken off by its own C or M
        ("tick", "<i8"),
        ("side", "<i8"),  # 0 empty, BID or ASK
    ]
)


@inline_kernel
def _home(order_id: int, mask: int) -> int:
    """First place to look for an id. Two 32-bit products, so that nothing overflows with the compiler off."""
    low = np.uint64(order_id) & np.uint64(0xFFFFFFFF)
    high = np.uint64(order_id) >> np.uint64(32)
    mixed = (low * np.uint64(0x9E3779B1)) ^ (high * np.uint64(0x85EBCA77))
    place: Any = np.int64((mixed >> np.uint64(16)) & np.uint64(mask))
    return place


@inline_kernel
def find_order(orders: Structured, order_id: int) -> int:
    """Place of an order in the table, -1 when it is not there."""
    mask = orders.shape[0] - 1
    i = _home(order_id, mask)
    while orders[i]["side"] != 0:
        if orders[i]["order_id"] == order_id:
            return i
        i = (i + 1) & mask
    return -1


@inline_kernel
def free_place(orders: Structured, order_id: int) -> int:
    """Free place for a new id; the caller has made sure that there is room."""
    mask = orders.shape[0] - 1
    i = _home(order_id, mask)
    while orders[i]["side"] != 0:
        i = (i + 1) & mask
    orders[i]["order_id"] = order_id
    return i


@inline_kernel
def _write(to: Record, order: Record) -> None:
    to["order_id"] = order["order_id"]
    to["price"] = order["price"]
    to["size"] = order["size"]
    to["pending"] = order["pending"]
    to["tick"] = order["tick"]
    to["side"] = order["side"]


@inline_kernel
def delete_order(orders: Structured, i: int) -> None:
    """Empty a place and close the probe chain behind it."""
    mask = orders.shape[0] - 1
    j = i
    while True:
        j = (j + 1) & mask
        if orders[j]["side"] == 0:
            break
        home = _home(orders[j]["order_id"], mask)
        # Order j may move to i only if its home does not lie cyclically in (i, j].
        if ((j - home) & mask) >= ((j - i) & mask):
            _write(orders[i], orders[j])
            i = j
    orders[i]["side"] = 0


@kernel
def rehash(orders: Structured, larger: Structured) -> None:
    """Put every order of ``orders`` into a larger, empty table."""
    for i in range(orders.shape[0]):
        if orders[i]["side"] != 0:
            _write(larger[free_place(larger, orders[i]["order_id"])], orders[i])
