"""The prices a trade can meet, bin by bin, as the walking kernels read them."""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.constants import PRICE_SCALE, Q_CLOSED, Q_COLD, Q_GAP, Q_ROLL, UNDEF_PRICE
from engine.schema import Floats, Ints

SOUND: Final = 0
POSTPONED: Final = 1  # nothing can be done in this bin; the next sound one decides
GAP: Final = 2  # the record has a hole here: what the market did inside it nobody knows
CLOSED: Final = 3  # outside the hours of trading, as everybody knew beforehand
ROLL: Final = 4  # from here on the prices are another contract's


class Tape(NamedTuple):
    """All of shape (n,), prices in 1e-9 dollars: best prices at the bin's end and their extremes inside it."""

    bid: Ints
    ask: Ints
    bid_low: Ints
    bid_high: Ints
    ask_low: Ints
    ask_high: Ints
    state: NDArray[np.int8]  # SOUND, POSTPONED, GAP, CLOSED, ROLL


def tape_of(bins: Any, fill: Literal["touch", "mid"], sound_only: bool) -> Tape:
    """The prices that trades meet under some rules.

    Parameters
    ----------
    bins
        Bin fields of shape (n,) by name: a structured array or a mapping.
    fill
        At the touch, or mid to mid at bin ends.
    sound_only
        Whether a bin's quality decides what can be done in it.
    """
    if fill == "mid" and not sound_only:
        return mid_tape(bins["mid_price"])
    touch = touch_tape(
        bins["best_bid_price_int"],
        bins["best_ask_price_int"],
        bins["bid_low_int"],
        bins["bid_high_int"],
        bins["ask_low_int"],
        bins["ask_high_int"],
        bins["quality"] if sound_only else np.zeros_like(bins["quality"]),
    )
    return mid_tape(bins["mid_price"])._replace(state=touch.state) if fill == "mid" else touch


def mid_tape(mid: Floats) -> Tape:
    """One price a bin on both sides: the reference's view. ``mid`` in dollars, NaN for none."""
    valid = np.isfinite(mid)
    price = _carried(np.rint(np.where(valid, mid, 0.0) / PRICE_SCALE).astype(np.int64), valid)
    state = np.where(valid, SOUND, POSTPONED).astype(np.int8)
    return Tape(price, price, price, price, price, price, state)


def touch_tape(
    bid: Ints, ask: Ints, bid_low: Ints, bid_high: Ints, ask_low: Ints, ask_high: Ints, quality: NDArray[np.uint16]
) -> Tape:
    """Best prices and extremes as the bins hold them; a missing extreme (no event end in the bin) is the price at its end.

    Of several things that a bin is at once the one that says most counts: closed, which was known beforehand; a roll; a gap.
    """
    has_bid, has_ask = bid != UNDEF_PRICE, ask != UNDEF_PRICE
    usable = (quality == 0) & has_bid & has_ask & (ask > bid)
    bid, ask = _carried(bid, has_bid), _carried(ask, has_ask)
    state = np.where(usable, SOUND, POSTPONED).astype(np.int8)
    for bits, what in ((Q_COLD | Q_GAP, GAP), (Q_ROLL, ROLL), (Q_CLOSED, CLOSED)):
        state[(quality & bits) != 0] = what

    def known(extreme: Ints, last: Ints) -> Ints:
        return np.where(extreme != UNDEF_PRICE, extreme, last)

    return Tape(
        bid,
        ask,
        known(bid_low, bid),
        known(bid_high, bid),
        known(ask_low, ask),
        known(ask_high, ask),
        state,
    )


def _carried(price: Ints, is_known: NDArray[np.bool_]) -> Ints:
    """Prices with the last known one where there is none; before the first, where nothing is ever traded, as they are."""
    last = np.maximum.accumulate(np.where(is_known, np.arange(len(price)), 0))
    return np.ascontiguousarray(price[last], np.int64)
