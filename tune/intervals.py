"""How sure a figure is: Wilson's interval of a rate, and a block bootstrap of a mean that trades add up to.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
E. Carlstein, "The use of subseries values for estimating the variance of a general statistic from a stationary sequence",
Annals of Statistics 14 (1986), for the blocks; P. Hall, "The Bootstrap and Edgeworth Expansion" (1992), for the studentised form.
"""

from functools import cache
from typing import Final

import numpy as np

from engine.schema import Floats, Ints

Z_95: Final = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
LEVEL: Final = 0.95
N_DRAWS: Final = 999
SEED: Final = 20140901
WIDTHS: Final = (1, 2, 3, 4, 6, 8)  # fine blocks a bootstrap block may span; each divides rules.N_BLOCKS
T_LIMIT: Final = 4.302652729911275  # 95 % of Student's t with 2 degrees of freedom: what the fewest blocks allow to say
MIN_BLOCKS: Final = 3  # with trades in fewer nothing can be said
SPANS: Final = 2.0  # a bootstrap block is at least this many mean holding times long


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
    """How often each block stands in each resample, shape (N_DRAWS, n_blocks); the same at every call."""
    weights = np.random.default_rng(SEED).multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=N_DRAWS)
    return weights.astype(np.float64)


def block_width(mean_hold_bins: Floats, block_bins: float) -> Ints:
    """Fine blocks per bootstrap block, so that one spans ``SPANS`` mean holding times: neighbours may then be taken as apart."""
    needed = SPANS * np.nan_to_num(mean_hold_bins) / block_bins
    places = np.minimum(np.searchsorted(np.array(WIDTHS, np.float64), needed), len(WIDTHS) - 1)
    return np.array(WIDTHS, np.int64)[places]


def mean_interval(block_n: Floats, block_sum: Floats, width: Ints) -> tuple[Floats, Floats]:
    """95 % intervals of ratios ``sum / n`` of many series at once: studentised symmetric block bootstrap, seeded.

    Parameters
    ----------
    block_n, block_sum : NDArray[np.float64], shape (n_series, n_blocks)
        Trades and their sum in equal spans of time.
    width : NDArray[np.int64], shape (n_series,)
        Spans that make one block.

    Returns
    -------
    low, high : NDArray[np.float64], shape (n_series,)
        NaN where too few blocks hold trades for a statement.
    """
    low, high = np.full(len(width), np.nan), np.full(len(width), np.nan)
    for one in np.unique(width):
        chosen = np.flatnonzero(width == one)
        shape = (len(chosen), block_n.shape[1] // int(one), int(one))
        low[chosen], high[chosen] = _studentised(block_n[chosen].reshape(shape).sum(2), block_sum[chosen].reshape(shape).sum(2))
    return low, high


def _studentised(n: Floats, total: Floats) -> tuple[Floats, Floats]:
    blocks = n.shape[1]
    draws = _draws(blocks)
    place = int(np.ceil(LEVEL * (N_DRAWS + 1))) - 1
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    for i in np.flatnonzero((n > 0).sum(1) >= MIN_BLOCKS):
        # One by one, as a product of several series would round by how many there are: a point must not depend on its company.
        a, b = n[i], total[i]
        mean = b.sum() / a.sum()
        error = np.sqrt(((b - mean * a) ** 2).sum()) / a.sum()
        drawn_n, drawn_sum, bb, ab, aa = (draws @ np.stack([a, b, b * b, a * b, a * a], axis=1)).T
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = drawn_sum / drawn_n
            t = np.abs(drawn - mean) * drawn_n / np.sqrt(np.maximum(bb - 2 * drawn * ab + drawn**2 * aa, 0.0))
        t[~np.isfinite(t)] = np.inf  # a resample without spread, as where nearly all trades end alike: it counts as far off
        reach = min(float(np.partition(t, place)[place]), T_LIMIT) * error
        low[i], high[i] = mean - reach, mean + reach
    return low, high
