"""How much of a best result is the luck of having tried many.

Two questions, two answers. Is the *choosing* any good: does what looks best in one half of the time stay above the middle in
the other (probability of backtest overfitting, by combinatorially symmetric cross-validation)? And is the *best one* better
than the best of as many trials without skill would be (deflated Sharpe ratio)?

Sources: D. H. Bailey, J. M. Borwein, M. Lopez de Prado, Q. J. Zhu, "The probability of backtest overfitting", Journal of
Computational Finance 20 (2017). D. H. Bailey, M. Lopez de Prado, "The deflated Sharpe ratio: correcting for selection bias,
backtest overfitting and non-normality", Journal of Portfolio Management 40 (2014).
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import e, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.schema import Floats

EULER: Final = 0.5772156649015329
N_GROUPS: Final = 16  # S of the paper: 12,870 ways to halve the time
PBO_LIMIT: Final = 0.2
DSR_LIMIT: Final = 0.95
_CHUNK: Final = 1 << 21  # floats of one product
_NORMAL: Final = NormalDist()


@cache
def _halves(n_groups: int) -> NDArray[np.float64]:
    """Every choice of half of the groups, shape (n_halves, n_groups), 1 where chosen."""
    chosen = np.array(list(combinations(range(n_groups), n_groups // 2)))
    halves = np.zeros((len(chosen), n_groups))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    return halves


def sharpe(total: Floats, square: Floats, n: float) -> Floats:
    """Sharpe ratio per span from sums over ``n`` spans; 0 where nothing varies."""
    mean = total / n
    variance = np.maximum(square / n - mean * mean, 0.0)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0)


def overfitting_probability(returns: Floats, n_groups: int = N_GROUPS) -> float:
    """Probability of backtest overfitting of choosing the best Sharpe ratio.

    Parameters
    ----------
    returns : NDArray[np.float64], shape (n_trials, n_spans)
        What each trial earned in equal spans of time, the same for all; ``n_spans`` a multiple of ``n_groups``.

    Returns
    -------
    float
        Share of all halvings of the time in which the trial best in one half is at or below the median of the other; NaN with
        fewer than two trials.
    """
    n_trials, n_spans = returns.shape
    if n_trials < 2:
        return float("nan")
    if n_spans % n_groups:
        raise ValueError(f"{n_spans} spans cannot be grouped by {n_groups}")
    grouped = returns.reshape(n_trials, n_groups, n_spans // n_groups)
    total, square = grouped.sum(2).T, (grouped**2).sum(2).T  # (n_groups, n_trials)
    halves, per_half = _halves(n_groups), n_spans / 2
    below = 0.0
    step = max(_CHUNK // n_trials, 1)
    for first in range(0, len(halves), step):
        half = halves[first : first + step]
        # Not as a matrix product, which rounds by the column: trials that are the same would differ in the last bit.
        seen_total, seen_square = (np.einsum("hg,gt->ht", half, sums) for sums in (total, square))
        seen = sharpe(seen_total, seen_square, per_half)
        unseen = sharpe(total.sum(0) - seen_total, square.sum(0) - seen_square, per_half)
        best = np.take_along_axis(unseen, seen.argmax(1)[:, None], axis=1)
        # The middle rank of equals, so that trials which are the same do not count for or against each other.
        rank = (unseen < best).sum(1) + 0.5 * ((unseen == best).sum(1) + 1)
        below += float((rank / (n_trials + 1) < 0.5).sum() + 0.5 * (rank / (n_trials + 1) == 0.5).sum())
    return below / len(halves)


def best_by_chance(n_trials: int, sharpe_std: float) -> float:
    """Sharpe ratio to be expected of the best of ``n_trials`` without skill, their ratios spread by ``sharpe_std``."""
    if n_trials < 2:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / n_trials), _NORMAL.inv_cdf(1 - 1 / (n_trials * e))
    return sharpe_std * ((1 - EULER) * first + EULER * second)


def deflated_sharpe(returns: Floats, chance: float) -> float:
    """Probability that the true Sharpe ratio lies above what chance alone would show.

    Parameters
    ----------
    returns : NDArray[np.float64], shape (n_spans,)
        What one trial earned in equal spans of time.
    chance : float
        ``best_by_chance``, per span.
    """
    n = len(returns)
    spread = returns.std()
    if n < 3 or not spread > 0:
        return float("nan")
    ratio = float(returns.mean() / spread)
    z = (returns - returns.mean()) / spread
    skew, kurtosis = float((z**3).mean()), float((z**4).mean())
    scale = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio
    return _NORMAL.cdf((ratio - chance) * sqrt(n - 1) / sqrt(scale)) if scale > 0 else float("nan")


@dataclass(frozen=True)
class Luck:
    """What stands beside a leaderboard. Sharpe ratios per square root of an hour."""

    lineage: str  # the raw files, in short
    n_trials: int  # ever scored on them
    n_compared: int  # in the halvings
    pbo: float
    best_sharpe: float
    chance_sharpe: float
    deflated: float  # probability

    @property
    def chance_line(self) -> str:
        """What the best of as many trials without skill would show."""
        return (
            f"best of {self.n_trials} trials by chance alone: Sharpe {self.chance_sharpe:+.2f} per root hour; "
            f"the best here: {self.best_sharpe:+.2f}; deflated Sharpe ratio {self.deflated:.2f}; "
            f"probability of backtest overfitting {self.pbo:.2f} over {self.n_compared} rows"
        )

    @property
    def words(self) -> str:
        """How to read the two together, in one line."""
        if self.pbo != self.pbo or self.deflated != self.deflated:
            return "Too few trials, or too short a record, to tell luck from skill."
        stable, real = self.pbo < PBO_LIMIT, self.deflated > DSR_LIMIT
        if stable and real:
            return "What is best in one half of the time stays good in the other, and the best is better than luck: worth a try."
        if stable:
            return (
                "The ranking is stable, but its best is no better than the luck of so many trials, or the record is too short: "
                "the rows differ in how they lose or wait, not in skill."
            )
        if real:
            return (
                "The best stands out from luck, but choosing by rank does not carry over in time: look at what it has in common "
                "with its neighbours before you believe it."
            )
        return (
            "What looks best in one half of the time does not stay so in the other, and luck alone shows as much: do not use it."
        )
