"""Five-state codes under another table, from the microstates: what a champion trained with that table would have read."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.run.moves import state5

N_MICROSTATES = 9  # 3 * (ask_sign + 1) + (bid_sign + 1)


def state5_codes(microstates: NDArray[np.int8], table: str) -> NDArray[np.int8]:
    """Codes of a grid's rows.

    Parameters
    ----------
    microstates : NDArray[np.int8], shape (n, 2 * radius + 1)
        Column ``perm_microstate_id``.
    table : str
        ``reference`` or ``by_side``.

    Returns
    -------
    NDArray[np.int8], shape (n, 2 * radius + 1)
        Column ``perm_state5_code`` as the engine would label it. Source: engine.md section 6.
    """
    radius = microstates.shape[1] // 2
    side = np.sign(np.arange(-radius, radius + 1)) + 1
    return _codes(table)[microstates, side[np.newaxis, :]]


@cache
def _codes(table: str) -> NDArray[np.int8]:
    """(9, 3) codes by microstate and by side of spot: below, at, above."""
    by_side = table == "by_side"
    return np.array(
        [[state5(k, micro // 3 - 1, micro % 3 - 1, by_side) for k in (-1, 0, 1)] for micro in range(N_MICROSTATES)], np.int8
    )
