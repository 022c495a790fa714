"""Slopes, z-scores and moments of windows against NumPy on the same values, and where they must be exactly nil."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.learned.features import padded_mean, ring_moments, ring_slopes, tick_return
from engine.signals.parts.robust_z import make_z_windows, median_of, robust_z, take_in_and_score
from engine.signals.parts.slopes import ring_slope


def in_ring(values: NDArray[np.float64], length: int) -> tuple[NDArray[np.float64], int]:
    """The last ``length`` values as a ring, and the place of the newest."""
    ring = np.zeros((length, *values.shape[1:]))
    for t, value in enumerate(values):
        ring[t % length] = value
    return ring, (len(values) - 1) % length


@pytest.mark.parametrize("window", [2, 3, 10, 25, 50])
def test_slope_is_that_of_least_squares(window: int) -> None:
    values = np.random.default_rng(window).standard_normal(137)
    ring, newest = in_ring(values, 50)
    expected = np.polyfit(np.arange(window), values[-window:], 1)[0]
    assert ring_slope(ring, newest, window) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_slope_of_a_constant_is_nil_to_the_last_bit() -> None:
    ring, newest = in_ring(np.full(80, 1e5 + 0.1), 50)
    assert ring_slope(ring, newest, 50) == 0.0


def test_slope_of_negated_values_is_negated_to_the_last_bit() -> None:
    values = np.random.default_rng(1).standard_normal(77)
    ring, newest = in_ring(values, 30)
    assert ring_slope(-ring, newest, 30) == -ring_slope(ring, newest, 30)


def test_slopes_of_several_series_are_those_of_each() -> None:
    values = np.random.default_rng(2).standard_normal((90, 5))
    rings, newest = in_ring(values, 40)
    out = np.zeros(12)
    ring_slopes(rings, newest, 30, out, 1, 2)
    for series in range(5):
        assert out[1 + 2 * series] == pytest.approx(ring_slope(rings[:, series].copy(), newest, 30), rel=1e-12)
    assert out[0] == out[2] == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_z_equals_median_and_mad_of_the_window(seed: int) -> None:
    values = np.round(np.random.default_rng(seed).standard_normal(200), 1)
    windows = make_z_windows(2, 60)
    for t, value in enumerate(values):
        z = take_in_and_score(windows, 1, value, 30, False)
        seen = values[max(0, t - 59) : t + 1]
        scale = 1.4826 * np.median(np.abs(seen - np.median(seen)))
        expected = 0.0 if len(seen) < 30 or scale < 1e-12 else (value - np.median(seen)) / scale
        assert z == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert median_of(windows, 1) == pytest.approx(float(np.median(seen)), abs=1e-15)


@pytest.mark.parametrize(("unit", "is_relative", "is_flat"), [(1e-15, False, True), (1e-15, True, False), (1.0, False, False)])
def test_relative_guard_does_not_depend_on_the_unit(unit: float, is_relative: bool, is_flat: bool) -> None:
    windows = make_z_windows(1, 50)
    values = np.random.default_rng(0).standard_normal(50) * unit
    z = [take_in_and_score(windows, 0, value, 30, is_relative) for value in values]
    assert (z[-1] == 0.0) == is_flat


@pytest.mark.parametrize("seen", [30, 60, 130])
def test_moments_of_nested_windows(seen: int) -> None:
    values = np.random.default_rng(3).standard_normal(seen) + 5.0
    ring, newest = in_ring(values, 100)
    out = np.full(10, -1.0)
    windows = np.array([20, 50, 100], np.int64)
    ring_moments(ring, newest, seen, windows, True, out, 1)
    for i, window in enumerate(windows):
        mean, std, skew = out[1 + 3 * i : 4 + 3 * i]
        if seen < window:
            assert (mean, std, skew) == (0.0, 0.0, 0.0)
            continue
        last = values[-window:]
        assert mean == pytest.approx(last.mean(), rel=1e-12)
        assert std == pytest.approx(last.std(), rel=1e-9)
        assert skew == pytest.approx(np.mean((last - last.mean()) ** 3) / last.std() ** 3, rel=1e-9)
    assert out[0] == -1.0


def test_moments_of_a_constant_have_no_spread() -> None:
    ring, newest = in_ring(np.full(100, 0.1), 60)
    out = np.zeros(3)
    ring_moments(ring, newest, 100, np.array([60], np.int64), True, out, 0)
    assert out.tolist() == [0.1, 0.0, 0.0]


@pytest.mark.parametrize(("seen", "expected"), [(2, (1 + 2) / 5), (5, 3.0), (9, 7.0)])
def test_padded_mean_counts_what_is_missing_as_nil(seen: int, expected: float) -> None:
    ring, newest = in_ring(np.arange(1.0, seen + 1), 7)
    assert padded_mean(ring, newest, seen, 5) == pytest.approx(expected)


def returns(mids: list[float], is_masked: bool) -> list[float]:
    last = np.zeros(1)
    return [tick_return(last, mid, i == 0, mid > 0, 0.25, is_masked) for i, mid in enumerate(mids)]


def test_masked_returns_bridge_a_bin_without_a_mid() -> None:
    assert returns([100.0, 0.0, 100.375, 100.25], True) == [0.0, 0.0, 1.5, -0.5]


def test_returns_as_they_come_fall_to_nothing_and_back() -> None:
    assert returns([100.0, 0.0, 100.25], False) == [0.0, -400.0, 401.0]


def pairs(scale: float) -> NDArray[np.float64]:
    """Three values around 0 whose MAD is ``scale``."""
    return np.array([-scale, 0.0, scale])


def test_a_scale_on_the_absolute_guard_counts_and_below_it_does_not() -> None:
    mad = 1e-12 / 1.4826
    while mad * 1.4826 < 1e-12:
        mad = np.nextafter(mad, 1)
    assert robust_z(pairs(mad), 3, 1.0, False) == pytest.approx(1 / (1.4826 * mad), rel=1e-9)
    assert robust_z(pairs(mad * (1 - 1e-9)), 3, 1.0, False) == 0.0


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_relative_guard_is_of_the_larger_end(sign: int) -> None:
    def z(ratio: float) -> float:
        """Of a window whose scale is ``ratio`` times its largest size, which stands at one end of it."""
        mad = ratio / 1.4826
        ordered = np.sort(sign * np.array([-mad, 0.0, mad, 2 * mad, 1.0]))
        return robust_z(ordered, 5, sign * 1.0, True)

    assert z(0.9e-9) == 0.0
    assert z(1.1e-9) != 0.0


def test_a_window_of_equal_values_scores_nil_in_both_guards() -> None:
    assert [robust_z(np.full(4, value), 4, value, relative) for value in (0.0, 5.0) for relative in (True, False)] == [0.0] * 4


@pytest.mark.parametrize(("spread", "is_nil"), [(0.9e-6, True), (1.1e-6, False)])
def test_skew_wants_a_variance(spread: float, is_nil: bool) -> None:
    """Four values whose std is ``spread``: variance 1e-12 is the least that counts."""
    values = spread * np.array([3.0, -1.0, -1.0, -1.0]) / np.sqrt(3)
    ring, newest = in_ring(values, 4)
    out = np.zeros(3)
    ring_moments(ring, newest, 4, np.array([4], np.int64), True, out, 0)
    assert out[1] == pytest.approx(spread, rel=1e-9)
    assert out[2] == pytest.approx(0.0 if is_nil else 6 / 3**1.5, rel=1e-9)


@pytest.mark.parametrize(
    ("mids", "sound", "is_masked", "expected"),
    [
        ([100.0, 100.25, 100.5], [True, False, True], True, [0.0, 0.0, 2.0]),  # a doubtful book is bridged as well
        ([100.0, 100.25, 100.5], [True, False, True], False, [0.0, 1.0, 1.0]),
        ([0.0, 100.0, 100.25], [False, True, True], True, [0.0, 0.0, 1.0]),  # no return before the first sound mid
        ([0.0, 100.0], [False, True], False, [0.0, 400.0]),
    ],
)
def test_returns_by_soundness(mids: list[float], sound: list[bool], is_masked: bool, expected: list[float]) -> None:
    last = np.zeros(1)
    found = [tick_return(last, mid, i == 0, sound[i], 0.25, is_masked) for i, mid in enumerate(mids)]
    assert found == expected
