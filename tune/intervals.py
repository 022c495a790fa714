"""How sure a figure is: of a rate, and of a mean that trades add up to, when trades remember each other and losses are rare.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
E. Carlstein, "The use of subseries values for estimating the variance of a general statistic from a stationary sequence",
Annals of Statistics 14 (1986), for the blocks; P. Hall, "The Bootstrap and Edgeworth Expansion" (1992), for the studentised form;
C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), for losses that were hardly seen.
"""

from functools import cache
from itertools import product
from typing import Final, NamedTuple

import numpy as np

from engine.schema import Floats, Ints
from tune.interval_kernels import highest_rate, memory_reach

Z_95: Final = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
LEVEL: Final = 0.95
N_DRAWS: Final = 999
SEED: Final = 20140901
WIDTHS: Final = (1, 2, 3, 4, 6, 8)  # fine blocks a bootstrap block may span; each divides rules.N_BLOCKS
T_LIMIT: Final = 4.302652729911275  # 95 % of Student's t with 2 degrees of freedom: what the fewest blocks allow to say
MIN_BLOCKS: Final = 3  # with trades in fewer nothing can be said
SPANS: Final = 2.0  # a bootstrap block is at least this many mean holding times long
# What blocks may remember of the market that was: for how many fine blocks (to 1/e), and how much of a block's variance it makes.
MEMORIES: Final = (2, 5, 12)
SHARES: Final = (0.2, 0.4, 0.7, 0.95)
# Weight beforehand of none; the rest is spread evenly. At less, edges that are there are missed: 0.7 costs 12 points of power.
NO_MEMORY: Final = 0.9
FEW_STOPS: Final = 10.0  # so many tell themselves how often they come
SLIP_TICKS: Final = 1.0  # that a stop which was never seen would lose beyond its barrier


def wilson(hits: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95 % intervals of rates ``hits / n``; NaN without observations. ``n`` may be an effective, fractional size."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rate, z2 = hits / n, Z_95 * Z_95
        centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 / (1 + z2 / n) * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    nothing = ~(n > 0)
    low, high = np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)
    low[nothing] = high[nothing] = np.nan
    return low, high


@cache
def _draws(n_blocks: int) -> Floats:
    """How often each block stands in each resample, shape (n_blocks, N_DRAWS); the same at every call."""
    weights = np.random.default_rng(SEED).multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=N_DRAWS)
    return np.ascontiguousarray(weights.T, np.float64)


@cache
def _models() -> tuple[Floats, Floats, Floats]:
    """Memory from block to block, share of the variance, and logarithm of the weight beforehand, each (n_models,)."""
    rest = [(np.exp(-1.0 / memory), share) for share, memory in product(SHARES, MEMORIES)]
    memory, share = np.array([(0.0, 0.0), *rest]).T
    prior = np.full(len(memory), (1.0 - NO_MEMORY) / len(rest))
    prior[0] = NO_MEMORY
    return np.ascontiguousarray(memory), np.ascontiguousarray(share), np.log(prior)


def block_width(mean_hold_bins: Floats, block_bins: float) -> Ints:
    """Fine blocks per bootstrap block, so that one spans ``SPANS`` mean holding times: neighbours may then be taken as apart."""
    needed = SPANS * np.nan_to_num(mean_hold_bins) / block_bins
    places = np.minimum(np.searchsorted(np.array(WIDTHS, np.float64), needed), len(WIDTHS) - 1)
    return np.array(WIDTHS, np.int64)[places]


class MeanBounds(NamedTuple):
    """95 % intervals of means, and the standard error with which blocks that remember nothing reach as far; each (n_series,)."""

    low: Floats
    high: Floats
    error: Floats


def mean_interval(block_n: Floats, block_sum: Floats, width: Ints) -> tuple[Floats, Floats]:
    """The ends of `mean_bounds`."""
    return mean_bounds(block_n, block_sum, width)[:2]


