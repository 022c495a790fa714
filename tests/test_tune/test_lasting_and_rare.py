"""Markets that last and stops hardly seen: the kernels under the intervals, against matrices and published quantiles."""

from math import exp, log, pi, sqrt

import numpy as np
import pytest

from tune import interval_kernels as ik
from tune.intervals import FEW_STOPS, MEMORIES, NO_MEMORY, SHARES, independent, mean_bounds, mean_interval, tail_bound
from tune.rules import N_BLOCKS


def blocks(seed: int, n_blocks: int = N_BLOCKS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 6, n_blocks).astype(float)
    return n, 0.5 * n + 3.0 * np.sqrt(n) * rng.standard_normal(n_blocks)


def by_matrices(n: np.ndarray, total: np.ndarray, memory: float, share: float) -> tuple[float, float, float]:
    """Log-likelihood but for a constant, error and degrees of freedom, by generalised least squares of the block means."""
    place = np.flatnonzero(n)
    a, z = n[place], total[place] / n[place] - total.sum() / n.sum()
    own = (1 - share) * a.mean() / a + share
    shared = share * memory ** np.abs(place[:, None] - place) if memory else share * np.eye(len(a))
    covariance = shared + np.diag((1 - share) * a.mean() / a)
    inverse = np.linalg.inv(covariance)
    ones = np.ones(len(a))
    mean = (ones @ inverse @ z) / (ones @ inverse @ ones)
    left = (z - mean) @ inverse @ (z - mean)
    fit = -0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * log(ones @ inverse @ ones) - (len(a) - 1) / 2 * log(left)
    together = a @ covariance @ a
    return fit, sqrt(left / (len(a) - 1) * together) / a.sum(), max(len(a) * (own @ a**2) / together - 1, 2.0)


