"""Intervals: published figures, coverage, and the corners in which a bootstrap breaks down. Wilson's stand in test_scoring.py.

What a lasting market and stops that were not seen do to them is in test_lasting_and_rare.py.
"""

from math import inf, sqrt

import numpy as np
import pytest

from tune.intervals import T_LIMIT, block_width, bootstrap_reach, mean_interval, wilson
from tune.rules import N_BLOCKS


def one(n: np.ndarray, total: np.ndarray, width: int = 1) -> tuple[float, float]:
    low, high = mean_interval(n[None], total[None], np.array([width]))
    return float(low[0]), float(high[0])


def boot(n: np.ndarray, total: np.ndarray, width: int = 1) -> tuple[float, float]:
    """The bootstrap alone, for blocks that remember nothing."""
    mean, reach = total.sum() / n.sum(), float(bootstrap_reach(n[None], total[None], np.array([width]))[0])
    return mean - reach, mean + reach


def test_many_even_blocks_give_the_interval_of_theory() -> None:
    rng = np.random.default_rng(0)
    total = 10 * 0.3 + np.sqrt(10) * rng.standard_normal(N_BLOCKS)
    low, high = boot(np.full(N_BLOCKS, 10.0), total)
    error = total.std() / np.sqrt(N_BLOCKS) / 10
    assert (low + high) / 2 == pytest.approx(total.sum() / 480)
    assert 1.75 < (high - low) / 2 / error < 2.3


def test_the_same_call_gives_the_same_bits_and_series_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(1)
    n = rng.integers(0, 5, (4, N_BLOCKS)).astype(float)
    total = rng.standard_normal((4, N_BLOCKS)) * n
    width = np.array([1, 2, 1, 8])
    low, high = mean_interval(n, total, width)
    again = mean_interval(n, total, width)
    assert (low.tobytes(), high.tobytes()) == (again[0].tobytes(), again[1].tobytes())
    for i in range(4):
        assert one(n[i], total[i], int(width[i])) == (low[i], high[i])


@pytest.mark.parametrize(("per_block", "width"), [(1.0, 1), (8.0, 1), (8.0, 4)])
def test_coverage_of_skewed_trades(per_block: float, width: int) -> None:
    """Trades of +8 with chance 1/3, else -4, as a driftless market gives them: the mean is 0."""
    rng = np.random.default_rng(2)
    n = rng.poisson(per_block, (800, N_BLOCKS)).astype(float)
    total = 12.0 * rng.binomial(n.astype(int), 1 / 3) - 4.0 * n
    low, high = mean_interval(n, total, np.full(800, width))
    missed = 1 - float(((low <= 0) & (high >= 0)).mean())
    assert 0.02 < missed < 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 800)


def test_trades_that_overlap_blocks_need_wider_ones() -> None:
    width = block_width(np.array([np.nan, 1.0, 60.0, 120.0, 1e6]), 100.0)
    assert width.tolist() == [1, 1, 2, 3, 8]


def test_where_nearly_all_trades_end_alike_the_interval_stays_finite() -> None:
    total = np.full(N_BLOCKS, -4.0)
    total[7] = 8.0
    low, high = boot(np.ones(N_BLOCKS), total)
    mean = total.mean()
    assert mean - low == pytest.approx(high - mean)
    assert 0 < high - mean <= T_LIMIT * total.std() / np.sqrt(N_BLOCKS) * 1.001


def test_too_few_blocks_with_trades_say_nothing() -> None:
    n = np.zeros(N_BLOCKS)
    n[:2] = 30
    assert np.isnan(one(n, n)).all()
    assert np.isnan(one(np.zeros(N_BLOCKS), np.zeros(N_BLOCKS))).all()


def test_wilson_takes_an_effective_size() -> None:
    low, high = wilson(np.array([5.0, 2.5, 0.0]), np.array([10.0, 5.0, 0.0]))
    assert high[1] - low[1] > high[0] - low[0]
    assert np.isnan([low[2], high[2]]).all()


# --- against the same in words ---


def plain_interval(n: list[float], total: list[float], width: int) -> tuple[float, float]:
    """Studentised symmetric block bootstrap, resample by resample: 999 of seed 20140901, level 95 %, at most t of 2 degrees."""
    blocks = 48 // width
    a = [sum(n[i * width : (i + 1) * width]) for i in range(blocks)]
    b = [sum(total[i * width : (i + 1) * width]) for i in range(blocks)]
    draws = np.random.default_rng(20140901).multinomial(blocks, [1.0 / blocks] * blocks, size=999)
    mean = sum(b) / sum(a)
    error = sqrt(sum((y - mean * x) ** 2 for x, y in zip(a, b, strict=True))) / sum(a)
    distances = []
    for times in draws:
        drawn_n = sum(w * x for w, x in zip(times, a, strict=True))
        if drawn_n == 0:
            distances.append(inf)
            continue
        drawn = sum(w * y for w, y in zip(times, b, strict=True)) / drawn_n
        spread = sqrt(sum(w * (y - drawn * x) ** 2 for w, x, y in zip(times, a, b, strict=True)))
        distances.append(abs(drawn - mean) * drawn_n / spread if spread > 1e-9 else inf)
    reach = min(sorted(distances)[949], 4.302652729911275) * error  # the 950th of 1000 with the sample itself
    return mean - reach, mean + reach


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 8])
def test_the_interval_is_that_of_the_plain_bootstrap(width: int) -> None:
    rng = np.random.default_rng(width)
    n = rng.integers(1, 6, N_BLOCKS).astype(float)
    total = 3.0 * n + 4.0 * rng.standard_normal(N_BLOCKS)
    assert boot(n, total, width) == pytest.approx(plain_interval(n.tolist(), total.tolist(), width), rel=1e-9)


@pytest.mark.parametrize(("n_blocks", "is_known"), [(2, False), (3, True)])
def test_three_blocks_with_trades_are_enough_to_say_something(n_blocks: int, is_known: bool) -> None:
    n = np.zeros(N_BLOCKS)
    n[[5, 20, 40][:n_blocks]] = 1.0
    found = boot(n, n * np.arange(N_BLOCKS))
    assert np.isfinite(one(n, n * np.arange(N_BLOCKS))).tolist() == [is_known, is_known]
    assert np.isfinite(found).tolist() == [is_known, is_known]
    if is_known:  # of 5, 20 and 40: mean 65 / 3, error sqrt(1850 / 3) / 3, as far as Student allows
        assert found == pytest.approx((65 / 3 - 4.3026527 * 8.2775914, 65 / 3 + 4.3026527 * 8.2775914))


@pytest.mark.parametrize(
    ("hold", "width"),
    [(50.0, 1), (50.01, 2), (100.0, 2), (150.0, 3), (200.0, 4), (200.01, 6), (300.0, 6), (300.01, 8), (400.0, 8), (9e9, 8)],
)
def test_a_block_spans_two_mean_holds(hold: float, width: int) -> None:
    """Fine blocks of 100 bins; there are widths of 1, 2, 3, 4, 6 and 8 of them."""
    assert block_width(np.array([hold]), 100.0).tolist() == [width]
