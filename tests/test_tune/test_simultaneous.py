"""Intervals that hold for all rows at once."""

import pytest

from tests.test_tune.made import frame, made
from tune.pooled import student, t_95, with_session
from tune.simultaneous import at_once, factor


@pytest.mark.parametrize(
    ("share", "degrees", "expected"),  # tables of Student's t
    [
        (0.975, 7, 2.3646),
        (0.975, 23, 2.0687),
        (0.995, 23, 2.8073),
        (0.9995, 23, 3.7676),
        (0.9975, 19, 3.1737),
        (0.999, 7, 4.7853),
    ],
)
def test_quantiles_of_student(share: float, degrees: int, expected: float) -> None:
    assert student(share, degrees) == pytest.approx(expected, rel=6e-3)


@pytest.mark.parametrize(
    ("degrees", "expected"), [(1, 12.7062), (2, 4.3027), (9, 2.2622), (10, 2.2281), (18, 2.1009), (120, 1.9799)]
)
def test_a_few_degrees_are_in_a_table(degrees: int, expected: float) -> None:
    assert t_95(degrees) == pytest.approx(expected, abs=2e-4)


def test_one_row_needs_no_more_than_its_own() -> None:
    for n_sessions in (1, 2, 8, 30):
        assert factor(1, n_sessions) == factor(0, n_sessions) == 1.0
    # Ten rows, one-sided 0.0025: with 23 degrees 3.1040 by 2.0687, with 7 4.0293 by 2.3646, with 29 3.0380 by 2.0452.
    assert factor(10, 1) == pytest.approx(1.5005, abs=2e-3)
    assert factor(10, 2) == factor(10, 8) == pytest.approx(1.7040, abs=6e-3)
    assert factor(10, 30) == pytest.approx(1.4854, abs=2e-3)


def test_bounds_move_away_from_the_mean() -> None:
    one = {"oos_expectancy_ticks": 1.0, "oos_expectancy_low": 0.0, "oos_expectancy_high": 3.0}
    rows = with_session(frame(made("a", 0.1, **one), made("b", 0.1, **{**one, "oos_expectancy_low": float("nan")})))
    found = at_once(rows, 10)
    f = factor(10, 1)
    assert found.get_column("oos_expectancy_low").to_list() == pytest.approx([1.0 - f, float("nan")], nan_ok=True)
    assert found.get_column("oos_expectancy_high").to_list() == pytest.approx([1.0 + 2 * f] * 2)
    assert found.drop("oos_expectancy_low", "oos_expectancy_high").equals(rows.drop("oos_expectancy_low", "oos_expectancy_high"))
    assert at_once(rows.head(0), 0).is_empty()
