"""Outcomes that learned signals train on, as they come to be known bin by bin.

Source: signals.md section 4; section 14 items 1, 10, 17 and 24; uniqueness: López de Prado, Advances in Financial Machine
Learning (2018), section 4.4.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.schema import Floats, Ints

UNKNOWN: Final = -128  # not decided yet, or a bin that takes no label
LONG_LOST: Final = 1
SHORT_LOST: Final = 2


class LabelState(NamedTuple):
    """Rings of rows, and the rows whose outcome is open.

    ``mids`` (capacity,) half ticks; ``labels`` (capacity,) -1, 0, +1 or UNKNOWN; ``exits`` (capacity,) bin at which the label was
    known; ``open_rows`` (max_hold,) and ``lost`` beside it, the barriers each has touched; ``n_open`` (1,).
    """

    mids: Ints
    labels: NDArray[np.int8]
    exits: Ints
    open_rows: Ints
    lost: NDArray[np.int8]
    n_open: Ints


class LabelNumbers(NamedTuple):
    """Barriers in half ticks from the mid, the time limit in bins."""

    tp: float
    sl: float
    max_hold: int
    by_direction: bool


def make_label_state(capacity: int, max_hold: int) -> LabelState:
    """No rows yet."""
    return LabelState(
        np.zeros(capacity, np.int64),
        np.full(capacity, UNKNOWN, np.int8),
        np.zeros(capacity, np.int64),
        np.zeros(max_hold, np.int64),
        np.zeros(max_hold, np.int8),
        np.zeros(1, np.int64),
    )


@kernel
def settle(state: LabelState, t: int, mid: int, is_sound: bool, p: LabelNumbers) -> None:
    """Let bin ``t``, its mid in half ticks, decide the rows it can, then open its own; only ``is_sound`` bins decide and open.

    By direction: +1 where a long reaches its profit before its stop, -1 where a short does, 0 where both are stopped or time
    is up. Else: the sign of the first move of at least the nearer barrier.
    """
    capacity = state.mids.shape[0]
    kept = 0
    nearer = min(p.tp, p.sl)
    for i in range(state.n_open[0]):
        row = state.open_rows[i]
        place = row % capacity
        lost = state.lost[i]
        label = UNKNOWN
        if is_sound:
            move = mid - state.mids[place]
            if not p.by_direction:
                if move >= nearer:
                    label = 1
                elif move <= -nearer:
                    label = -1
            elif move >= p.tp and lost & LONG_LOST == 0:
                label = 1
            elif move <= -p.tp and lost & SHORT_LOST == 0:
                label = -1
            else:
                if move <= -p.sl:
                    lost |= LONG_LOST
                if move >= p.sl:
                    lost |= SHORT_LOST
                if lost == LONG_LOST | SHORT_LOST:
                    label = 0
        if label == UNKNOWN and t - row >= p.max_hold - 1:
            label = 0
        if label == UNKNOWN:
            state.open_rows[kept] = row
            state.lost[kept] = lost
            kept += 1
        else:
            state.labels[place] = label
            state.exits[place] = t
    place = t % capacity
    state.mids[place] = mid
    state.labels[place] = UNKNOWN
    state.exits[place] = 0
    if is_sound and p.max_hold > 1:
        state.open_rows[kept] = t
        state.lost[kept] = 0
        kept += 1
    state.n_open[0] = kept


@kernel
def settle_all(state: LabelState, mids: Ints, is_sound: NDArray[np.bool_], p: LabelNumbers) -> None:
    """A whole session's labels at once; the state's capacity is the session's length."""
    for t in range(mids.shape[0]):
        settle(state, t, mids[t], is_sound[t], p)


def uniqueness(rows: Ints, exits: Ints) -> Floats:
    """How much of each row's life is its own: the mean of one over the number of rows alive, scaled to mean 1.

    Parameters
    ----------
    rows, exits : NDArray[np.int64], shape (n,)
        Bin of a row, and the last bin its outcome depends on; a row lives from the bin after the first to the second.
    """
    if not len(rows):
        return np.zeros(0)
    first = int(rows.min())
    alive = np.zeros(int(exits.max()) - first + 2)
    np.add.at(alive, rows + 1 - first, 1.0)
    np.add.at(alive, exits + 1 - first, -1.0)
    alive = np.cumsum(alive)[:-1]
    share = np.concatenate([[0.0], np.cumsum(np.divide(1.0, alive, out=np.zeros_like(alive), where=alive > 0))])
    weights: Floats = (share[exits + 1 - first] - share[rows + 1 - first]) / (exits - rows)
    return weights / weights.mean()
