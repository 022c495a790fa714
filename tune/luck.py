"""How much of a best result is the luck of having tried many.

Two questions. Is the *choosing* any good: does what looks best in one half of the time stay above the middle in the other
(probability of backtest overfitting, by combinatorially symmetric cross-validation)? And is the *best one* better than the best
of as many trials without skill would be? That is asked twice: the deflated Sharpe ratio counts the trials and takes each for one
of its own; the max-t test of `tune.superior` resamples all of them together and knows which are alike.

Sources: D. H. Bailey, J. M. Borwein, M. Lopez de Prado, Q. J. Zhu, "The probability of backtest overfitting", Journal of
Computational Finance 20 (2017). D. H. Bailey, M. Lopez de Prado, "The deflated Sharpe ratio: correcting for selection bias,
backtest overfitting and non-normality", Journal of Portfolio Management 40 (2014). E. Mertens, "Comments on variance of the IID
estimator in Lo (2002)" (2002).
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
from tune.superior import LIMIT as SPA_LIMIT
from tune.superior import long_run_variance

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


def null_sharpe_std(n_spans: int, widened: float = 1.0) -> float:
    """How far Sharpe ratios per span of trials without skill spread over ``n_spans``: sqrt(widened / (n_spans - 1)).

    Mertens' variance, (1 - skew SR + (kurtosis - 1) / 4 SR^2) / (n - 1), at SR = 0, whatever skew and kurtosis. It is never the
    spread of the ratios that were found: trials that lose would widen that, and copies of one trial would narrow it.
    """
    return sqrt(widened / (n_spans - 1)) if n_spans > 1 else float("inf")


def widening(returns: Floats, mean_length: int) -> float:
    """By what factor dependence of neighbouring spans widens the variance of a mean; at least 1, as it is estimated itself."""
    plain = float(returns.var())
    return max(float(long_run_variance(returns[None], mean_length)[0]) / plain, 1.0) if plain > 0 else 1.0


def deflated_sharpe(returns: Floats, chance: float, widened: float = 1.0) -> float:
    """Probability that the true Sharpe ratio lies above what chance alone would show.

    Parameters
    ----------
    returns : NDArray[np.float64], shape (n_spans,)
        What one trial earned in equal spans of time.
    chance : float
        ``best_by_chance``, per span.
    widened : float
        As `widening` gives it.
    """
    n = len(returns)
    spread = returns.std()
    if n < 3 or not spread > 0:
        return float("nan")
    ratio = float(returns.mean() / spread)
    z = (returns - returns.mean()) / spread
    skew, kurtosis = float((z**3).mean()), float((z**4).mean())
    scale = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio
    return _NORMAL.cdf((ratio - chance) * sqrt(n - 1) / sqrt(scale * widened)) if scale > 0 else float("nan")


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
    spa_p: float  # of the test of superior predictive ability: that the best is no better than nothing
    row_p: float  # of the best row in its step-down form
    n_resampled: int  # trials in it
    block_minutes: float  # what lies further apart is taken as independent

    @property
    def chance_line(self) -> str:
        """What the best of as many trials without skill would show."""
        return (
            f"best of {self.n_trials} trials by chance alone: Sharpe {self.chance_sharpe:+.2f} per root hour; "
            f"the best here: {self.best_sharpe:+.2f}; deflated Sharpe ratio {self.deflated:.2f}; max-t test over "
            f"{self.n_resampled} trials: p {self.row_p:.3f} for the best here, {self.spa_p:.3f} for the best of all; "
            f"probability of backtest overfitting {self.pbo:.2f} over {self.n_compared} rows"
        )

    @property
    def is_real(self) -> bool:
        """Whether both tests put the best row above luck."""
        return self.deflated > DSR_LIMIT and self.row_p <= SPA_LIMIT

    @property
    def words(self) -> str:
        """How to read them together, in one line."""
        if any(figure != figure for figure in (self.pbo, self.deflated, self.row_p)):
            return "Too few trials, or too short a record, to tell luck from skill."
        stable = self.pbo < PBO_LIMIT
        if stable and self.is_real:
            told = "What is best in one half of the time stays good in the other, and the best is better than luck: worth a try."
        elif stable:
            told = (
                "The ranking is stable, but its best is no better than the luck of so many trials, or the record is too short: "
                "the rows differ in how they lose or wait, not in skill."
            )
        elif self.is_real:
            told = (
                "The best stands out from luck, but choosing by rank does not carry over in time: look at what it has in common "
                "with its neighbours before you believe it."
            )
        else:
            told = (
                "What looks best in one half of the time does not stay so in the other, and luck alone shows as much: "
                "do not use it."
            )
        return f"{told}{self._disagreement}"

    @property
    def _disagreement(self) -> str:
        passes_dsr, passes_spa = self.deflated > DSR_LIMIT, self.row_p <= SPA_LIMIT
        if passes_dsr == passes_spa:
            return ""
        told = ("deflated Sharpe ratio", "max-t test") if passes_dsr else ("max-t test", "deflated Sharpe ratio")
        return f" The {told[0]} alone would pass it; the {told[1]} does not, and it takes both."

    @property
    def assumptions(self) -> str:
        """What each of the figures takes for granted, in one line."""
        unseen = self.n_trials - self.n_resampled
        left = f"; {unseen} more are counted, and kept no result by blocks on this time" if unseen > 0 else ""
        return (
            f"The deflated ratio takes all {self.n_trials} trials for different ones (copies cost a little), the max-t test "
            f"knows which of {self.n_resampled} are alike{left}. Both take results more than {self.block_minutes:.3g} minutes "
            "apart as independent, and a loss that never came about in this time as one that does not exist."
        )
