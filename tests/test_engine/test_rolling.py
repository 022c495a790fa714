"""The sorted window: what it holds, and its median and MAD, against sorting from scratch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.rolling import fenced_replace, make_fence, median_mad, median_mad_near, sorted_insert, sorted_replace, whole_strides
from tests.reference_scores import median

few_values = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 0.5, 3.0])  # ties are the hard case
any_value = st.floats(-1e150, 1e150).map(lambda x: x + 0.0)
series = st.lists(few_values | any_value, min_size=1, max_size=120)


def slide(values: list[float], width: int) -> NDArray[np.float64]:
    """The sorted window after all values went through it."""
    window = np.zeros(width)
    for i, value in enumerate(values):
        if i < width:
            sorted_insert(window, i, value)
        else:
            sorted_replace(window, width, values[i - width], value)
    return window[: min(width, len(values))]


@given(series, st.integers(1, 30))
@settings(max_examples=200)
def test_window_holds_the_last_values_in_order(values: list[float], width: int) -> None:
    assert slide(values, width).tolist() == sorted(values[-width:])


@pytest.mark.parametrize("width", [191, 192, 193, 194, 385, 700])
def test_long_window_holds_the_last_values_in_order(width: int) -> None:
    """Beyond 192 values a search halves first; few distinct values, so that ties lie on every edge."""
    rng = np.random.default_rng(width)
    values = [float(x) for x in np.concatenate([rng.integers(0, 40, width + 60), rng.standard_normal(width)])]
    assert slide(values, width).tolist() == sorted(values[-width:])


@given(st.lists(few_values | any_value, min_size=1, max_size=60))
@settings(max_examples=300)
def test_median_and_mad_equal_those_by_sorting(values: list[float]) -> None:
    middle, mad = median_mad(np.array(sorted(values)), len(values))
    assert middle == median(values)
    assert mad == median([abs(x - middle) for x in values])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 75, 300])
def test_mad_of_a_constant_window_is_zero(n: int) -> None:
    assert median_mad(np.full(n, 7.25), n) == (7.25, 0.0)


def test_values_behind_the_count_are_not_read() -> None:
    assert median_mad(np.array([1.0, 2.0, 4.0, -100.0]), 3) == (2.0, 1.0)


@given(st.lists(st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-1e6, 1e6)), min_size=1, max_size=120), st.integers(1, 40))
@settings(max_examples=150)
def test_fenced_window_equals_a_sorted_copy(values: list[float], width: int) -> None:
    values = [value + 0.0 for value in values]
    window, fence = np.full(whole_strides(width), np.inf), np.full(whole_strides(whole_strides(width) // 16), np.inf)
    hint = 0
    for i, value in enumerate(values):
        if i < width:
            sorted_insert(window, i, value)
            make_fence(window, fence, i + 1)
        else:
            fenced_replace(window, fence, values[i - width], value)
        n = min(i + 1, width)
        assert window[:n].tolist() == sorted(values[max(0, i + 1 - width) : i + 1])
        assert fence[: -(-n // 16)].tolist() == window[:n:16].tolist()
        median, mad, hint = median_mad_near(window, n, hint)
        assert (median, mad) == median_mad(window, n)
