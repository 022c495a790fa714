"""What intervals stand on: how far a sum may wander if its blocks remember each other, and the highest rate that fits a count.

Sources: A. C. Harvey, "Forecasting, Structural Time Series Models and the Kalman Filter" (1989), chapter 4, for a wandering mean
seen through noise; D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", Annals of
Mathematical Statistics 30 (1959); C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
case of the binomial", Biometrika 26 (1934); Abramowitz and Stegun (1964), 26.5.8, for the incomplete beta function.
"""

from math import erfc, exp, lgamma, log, sqrt
from typing import Final

from engine.jit import kernel
from engine.schema import Floats

_HALVINGS: Final = 36  # of a bracket: to 1e-10 of it
_TERMS: Final = 300  # of a continued fraction, which 20 to 60 nearly always end
_FEWEST: Final = 2.0  # degrees of freedom: the fewest blocks of which anything is said are three
_TINY: Final = 1e-300


@kernel
def weigh(n: Floats, total: Floats, mean: float, memory: float, share: float, out: Floats) -> None:
    """Fit one memory to the blocks of one series: log-likelihood, standard error of the mean, its degrees of freedom.

    A block's mean is the common mean, plus a part that keeps ``memory`` of itself from block to block and makes ``share`` of the
    variance of a block of average size, plus noise that falls with the block's trades. Common mean and scale are integrated out.
    ``n, total`` (n_blocks,); blocks without trades are missing. ``out`` (3,).
    """
    trades = 0.0
    known = 0
    for i in range(n.shape[0]):
        if n[i] > 0:
            trades += n[i]
            known += 1
    size = trades / known
    level = 0.0  # what the filter expects of the wandering part, of the residuals and of a constant
    unit = 0.0
    variance = share
    ones = 0.0
    cross = 0.0
    squares = 0.0
    log_det = 0.0
    carried = 0.0
    alone = 0.0  # variance of the sum were its blocks strangers, and as it is
    together = 0.0
    for i in range(n.shape[0]):
        if n[i] > 0:
            noise = (1.0 - share) * size / n[i]
            spread = variance + noise
            off = total[i] / n[i] - mean - level
            rest = 1.0 - unit
            log_det += log(spread)
            ones += rest * rest / spread
            cross += rest * off / spread
            squares += off * off / spread
            gain = variance / spread
            level += gain * off
            unit += gain * rest
            variance *= 1.0 - gain
            own = noise * n[i] * n[i] + share * n[i] * n[i]
            alone += own
            together += own + 2.0 * share * n[i] * carried
            carried += n[i]
        level *= memory
        unit *= memory
        carried *= memory
        variance = memory * memory * variance + (1.0 - memory * memory) * share
    scale = max(squares - cross * cross / ones, _TINY)
    out[0] = -0.5 * (log_det + log(ones) + (known - 1) * log(scale))
    out[1] = sqrt(scale / (known - 1) * together) / trades
    out[2] = max(known * alone / together - 1.0, _FEWEST)


@kernel
def memory_reach(
    n: Floats,
    total: Floats,
    memory: Floats,
    share: Floats,
    prior: Floats,
    miss: float,
    fits: Floats,
    reach: Floats,
    error: Floats,
) -> None:
    """How far to each side of its mean an interval of each series reaches, its memories weighed by how well they fit it.

    Parameters
    ----------
    n, total : shape (n_series, n_blocks)
        Trades and their sum; series with trades in fewer than two blocks are left as they are.
    memory, share, prior : shape (n_models,)
        As `weigh` takes them, and the logarithm of what each weighs beforehand.
    miss : float
        Probability of both sides together that is left outside.
    fits : shape (n_models, 3)
        Scratch.
    reach, error : shape (n_series,)
        The reach, and the standard error with which blocks that remember nothing would reach as far; in units of ``total``.
    """
    for i in range(n.shape[0]):
        trades = 0.0
        ticks = 0.0
        known = 0
        for j in range(n.shape[1]):
            trades += n[i, j]
            ticks += total[i, j]
            if n[i, j] > 0:
                known += 1
        if known < 2:
            continue
        best = -1e300
        high = 0.0
        for k in range(memory.shape[0]):
            weigh(n[i], total[i], ticks / trades, memory[k], share[k], fits[k])
            fits[k, 0] += prior[k]
            best = max(best, fits[k, 0])
            high = max(high, fits[k, 1])
        for k in range(memory.shape[0]):
            fits[k, 0] = exp(fits[k, 0] - best)
        reach[i] = reach_of(fits, 6.0 * high, miss)
        fits[0, 0] = 1.0  # one fit alone: no memory, and an error of one
        fits[0, 1] = 1.0
        fits[0, 2] = known - 1.0
        error[i] = reach[i] / reach_of(fits[:1], 20.0, miss)


@kernel
def reach_of(fits: Floats, farthest: float, miss: float) -> float:
    """How far out both tails of a mixture of Student's t hold ``miss`` of it; a row of ``fits`` is weight, error, freedom.

    ``farthest`` is where the search begins: 4.3 errors hold 95 % at two degrees of freedom, the fewest that `weigh` gives.
    """
    weight = 0.0
    for k in range(fits.shape[0]):
        weight += fits[k, 0]
    low = 0.0
    high = farthest
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        outside = 0.0
        for k in range(fits.shape[0]):
            outside += fits[k, 0] * beyond(middle / fits[k, 1], fits[k, 2])
        if outside > miss * weight:
            low = middle
        else:
            high = middle
    return high


@kernel
def beyond(t: float, freedom: float) -> float:
    """Probability that Student's t lies farther off than ``t`` on either side, to 2e-3 from five degrees of freedom on."""
    z = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * sqrt(freedom * log(1.0 + t * t / freedom))
    return erfc(z / sqrt(2.0))


@kernel
def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, for 0 < x < 1."""
    turned = x > (a + 1.0) / (a + b + 2.0)  # the fraction ends soon on one side only
    p, q, at = (b, a, 1.0 - x) if turned else (a, b, x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + p * log(at) + q * log(1.0 - at)) / p
    c = 1.0
    d = 1.0 / (1.0 - (p + q) * at / (p + 1.0))
    value = d
    for m in range(1, _TERMS):
        even = m * (q - m) * at / ((p + 2.0 * m - 1.0) * (p + 2.0 * m))
        d = 1.0 / (1.0 + even * d)
        c = 1.0 + even / c
        value *= c * d
        odd = -(p + m) * (p + q + m) * at / ((p + 2.0 * m) * (p + 2.0 * m + 1.0))
        d = 1.0 / (1.0 + odd * d)
        c = 1.0 + odd / c
        value *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return 1.0 - front * value if turned else front * value


@kernel
def highest_rate(hits: Floats, n: Floats, miss: float, out: Floats) -> None:
    """The upper Clopper-Pearson limit of rates ``hits / n``, passed with probability ``miss``; counts may be fractional.

    All of shape (n_rates,); without observations the limit is 1.
    """
    for i in range(n.shape[0]):
        if not hits[i] < n[i]:
            out[i] = 1.0
        elif hits[i] <= 0:
            out[i] = 1.0 - miss ** (1.0 / n[i])
        else:
            low = hits[i] / n[i]
            high = 1.0
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                if beta_share(hits[i] + 1.0, n[i] - hits[i], middle) < 1.0 - miss:
                    low = middle
                else:
                    high = middle
            out[i] = high
