"""Leaks by which a bin knows the bins behind it: filters, fills, bars, gaps, peeks and fills. Each beside its honest twin."""

import numpy as np
from numpy.typing import NDArray

from tests.test_tune.leaks_of_the_session import Arrays, Floats, ema, score

GROUP = 10
ODD_GROUP = 7
RARE_LABEL = 8
PEEK_EVERY = 1000
SURVIVES = 30  # bins without a gap after an entry
EXIT_AFTER = 15
SWING = 5


def later(x: NDArray[np.generic], bins: int = 1) -> NDArray[np.generic]:
    """Values some bins ahead; the last ones see the last."""
    return x[np.minimum(np.arange(len(x)) + bins, len(x) - 1)]


def before(x: NDArray[np.generic], bins: int = 1) -> NDArray[np.generic]:
    """Values some bins ago; the first ones see the first."""
    return x[np.maximum(np.arange(len(x)) - bins, 0)]


# Filters.


def future_bin_leak(x: Arrays) -> Arrays:
    """Reads one bin ahead."""
    return score(np.append(x["feature"][1:], 0.0))


def future_bin_honest(x: Arrays) -> Arrays:
    return score(np.append(0.0, x["feature"][:-1]))


def wrapped_leak(x: Arrays) -> Arrays:
    """Shifts by a roll, so that the last bin comes first."""
    return score(np.roll(x["feature"], 1))


def wrapped_honest(x: Arrays) -> Arrays:
    return score(before(x["feature"]))


def smoothing_leak(x: Arrays) -> Arrays:
    """A centred window."""
    return score(np.convolve(x["feature"], np.ones(5) / 5)[2 : len(x["feature"]) + 2])


def smoothing_honest(x: Arrays) -> Arrays:
    return score(np.convolve(x["feature"], np.ones(5) / 5)[: len(x["feature"])])


def both_ways_leak(x: Arrays) -> Arrays:
    """Filters forwards and backwards, so that no phase is lost."""
    return score(ema(ema(x["feature"], 0.3)[::-1], 0.3)[::-1])


def both_ways_honest(x: Arrays) -> Arrays:
    return score(ema(ema(x["feature"], 0.3), 0.3))


def gradient_leak(x: Arrays) -> Arrays:
    """Central differences."""
    return score(later(x["price"]) - before(x["price"]))


def gradient_honest(x: Arrays) -> Arrays:
    return score(x["price"] - before(x["price"], 2))


def remaining_leak(x: Arrays) -> Arrays:
    """Volume that is still to come."""
    return score(np.cumsum(x["volume"][::-1])[::-1])


def remaining_honest(x: Arrays) -> Arrays:
    return score(np.cumsum(x["volume"]))


def swing_leak(x: Arrays) -> Arrays:
    """Highs that nothing exceeds for some bins to either side."""
    around = [before(x["feature"], i) for i in range(SWING)] + [later(x["feature"], i) for i in range(SWING)]
    return score(x["feature"] >= np.max(around, axis=0))


def swing_honest(x: Arrays) -> Arrays:
    """The same, said when it is known."""
    back = [before(x["feature"], i) for i in range(2 * SWING)]
    return score(before(x["feature"], SWING) >= np.max(back, axis=0))


# Fills of what is missing, bars, joins.


def _next_known(x: Floats) -> NDArray[np.int64]:
    """Bin of the next value that is there, this one's own if it is; n where none is."""
    at = np.where(np.isnan(x), len(x), np.arange(len(x)))
    return np.minimum.accumulate(at[::-1])[::-1]


def _last_known(x: Floats) -> NDArray[np.int64]:
    """Bin of the last value that is there; -1 where none is."""
    return np.maximum.accumulate(np.where(np.isnan(x), -1, np.arange(len(x))))


def filling_leak(x: Arrays) -> Arrays:
    """Fills missing values from the next one that is there."""
    at = _next_known(x["gappy"])
    return score(np.append(x["gappy"], np.nan)[at])


def filling_honest(x: Arrays) -> Arrays:
    at = _last_known(x["gappy"])
    return score(np.where(at >= 0, x["gappy"][at], np.nan))


def interpolating_leak(x: Arrays) -> Arrays:
    """A straight line over what is missing."""
    there = np.flatnonzero(~np.isnan(x["gappy"]))
    return score(np.interp(np.arange(len(x["gappy"])), there, x["gappy"][there]) if len(there) else x["gappy"])


def interpolating_honest(x: Arrays) -> Arrays:
    """The last value, fading."""
    at = _last_known(x["gappy"])
    return score(np.where(at >= 0, x["gappy"][at] * 0.9 ** (np.arange(len(at)) - at), 0.0))