def mean_bounds(block_n: Floats, block_sum: Floats, width: Ints) -> MeanBounds:
    """95 % intervals of ratios ``sum / n`` of many series at once: the wider of what labels and what the data themselves ask for.

    One is the bootstrap, of blocks as wide as the labels need. The other is for markets that last: fine blocks may remember their
    neighbours, for any of ``MEMORIES`` and to any of ``SHARES``. Each such memory gives an error of the mean and, as blocks that
    remember count as fewer, degrees of freedom; they are mixed by how well they fit the series.

    Parameters
    ----------
    block_n, block_sum : NDArray[np.float64], shape (n_series, n_blocks)
        Trades and their sum in equal spans of time, in order.
    width : NDArray[np.int64], shape (n_series,)
        Spans that make one block of the bootstrap.

    Returns
    -------
    MeanBounds
        NaN where too few blocks hold trades for a statement.
    """
    reach = bootstrap_reach(block_n, block_sum, width)
    remembered, error = np.full(len(width), np.nan), np.full(len(width), np.nan)
    models = _models()
    n, total = (np.ascontiguousarray(column, np.float64) for column in (block_n, block_sum))
    memory_reach(n, total, *models, 1.0 - LEVEL, np.empty((len(models[0]), 3)), remembered, error)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, widest = total.sum(1) / n.sum(1), np.maximum(reach, remembered)
    return MeanBounds(mean - widest, mean + widest, error)


def bootstrap_reach(block_n: Floats, block_sum: Floats, width: Ints) -> Floats:
    """Half widths (n_series,) of 95 % intervals of ratios ``sum / n``: studentised symmetric block bootstrap, seeded.

    Takes what `mean_bounds` does. NaN where fewer than ``MIN_BLOCKS`` blocks hold trades.
    """
    reach = np.full(len(width), np.nan)
    for one in np.unique(width):
        chosen = np.flatnonzero(width == one)
        shape = (len(chosen), block_n.shape[1] // int(one), int(one))
        reach[chosen] = _studentised(block_n[chosen].reshape(shape).sum(2), block_sum[chosen].reshape(shape).sum(2))
    return reach


def _studentised(n: Floats, total: Floats) -> Floats:
    draws = _draws(n.shape[1])
    place = int(np.ceil(LEVEL * (N_DRAWS + 1))) - 1
    reach = np.full(len(n), np.nan)
    for i in np.flatnonzero((n > 0).sum(1) >= MIN_BLOCKS):
        # One by one, as a product of several series would round by how many there are: a point must not depend on its company.
        a, off = n[i], total[i] - total[i].sum() / n[i].sum() * n[i]
        error = np.sqrt((off**2).sum()) / a.sum()
        drawn_n, drawn_off, bb, ab, aa = np.stack([a, off, off * off, a * off, a * a]) @ draws
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = drawn_off / drawn_n
            t = np.abs(drawn_off) / np.sqrt(np.maximum(bb - drawn * (2.0 * ab - drawn * aa), 0.0))
        t[~np.isfinite(t)] = np.inf  # a resample without spread, as where nearly all trades end alike: it counts as far off
        reach[i] = min(float(np.partition(t, place)[place]), T_LIMIT) * error
    return reach


def independent(n: Floats, total: Floats, square: Floats, error: Floats) -> Floats:
    """How many independent trades would leave a mean as unsure as its ``error`` says; never more than there are.

    All of shape (n_series,): trades, sum of their net results and of its squares, and the error by `mean_bounds`. Where there is
    none, or all trades end alike, they are taken for independent.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(square - total * total / n, 0.0) / (n - 1.0)
        found = variance / error**2
    return np.where((variance > 0) & (found < n), found, n)


def tail_bound(n: Floats, total: Floats, stops: Floats, full_loss: Floats, share: Floats, level: float) -> Floats:
    """A lower bound of the mean result if stops came as often as those that were seen still allow, at one-sided ``level``.

    The trades that were not stopped keep their mean. A profit of 8 ticks against a stop of 400 needs well over a hundred trades
    without a stop before this bound lies above 0.

    Parameters
    ----------
    n, total, stops : NDArray[np.float64], shape (n_series,)
        Trades, sum of their net results, and how many of them were stopped.
    full_loss : NDArray[np.float64], shape (n_series,)
        What a stop loses, in the unit of ``total`` and as a positive number.
    share : NDArray[np.float64], shape (n_series,)
        Independent trades in one trade, 0 to 1.

    Returns
    -------
    NDArray[np.float64], shape (n_series,)
        Infinite with ``FEW_STOPS`` or more, whose own spread says as much; NaN without trades.
    """
    often = np.empty(len(n))
    highest_rate(stops * share, n * share, 1.0 - level, often)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = np.where(n > stops, (total + stops * full_loss) / (n - stops), 0.0)
        bound = others - often * (others + full_loss)
    bound[stops >= FEW_STOPS] = np.inf
    bound[~(n > 0)] = np.nan
    return bound
