"""The order table by itself: crowded, so that probe chains form, join and are cut in the middle."""

import numpy as np
import pytest

from engine.book.kernels import BID, add_order, remove_order
from engine.book.order_table import find_order
from engine.book.owner import grow, make_book

PLACES = 64


@pytest.mark.parametrize("stride", [1, 1 << 16, 1 << 40])
def test_every_order_is_found_however_the_chains_are_cut(stride: int) -> None:
    rng = np.random.default_rng(stride)
    book = make_book(n_slots=1024, table=PLACES)
    live: dict[int, int] = {}
    for step in range(5_000):
        if live and (len(live) >= PLACES // 2 or rng.random() < 0.5):
            gone = int(rng.choice(list(live)))
            remove_order(book, find_order(book.orders, np.uint64(gone)))
            del live[gone]
        else:
            order_id, size = step * stride % 2**64, int(rng.integers(1, 10))
            add_order(book, np.uint64(order_id), 100, 1, BID, size)
            live[order_id] = size
        found = {one: find_order(book.orders, np.uint64(one)) for one in live}
        assert {one: int(book.orders["size"][i]) for one, i in found.items()} == live, f"step {step}"
        assert len(set(found.values())) == int(book.scalars["n_orders"][0]) == len(live), f"step {step}"


def test_a_grown_table_holds_the_same_orders() -> None:
    book = make_book(n_slots=1024, table=PLACES)
    for order_id in range(PLACES // 2):
        add_order(book, np.uint64(order_id), 100, 1, BID, order_id + 1)
    larger = grow(book)
    assert len(larger.orders) == 2 * PLACES
    sizes = [int(larger.orders["size"][find_order(larger.orders, np.uint64(i))]) for i in range(PLACES // 2)]
    assert sizes == [i + 1 for i in range(PLACES // 2)]