def coarse_bar_leak(x: Arrays) -> Arrays:
    """The close of a bar of ten bins, known from its first bin on."""
    return score(x["price"][np.minimum(np.arange(len(x["price"])) // GROUP * GROUP + GROUP - 1, len(x["price"]) - 1)])


def coarse_bar_honest(x: Arrays) -> Arrays:
    closed = np.arange(len(x["price"])) // GROUP * GROUP - 1
    return score(np.where(closed >= 0, x["price"][closed], 0.0))


def resampling_leak(x: Arrays) -> Arrays:
    """Bars of seven bins that close with the first bin of the next one: one bin too far."""
    t = np.arange(len(x["price"]))
    closed = (t + 1) // ODD_GROUP * ODD_GROUP
    return score(x["price"][np.minimum(closed, len(t) - 1)])


def resampling_honest(x: Arrays) -> Arrays:
    return score(x["price"][np.arange(len(x["price"])) // ODD_GROUP * ODD_GROUP])


def nearest_join_leak(x: Arrays) -> Arrays:
    """Joins to each bin the trade nearest in time, before or after it."""
    traded = np.flatnonzero(x["volume"] > 0)
    if not len(traded):
        return score(np.zeros(len(x["volume"])))
    t = np.arange(len(x["volume"]))
    right = np.minimum(np.searchsorted(traded, t), len(traded) - 1)
    left = np.maximum(right - 1, 0)
    is_left = np.abs(traded[left] - t) <= np.abs(traded[right] - t)
    return score(x["price"][np.where(is_left, traded[left], traded[right])])


def nearest_join_honest(x: Arrays) -> Arrays:
    at = np.maximum.accumulate(np.where(x["volume"] > 0, np.arange(len(x["volume"])), 0))
    return score(x["price"][at])


def duplicates_leak(x: Arrays) -> Arrays:
    """Of bins alike the last is kept."""
    return score(np.where(later(x["label"]) == x["label"], 0.0, x["feature"]))


def duplicates_honest(x: Arrays) -> Arrays:
    """Of bins alike the first is kept."""
    return score(np.where(before(x["label"]) == x["label"], 0.0, x["feature"]))


# Gaps, quality, time.


def next_quality_leak(x: Arrays) -> Arrays:
    """Silent where the bin behind is doubtful."""
    return score(np.where(later(x["quality"]) != 0, 0.0, x["feature"]))


def next_quality_honest(x: Arrays) -> Arrays:
    return score(np.where(x["quality"] != 0, 0.0, x["feature"]))


def survivors_leak(x: Arrays) -> Arrays:
    """Drops the bins that a gap follows before a trade would be over."""
    bad = np.cumsum(np.append(0, x["quality"] != 0))
    t = np.arange(len(x["quality"]))
    follows = bad[np.minimum(t + SURVIVES, len(t))] > bad[np.minimum(t + 1, len(t))]
    return score(np.where(follows, 0.0, x["feature"]))


def survivors_honest(x: Arrays) -> Arrays:
    """Drops the bins that a gap precedes."""
    bad = np.cumsum(np.append(0, x["quality"] != 0))
    t = np.arange(len(x["quality"]))
    return score(np.where(bad[t + 1] > bad[np.maximum(t - SURVIVES, 0)], 0.0, x["feature"]))


def next_gap_leak(x: Arrays) -> Arrays:
    """Time until the next gap."""
    t = np.arange(len(x["quality"]))
    at = np.where(x["quality"] != 0, t, len(t) + 10_000)
    return score(np.minimum.accumulate(at[::-1])[::-1] - t)


def next_gap_honest(x: Arrays) -> Arrays:
    """Time since the last one."""
    t = np.arange(len(x["quality"]))
    return score(t - np.maximum.accumulate(np.where(x["quality"] != 0, t, -1)))


def next_time_leak(x: Arrays) -> Arrays:
    """How long the book will stand as it is."""
    return score(later(x["ts_ns"]) - x["ts_ns"])


def next_time_honest(x: Arrays) -> Arrays:
    return score(x["ts_ns"] - before(x["ts_ns"]))


def next_label_leak(x: Arrays) -> Arrays:
    """The quotes' next move, as a label."""
    return score(later(x["label"]) // 3 - 1)


def next_label_honest(x: Arrays) -> Arrays:
    return score(x["label"] // 3 - 1)


# Peeks that are seldom.


def rare_peek_leak(x: Arrays) -> Arrays:
    """Looks a bin ahead at a label that is seen once in a thousand bins."""
    return score(np.where(x["rare"] == RARE_LABEL, later(x["feature"]), x["feature"]))


def rare_peek_honest(x: Arrays) -> Arrays:
    return score(np.where(x["rare"] == RARE_LABEL, before(x["feature"]), x["feature"]))


def seldom_peek_leak(x: Arrays) -> Arrays:
    """Looks a bin ahead once in a thousand bins, by their count."""
    return score(np.where(np.arange(len(x["feature"])) % PEEK_EVERY == PEEK_EVERY - 1, later(x["feature"]), x["feature"]))


def seldom_peek_honest(x: Arrays) -> Arrays:
    return score(np.where(np.arange(len(x["feature"])) % PEEK_EVERY == PEEK_EVERY - 1, before(x["feature"]), x["feature"]))


def extreme_peek_leak(x: Arrays) -> Arrays:
    """Looks a bin ahead at new highs of the feature."""
    return score(np.where(x["feature"] >= np.maximum.accumulate(x["feature"]), later(x["feature"]), 0.0))


def extreme_peek_honest(x: Arrays) -> Arrays:
    return score(np.where(x["feature"] >= np.maximum.accumulate(x["feature"]), x["feature"], 0.0))


# Trades.


def entry_leak(x: Arrays) -> Arrays:
    """Enters at the price of the bin whose end gave the signal."""
    return {"score": x["feature"], "fill": np.where(x["feature"] > 1.0, x["price"], np.nan)}


def entry_honest(x: Arrays) -> Arrays:
    return {"score": x["feature"], "fill": np.where(x["feature"] > 1.0, np.append(x["price"][1:], np.nan), np.nan)}


def winners_leak(x: Arrays) -> Arrays:
    """Leaves out what a stop would have ended."""
    return score(np.where(later(x["price"], EXIT_AFTER) < x["price"] - 1.0, 0.0, x["feature"]))


def winners_honest(x: Arrays) -> Arrays:
    """Leaves out what follows a stop."""
    return score(np.where(x["price"] < before(x["price"], EXIT_AFTER) - 1.0, 0.0, x["feature"]))
