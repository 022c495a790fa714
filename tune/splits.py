"""Walk-forward folds: what a choice may learn from, and the later time it is judged on.

A label reaches from the bin a trade is entered in to the bin it leaves. A fold tests the trades fired in one span of one
session; its choice learns from labels that were over before that span began (purge), by a margin (embargo) as long as what the
features remember. Sessions are in order of time, and neither labels nor features reach from one into the next.

Source: M. Lopez de Prado, "Advances in Financial Machine Learning" (2018), chapters 7.4 and 12.2.
"""

import numpy as np

from engine.schema import Ints
from tune.rules import N_BLOCKS


def fold_blocks(n_folds: int) -> Ints:
    """First block of each test segment, shape (n_folds,), ascending.

    The scored span falls into ``n_folds + 1`` parts; the first one is never tested.
    """
    return np.array([round(N_BLOCKS * k / (n_folds + 1)) for k in range(1, n_folds + 1)], np.int64)


def fold_starts(start: int, n_bins: int, n_folds: int) -> Ints:
    """First bin of each test segment inside a session, shape (n_folds,); they begin with a block."""
    span = max(n_bins - start, 1)
    return start + -(-fold_blocks(n_folds) * span // N_BLOCKS)
