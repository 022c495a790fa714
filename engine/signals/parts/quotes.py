"""The best quotes of a bin: what the signals of the touch read.

A bin counts where its book is sound and both sides quote. Where it does not, a signal says nothing, and what it compares with the
bin before is forgotten: a change across a hole is nobody's order.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.jit import kernel
from engine.schema import Ints

QUOTE_FIELDS: Final = ("best_bid_price_int", "best_ask_price_int", "best_bid_size", "best_ask_size", "quality")


class Quotes(NamedTuple):
    """Best prices (1e-9 dollars) and sizes (contracts) at bin ends, shape (n,) each, and the bins' truth bits."""

    bid: Ints
    ask: Ints
    bid_size: Ints
    ask_size: Ints
    quality: NDArray[np.uint16]


def quotes_of(x: Mapping[str, NDArray[Any]]) -> Quotes:
    """The quotes among a signal's inputs."""
    return Quotes(*(x[name] for name in QUOTE_FIELDS))


@kernel
def has_quotes(q: Quotes, i: int) -> bool:
    """Whether bin ``i`` is sound and quotes both sides, uncrossed."""
    return q.quality[i] == 0 and q.bid_size[i] > 0 and q.ask_size[i] > 0 and q.bid[i] < q.ask[i] and q.ask[i] != UNDEF_PRICE


@kernel
def size_imbalance(bid_size: int, ask_size: int) -> float:
    """Size at the bid less size at the ask over both, -1..1; one of them must be > 0."""
    return (bid_size - ask_size) / (bid_size + ask_size)


@kernel
def order_flow(
    bid: int, ask: int, bid_size: int, ask_size: int, old_bid: int, old_ask: int, old_bid_size: int, old_ask_size: int
) -> int:
    """Contracts that came to the bid and left the ask, less the reverse, from one state of the best quotes to the next.

    A better price counts whole, a price given up counts whole as gone, the same price counts by its change. Negated exactly where
    the sides change places.

    Source: R. Cont, A. Kukanov, S. Stoikov, "The price impact of order book events", Journal of Financial Econometrics 12 (2014),
    eq. 2: e = 1{P_b >= P_b'} q_b - 1{P_b <= P_b'} q_b' - 1{P_a <= P_a'} q_a + 1{P_a >= P_a'} q_a'.
    """
    flow = 0
    if bid >= old_bid:
        flow += bid_size
    if bid <= old_bid:
        flow -= old_bid_size
    if ask <= old_ask:
        flow -= ask_size
    if ask >= old_ask:
        flow += old_ask_size
    return flow
