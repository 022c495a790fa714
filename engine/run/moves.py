"""Quote-move labels: how the best prices moved from bin to bin, and the five-state code of a row.

Source: engine.md section 6.
"""

from typing import Final

from engine.constants import UNDEF_PRICE
from engine.jit import inline_kernel

LARGEST_MOVE: Final = 2**31 - 1  # ticks


@inline_kernel
def sign(x: int) -> int:
    """-1, 0 or 1."""
    if x > 0:
        return 1
    if x < 0:
        return -1
    return 0


@inline_kernel
def move_ticks(price: int, previous: int, tick_int: int) -> int:
    """Ticks a best price moved between two bins, kept within 32 bits; 0 where either is UNDEF_PRICE."""
    if price == UNDEF_PRICE or previous == UNDEF_PRICE:
        return 0
    # Ticks first: the distance of hostile prices does not fit 64 bits, nor its ticks the column.
    move = price // tick_int - previous // tick_int
    return min(max(move, -LARGEST_MOVE), LARGEST_MOVE)


@inline_kernel
def state5(k: int, ask_sign: int, bid_sign: int, by_side: bool) -> int:
    """+2 bull vacuum, +1 bull pressure, 0 mixed, -1 bear pressure, -2 bear vacuum; the row at spot is always 0.

    ``by_side`` lets the ask decide above spot and the bid below, so that a mirrored market negates every code.
    """
    if k == 0:
        return 0
    if by_side:
        if k > 0:
            return 2 if ask_sign > 0 else -1 if ask_sign < 0 else 0
        return 1 if bid_sign > 0 else -2 if bid_sign < 0 else 0
    if bid_sign > 0 and ask_sign >= 0:
        return 2 if k > 0 else 1
    if ask_sign == 0 and bid_sign == 0:
        return 0
    if ask_sign < 0 and bid_sign > 0:
        return 0
    return -1 if k > 0 else -2