@pytest.mark.parametrize(("memory", "share"), [(0.0, 0.0), (0.6, 0.2), (exp(-1 / 12), 0.95), (0.9, 0.5)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_filter_is_generalised_least_squares(seed: int, memory: float, share: float) -> None:
    n, total = blocks(seed)
    assert (n == 0).sum() > 3  # blocks without trades are missing, not zero
    found = np.empty(3)
    ik.weigh(n, total, total.sum() / n.sum(), memory, share, found)
    assert found == pytest.approx(by_matrices(n, total, memory, share), rel=1e-9)


@pytest.mark.parametrize(
    ("t", "freedom", "outside"), [(2.570582, 5, 0.05), (2.228139, 10, 0.05), (2.011741, 47, 0.05), (2.684556, 47, 0.01)]
)
def test_tails_of_students_t_are_those_of_the_tables(t: float, freedom: float, outside: float) -> None:
    assert ik.beyond(t, freedom) == pytest.approx(outside, rel=0.01)


@pytest.mark.parametrize(
    ("a", "b", "x", "value"),  # SciPy 1.17, scipy.stats.beta.cdf; the first by hand: 1 - .6**4 - 4 * .4 * .6**3
    [(2, 3, 0.4, 0.5248), (1.5, 200, 0.01, 0.7412388483), (30, 2.5, 0.99, 0.9871671239), (300, 280, 0.5, 0.2029488658)],
)
def test_the_incomplete_beta_function(a: float, b: float, x: float, value: float) -> None:
    assert ik.beta_share(a, b, x) == pytest.approx(value, rel=1e-9)


def test_the_highest_rate_is_that_of_clopper_and_pearson() -> None:
    """Of 10 with no hit .3085 and with one .4450, of 100 with five .1128: tables of the 95 % limits. Of 12, all hit: 1."""
    hits, n = np.array([0.0, 1.0, 5.0, 12.0, 0.0]), np.array([10.0, 10.0, 100.0, 12.0, 0.0])
    found = np.empty(5)
    ik.highest_rate(hits, n, 0.025, found)
    assert found[:4] == pytest.approx([0.3085, 0.4450, 0.1128, 1.0], abs=5e-5)
    assert found[4] == 1.0


def test_the_mixture_holds_what_it_should_outside() -> None:
    """Of one t of 47 degrees and an error of 2: 2 * 2.0117. Of that and an error near 0, half each: a tenth of it is."""
    one = np.array([[1.0, 2.0, 47.0]])
    assert ik.reach_of(one, 40.0, 0.05) == pytest.approx(2 * 2.011741, rel=1e-3)
    two = np.array([[3.0, 2.0, 47.0], [3.0, 1e-6, 47.0]])
    assert ik.reach_of(two, 40.0, 0.05) == pytest.approx(2 * 1.677927, rel=1e-3)


def test_memories_are_mixed_by_how_well_they_fit() -> None:
    """The tail of the whole mixture at the reach that was found, put together from matrices and the tables' tails: 5 %."""
    n, total = blocks(3)
    total += n * np.repeat([5.0, -5.0, 5.0, -5.0], 12)
    models = [(0.0, 0.0, NO_MEMORY)]
    models += [(exp(-1 / m), s, (1 - NO_MEMORY) / len(MEMORIES) / len(SHARES)) for m in MEMORIES for s in SHARES]
    found = [(*by_matrices(n, total, memory, share), prior) for memory, share, prior in models]
    top = max(fit for fit, *_ in found)
    low, high = mean_interval(n[None], total[None], np.array([1]))
    reach = float(high[0] - low[0]) / 2
    weights = [exp(fit - top) * prior for fit, _, _, prior in found]
    outside = sum(w * ik.beyond(reach / error, freedom) for w, (_, error, freedom, _) in zip(weights, found, strict=True))
    assert outside / sum(weights) == pytest.approx(0.05, rel=1e-6)
    assert weights[0] < 0.01 * sum(weights)  # that nothing lasts fits badly here


def lasting(rng: np.random.Generator, n_series: int, lasts: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Twenty trades of +-8 a block, whose mean is ``size`` for some blocks and minus that for others; on the average 0."""
    n = np.full((n_series, N_BLOCKS), 20.0)
    states = rng.choice([-1.0, 1.0], (n_series, N_BLOCKS // lasts + 2)) if lasts else np.zeros((n_series, N_BLOCKS))
    begins = rng.integers(max(lasts, 1), size=n_series)
    mean = size * np.array([np.repeat(row, max(lasts, 1))[i : i + N_BLOCKS] for row, i in zip(states, begins, strict=True)])
    return n, 16.0 * rng.binomial(20, 0.5 + mean / 16.0) - 160.0


@pytest.mark.parametrize("lasts", [0, 2, 4, 8])
def test_coverage_where_the_market_lasts(lasts: int) -> None:
    n, total = lasting(np.random.default_rng(lasts), 400, lasts, 4.0)
    low, high = mean_interval(n, total, np.ones(400, np.int64))
    missed = 1.0 - float(((low <= 0) & (high >= 0)).mean())
    assert missed <= 0.07 + 2.33 * sqrt(0.07 * 0.93 / 400)


def test_where_nothing_lasts_the_interval_is_hardly_wider() -> None:
    n, total = lasting(np.random.default_rng(1), 200, 0, 0.0)
    low, high = mean_interval(n, total, np.ones(200, np.int64))
    assert np.median(high - low) / 2 < 1.15 * 1.96 * 8 / sqrt(20 * N_BLOCKS)


def test_independent_trades_are_as_many_as_the_error_leaves() -> None:
    """Forty of variance 4 and an error of 0.5 are sixteen; an error of 0.1 asks for more than there are."""
    n, total, square = np.full(4, 40.0), np.zeros(4), np.array([156.0, 156.0, 0.0, 156.0])
    found = independent(n, total, square, np.array([0.5, 0.1, 0.3, np.nan]))
    assert found.tolist() == pytest.approx([16.0, 40.0, 40.0, 40.0])


def test_trades_whose_market_lasts_are_worth_fewer() -> None:
    n, total = lasting(np.random.default_rng(5), 50, 8, 4.0)
    bounds = mean_bounds(n, total, np.ones(50, np.int64))
    every = n.sum(1)
    worth = independent(every, total.sum(1), 64.0 * every, bounds.error)
    assert np.median(worth) < 0.05 * every[0]


def test_a_tail_that_was_not_seen_is_imagined_until_it_was_seen_often() -> None:
    """Sixty wins of 6, stops of 400: 1 - .025 ** (1 / 60) = 5.963 % may be stops. With as many as tell themselves: nothing."""
    n, loss, one = np.array([60.0, 60.0, 60.0, 0.0]), np.full(4, 400.0), np.ones(4)
    stops = np.array([0.0, FEW_STOPS - 1, FEW_STOPS, 0.0])
    low = tail_bound(n, 6.0 * (n - stops) - 400.0 * stops, stops, loss, one, 0.975)
    assert low[0] == pytest.approx(6 - 0.0596295 * 406, abs=1e-4)
    assert low[1] == pytest.approx(6 - 0.2657404 * 406, abs=1e-3)  # SciPy: beta.ppf(.975, 10, 51)
    assert low[2] == np.inf
    assert np.isnan(low[3])
    half = tail_bound(n[:1], 6.0 * n[:1], stops[:1], loss[:1], np.array([0.5]), 0.975)
    assert half[0] == pytest.approx(6 - (1 - 0.025 ** (1 / 30)) * 406)


def test_a_record_of_nothing_but_stops_is_worth_a_stop() -> None:
    low = tail_bound(np.array([4.0]), np.array([-36.0]), np.array([4.0]), np.array([10.0]), np.ones(1), 0.975)
    assert low[0] == -10.0


def test_a_wave_is_no_memory() -> None:
    """Blocks that take turns repel each other; nothing here is narrower for that than the bootstrap's own interval."""
    n = np.full(N_BLOCKS, 5.0)
    total = 5.0 + 10.0 * np.cos(pi * np.arange(N_BLOCKS))
    low, high = mean_interval(n[None], total[None], np.array([1]))
    assert (low + high) / 2 == pytest.approx([1.0])
    assert (high - low)[0] / 2 > 1.9 * 10 / sqrt(N_BLOCKS) / 5
