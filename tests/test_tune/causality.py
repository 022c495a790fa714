"""Does anything decided in the past change when the future does? The one question that finds every kind of lookahead.

What is checked is a function from a session's arrays to what is decided bin by bin. The session is cut, everything after the
cut is replaced, and what was decided up to the cut must stay as it was, bit for bit. It does not matter how a leak comes about
(labels that reach ahead, thresholds, scalers and folds that saw the whole session, a bin's own future): it shows.

Which bins are sound is left as it is: a trade that the record ends without another price is booked at the last sound one, and that
it was the last is known only afterwards; these trades are counted in every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.signals.registry import get_signal
from tune.outofsample import fold_picks
from tune.scoring import statistics_of, walk_all
from tune.splits import fold_starts
from tune.trial import Market, Point, prediction_mode, score_of, signal_series, thresholds_of

Arrays = Mapping[str, NDArray[Any]]
Decide = Callable[[Arrays], Arrays]
CHANGES: Final = ("reversed", "shuffled", "scaled")
UNCHANGED: Final = ("ts_ns", "bin_seq", "quality")
_SCALE: Final = 3


@dataclass(frozen=True)
class Accusation:
    """A decision that knew the future: which output, in which bin, and the change after ``cut`` that showed it."""

    output: str
    bin: int
    cut: int
    change: str

    def __str__(self) -> str:
        return f"{self.output} of bin {self.bin} changes when the bins after {self.cut} are {self.change}"


def changed_after(arrays: Arrays, cut: int, change: str, seed: int = 0) -> dict[str, NDArray[Any]]:
    """The arrays, each of shape (n, ...), with another future after bin ``cut``; the same order of bins in all of them."""
    n = len(next(iter(arrays.values())))
    order = np.arange(n)
    tail = order[cut + 1 :]
    if change == "reversed":
        order[cut + 1 :] = tail[::-1]
    elif change == "shuffled":
        order[cut + 1 :] = np.random.default_rng(seed).permutation(tail)
    found = {}
    for name, array in arrays.items():
        if name in UNCHANGED:
            found[name] = array
            continue
        other = np.ascontiguousarray(array[order])
        if change == "scaled" and np.issubdtype(other.dtype, np.floating):
            other[cut + 1 :] = -_SCALE * other[cut + 1 :]
        found[name] = other
    return found


def accusations(decide: Decide, arrays: Arrays, cuts: Sequence[int], seed: int = 0) -> list[Accusation]:
    """Look for lookahead.

    Parameters
    ----------
    decide : callable
        From arrays of shape (n, ...) to what is decided, arrays of shape (n, ...) too; it must not keep anything.
    cuts : sequence of int
        Bins after which the future is replaced, one at a time, in each of the ``CHANGES``.

    Returns
    -------
    list of Accusation
        The first bin of each output, cut and change that differs; empty for a causal function.
    """
    original = decide(arrays)
    found = []
    for cut in cuts:
        for change in CHANGES:
            other = decide(changed_after(arrays, cut, change, seed))
            for name, values in original.items():
                at = _first_difference(values[: cut + 1], other[name][: cut + 1])
                if at is not None:
                    found.append(Accusation(name, at, cut, change))
    return found


def _first_difference(one: NDArray[Any], other: NDArray[Any]) -> int | None:
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    if one.tobytes() == other.tobytes():
        return None
    width = one.nbytes // max(len(one), 1)
    differs = (one.view(np.uint8).reshape(len(one), width) != other.view(np.uint8).reshape(len(one), width)).any(axis=1)
    return int(np.flatnonzero(differs)[0])


def market_arrays(market: Market) -> dict[str, NDArray[Any]]:
    """Everything of a market that a decision may read."""
    return {**market.bins, **market.columns}


def point_decisions(point: Point, market: Market) -> Decide:
    """The whole judge as a function of the market's arrays: what a trader who walks forward with a point does, bin by bin.

    Its outputs, of shape (n,): ``score``; ``threshold`` that the fold of the bin trades, NaN before the first fold and where
    none was chosen; ``fired``, the direction of the trade that the bin sets off, else 0.
    """

    def decide(arrays: Arrays) -> Arrays:
        own = Market(
            {name: arrays[name] for name in market.bins},
            {name: arrays[name] for name in market.columns},
            market.context,
            market.sources,
        )
        series = signal_series(point.signal, point.parameters, own)
        score, rules, tape = score_of(point, series), point.rules, own.tape(point.rules)
        thresholds = thresholds_of(point, own, series)
        scored = walk_all(score, tape, thresholds, [rules], prediction_mode(get_signal(point.signal)))
        picks = fold_picks(statistics_of(scored, tape, own.ts_ns), rules.n_folds)
        n = len(score)
        threshold, fired = np.full(n, np.nan), np.zeros(n, np.int8)
        edges = [*fold_starts(rules.warmup_bins, n, rules.n_folds).tolist(), n]
        for pick, begin, end in zip(picks, edges, edges[1:], strict=False):
            if pick < 0:
                continue
            threshold[begin:end] = thresholds[pick]
            low, high = scored.trades.first[pick : pick + 2]
            bins = scored.trades.fired[low:high]
            inside = (bins >= begin) & (bins < end)
            fired[bins[inside]] = scored.trades.sign[low:high][inside]
        return {"score": score, "threshold": threshold, "fired": fired}

    return decide
