"""Folds label by label, as `tune.splits` describes them: the plain form of what the tally kernel sums up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.schema import Ints
from tune.rules import N_BLOCKS
from tune.splits import fold_starts


@dataclass(frozen=True)
class Segment:
    """A span of one session that a fold is tested on: bins ``begin`` to ``end``, the latter not included."""

    session: int
    begin: int
    end: int


@dataclass(frozen=True)
class Fold:
    """Indices of the labels a choice may learn from, and of those it is tested on; both ascending i8."""

    train: Ints
    test: Ints


def block_of(bins: Ints, start: int, n_bins: int) -> Ints:
    """Which of the ``N_BLOCKS`` equal blocks of the scored span ``start .. n_bins - 1`` each bin lies in."""
    return np.minimum((bins - start) * N_BLOCKS // max(n_bins - start, 1), N_BLOCKS - 1)


def segments(n_bins: Sequence[int], warmup_bins: int, n_folds: int) -> list[Segment]:
    """Test spans of several sessions in order of time; of the first session the first part is only learned from."""
    found = []
    for session, n in enumerate(n_bins):
        start = min(warmup_bins, n)
        edges = [*fold_starts(start, n, n_folds).tolist(), n]
        if session > 0:
            edges.insert(0, start)
        found += [Segment(session, begin, end) for begin, end in zip(edges, edges[1:], strict=False)]
    return found


def walk_forward(session: Ints, fired: Ints, leave: Ints, tested: Sequence[Segment], embargo_bins: int) -> list[Fold]:
    """The folds of some labels.

    Parameters
    ----------
    session, fired, leave : NDArray[np.int64], shape (n_labels,)
        Session of each label, the bin it was fired in and the last bin it read.
    embargo_bins : int
        Bins between the last bin a training label read and the tested span, in the same session.
    """
    folds = []
    for segment in tested:
        here = session == segment.session
        over = here & (leave < segment.begin - embargo_bins)
        train = np.flatnonzero((session < segment.session) | over)
        test = np.flatnonzero(here & (fired >= segment.begin) & (fired < segment.end))
        folds.append(Fold(train, test))
    return folds
