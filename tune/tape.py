"""The prices a trade can meet, bin by bin, as the walking kernels read them."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.constants import PRICE_SCALE, Q_CLOSED, Q_COLD, Q_GAP, Q_ROLL
from engine.schema import Floats, Ints

SOUND: Final = 0
POSTPONED: Final = 1  # nothing can be done in this bin; the next sound one decides
BROKEN: Final = 2  # the record has a hole here: what a trade met inside it nobody knows
_HOLES: Final = Q_COLD | Q_GAP | Q_CLOSED | Q_ROLL


class Tape(NamedTuple):
    """All of shape (n,), prices in 1e-9 dollars: best prices at the bin's end and their extremes inside it."""

    bid: Ints
    ask: Ints
    bid_low: Ints
    bid_high: Ints
    ask_low: Ints
    ask_high: Ints
    state: NDArray[np.int8]  # SOUND, POSTPONED, BROKEN


def mid_tape(mid: Floats) -> Tape:
    """One price a bin on both sides: the reference's view. ``mid`` in dollars, not above 0 for an invalid book."""
    valid = mid > 0.0
    price = np.rint(np.where(valid, mid, 0.0) / PRICE_SCALE).astype(np.int64)
    state = np.where(valid, SOUND, POSTPONED).astype(np.int8)
    return Tape(price, price, price, price, price, price, state)


def touch_tape(
    bid: Ints, ask: Ints, bid_low: Ints, bid_high: Ints, ask_low: Ints, ask_high: Ints, quality: NDArray[np.uint16]
) -> Tape:
    """Best prices and extremes as the bins hold them; an extreme of 0 (no event end in the bin) is the price at its end."""
    usable = (quality == 0) & (bid > 0) & (ask > bid)
    state = np.where(usable, SOUND, POSTPONED).astype(np.int8)
    state[(quality & _HOLES) != 0] = BROKEN

    def known(extreme: Ints, last: Ints) -> Ints:
        return np.where(extreme > 0, extreme, last).astype(np.int64)

    return Tape(
        np.ascontiguousarray(bid, np.int64),
        np.ascontiguousarray(ask, np.int64),
        known(bid_low, bid),
        known(bid_high, bid),
        known(ask_low, ask),
        known(ask_high, ask),
        state,
    )
