"""Which of many trials are better than nothing, with the trying of all of them allowed for: a bootstrap of all at once.

The test of superior predictive ability asks whether the best of many is better than nothing; the step-down form goes on down the
list and gives each trial a p-value of its own. Both draw the same spans of time for all trials together, so what trials have in
common stays in common: a trial that stands there a thousand times over counts as one, and one that loses counts for nothing.

Sources: P. R. Hansen, "A test for superior predictive ability", Journal of Business & Economic Statistics 23 (2005), for the
recentring. J. P. Romano, M. Wolf, "Stepwise multiple testing as formalized data snooping", Econometrica 73 (2005), for the steps
and for a deviation that is found anew in each draw; the same, "Efficient computation of adjusted p-values for resampling-based
stepdown multiple testing", Statistics & Probability Letters 113 (2016). D. N. Politis, J. P. Romano, "The stationary bootstrap",
JASA 89 (1994).
"""

from functools import cache
from math import log
from typing import Final

import numpy as np

from engine.schema import Floats

N_DRAWS: Final = 999
SEED: Final = 20050101
LIMIT: Final = 0.05  # p-values at or below it pass
MIN_SPANS: Final = 3  # of fewer nothing can be drawn
_FLOOR: Final = 0.5  # of a trial's own deviation: a draw that holds hardly any of its trades has none of its own
_CHUNK: Final = 1 << 21  # floats of one product


@cache
def draws(n_spans: int, mean_length: int, n_draws: int = N_DRAWS, seed: int = SEED) -> Floats:
    """How often each span stands in each draw of the stationary bootstrap, shape (n_draws, n_spans); the same at every call.

    A block goes on with probability 1 - 1 / ``mean_length``, round the end to the beginning.
    """
    rng = np.random.default_rng(seed)
    first, go_on = np.empty((n_draws, n_spans), np.int64), np.empty((n_draws, n_spans))
    for draw in range(n_draws):
        first[draw], go_on[draw] = rng.integers(n_spans, size=n_spans, dtype=np.int64), rng.random(n_spans)
    for i in range(1, n_spans):
        first[:, i] = np.where(go_on[:, i] > 1.0 / mean_length, (first[:, i - 1] + 1) % n_spans, first[:, i])
    counts = np.zeros((n_draws, n_spans))
    np.add.at(counts, (np.arange(n_draws)[:, None], first), 1.0)
    return counts


def long_run_variance(returns: Floats, mean_length: int) -> Floats:
    """Variance of the mean times the number of spans, shape (n_trials,), neighbours' dependence included.

    Weights of Politis and Romano (1994), of blocks of ``mean_length`` on the average; with 1 the plain variance.
    """
    n, go_on = returns.shape[1], 1.0 - 1.0 / mean_length
    centred = returns - returns.mean(axis=1, keepdims=True)
    variance = (centred**2).sum(axis=1) / n
    if mean_length == 1:
        return np.asarray(variance)
    for lag in range(1, n):
        weight = (1 - lag / n) * go_on**lag + lag / n * go_on ** (n - lag)
        variance = variance + 2 * weight * (centred[:, : n - lag] * centred[:, lag:]).sum(axis=1) / n
    return np.asarray(variance)


def superiority(returns: Floats, mean_length: int = 1, *, drawn: Floats | None = None, anew: bool = True) -> Floats:
    """Step-down p-value of each trial, that its mean is above 0; the smallest is that of the test of superior predictive ability.

    Parameters
    ----------
    returns : NDArray[np.float64], shape (n_trials, n_spans)
        What each trial earned in equal spans of time, the same for all.
    mean_length : int
        Spans that a drawn block has on the average: what lies further apart is taken as independent.
    drawn : NDArray[np.float64], shape (n_draws, n_spans), optional
        How often each span is drawn; default ``draws``.
    anew : bool
        Find the deviation anew in each draw, as Romano and Wolf do; Hansen's own form keeps that of the sample. With some 50
        spans, hundreds of trials and outcomes as uneven as those of a near profit and a far stop his form takes noise for skill.

    Returns
    -------
    NDArray[np.float64], shape (n_trials,)
        (1 + draws at or above) / (1 + draws), never smaller down the list; NaN for a trial in which nothing varies, and for all
        with fewer than ``MIN_SPANS`` spans.
    """
    n = returns.shape[1] if returns.ndim == 2 else 0
    found = np.full(len(returns), np.nan)
    if n < MIN_SPANS:
        return found
    spread = returns.std(axis=1)
    varies = np.flatnonzero(spread > 1e-12 * np.abs(returns).max(axis=1, initial=0.0))
    if not len(varies):
        return found
    scaled = returns[varies] / spread[varies, None]
    means = scaled.mean(axis=1)
    order = np.argsort(-means, kind="stable")
    scaled, means = scaled[order], means[order]
    # Who is worse than nothing beyond doubt is not lifted to nothing: it would stand in the way of those that may be better.
    doubt = np.sqrt(long_run_variance(scaled, mean_length) / n * 2 * log(log(n))) if n > 2 else np.inf
    centre = np.where(means >= -doubt, means, 0.0)
    weights = draws(n, mean_length) if drawn is None else drawn
    above = np.zeros(len(means))
    step = max(_CHUNK // len(means), 1)
    for first in range(0, len(weights), step):
        part = weights[first : first + step] / n
        mean = part @ scaled.T
        height = mean - centre
        if anew:
            height /= np.sqrt(np.maximum(part @ (scaled**2).T - mean * mean, _FLOOR * _FLOOR))
        highest_left = np.maximum.accumulate(height[:, ::-1], axis=1)[:, ::-1]  # among it and those below it
        above += (highest_left >= means).sum(axis=0)
    found[varies[order]] = np.maximum.accumulate((1 + above) / (1 + len(weights)))
    return found
