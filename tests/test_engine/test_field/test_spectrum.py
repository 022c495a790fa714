"""The spectrum score of a slot against the slow reference, and that reading patterns leave no trace."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.config import InstrumentConfig, load_instrument
from engine.field.kernels import BALANCE_FLOOR
from engine.field.spectrum import history_bins, make_spectrum, score_slot
from tests.reference_scores import Spectrum

SLOT = 7


def small_config(**overrides: object) -> InstrumentConfig:
    """Short windows, so that a few dozen bins pass through every stage."""
    values = {
        "grid_radius_ticks": 3,
        "n_absolute_ticks": 32,
        "spectrum_windows": [2, 3, 5, 8],
        "zscore_window_bins": 20,
        "zscore_min_periods": 5,
        "perm_center_exclusion_radius": 0,
    }
    return load_instrument(overrides=values | overrides)


def balance(pressure: float, vacuum: float) -> float:
    return (pressure - vacuum) / (abs(pressure) + abs(vacuum) + BALANCE_FLOOR)


def fast_scores(
    config: InstrumentConfig, forces: NDArray[np.float64], read_at: set[int] | None = None, slot: int = SLOT
) -> dict[int, float]:
    """Scores of one slot at the bins in `read_at` (all by default); `forces` (n_bins, 2) pressure and vacuum."""
    ring, spectrum, params = np.zeros(history_bins(config)), make_spectrum(config), config.to_params()
    scores = {}
    for i_bin, (pressure, vacuum) in enumerate(forces):
        ring[i_bin % len(ring)] = balance(pressure, vacuum)
        if read_at is None or i_bin in read_at:
            scores[i_bin] = score_slot(spectrum, ring, slot, i_bin, params)
    return scores


def slow_scores(config: InstrumentConfig, forces: NDArray[np.float64]) -> dict[int, float]:
    spectrum = Spectrum(config, 0)
    scores = {}
    for i_bin, (pressure, vacuum) in enumerate(forces.tolist()):
        spectrum.update(pressure, vacuum)
        scores[i_bin] = spectrum.score()
    return scores


def random_forces(n_bins: int, seed: int) -> NDArray[np.float64]:
    return np.abs(np.random.default_rng(seed).standard_normal((n_bins, 2))) * [30.0, 12.0]


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_the_reference(seed: int) -> None:
    config, forces = small_config(), random_forces(90, seed)
    slow = slow_scores(config, forces)
    assert fast_scores(config, forces) == pytest.approx(slow, rel=0, abs=1e-9)


def test_scores_equal_the_reference_with_the_default_windows() -> None:
    config, forces = load_instrument(), random_forces(420, 11)
    assert fast_scores(config, forces) == pytest.approx(slow_scores(config, forces), rel=0, abs=1e-8)


@pytest.mark.parametrize("windows", [[1], [8, 2, 5], [4, 4]])
def test_any_windows_and_weights_equal_the_reference(windows: list[int]) -> None:
    weights = [1.0 + i for i in range(len(windows))]
    config = small_config(spectrum_windows=windows, spectrum_rollup_weights=weights)
    forces = random_forces(60, 5)
    assert fast_scores(config, forces) == pytest.approx(slow_scores(config, forces), rel=0, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_when_a_slot_is_read_leaves_no_trace_in_its_scores(seed: int) -> None:
    config, forces = small_config(), random_forces(140, seed)
    always = fast_scores(config, forces)
    rng = np.random.default_rng(seed)
    read_at = set(rng.choice(140, size=12, replace=False).tolist())  # gaps shorter and longer than the catch-up
    seldom = fast_scores(config, forces, read_at)
    assert seldom == {i_bin: always[i_bin] for i_bin in read_at}


def test_slots_that_share_a_place_in_the_pool_do_not_disturb_each_other() -> None:
    config = small_config(n_absolute_ticks=128)
    pool = make_spectrum(config).tags.shape[0]
    slots, forces = [3, 3 + pool], {3: random_forces(50, 1), 3 + pool: random_forces(50, 2)}
    rings, spectrum, params = np.zeros((2, history_bins(config))), make_spectrum(config), config.to_params()
    together: dict[int, dict[int, float]] = {slot: {} for slot in slots}
    for i_bin in range(50):
        for slot, ring in zip(slots, rings, strict=True):
            ring[i_bin % len(ring)] = balance(*forces[slot][i_bin])
            together[slot][i_bin] = score_slot(spectrum, ring, slot, i_bin, params)
    assert together == {slot: fast_scores(config, forces[slot], slot=slot) for slot in slots}


def test_score_is_zero_below_the_minimum_of_periods() -> None:
    scores = fast_scores(small_config(), random_forces(20, 3))
    assert [scores[i] for i in range(4)] == [0.0] * 4


def test_score_starts_at_the_minimum_of_periods() -> None:
    assert fast_scores(small_config(), random_forces(20, 3))[4] != 0.0


def test_score_of_a_constant_balance_is_zero() -> None:
    forces = np.tile([4.0, 1.0], (60, 1))
    assert set(list(fast_scores(small_config(), forces).values())[30:]) == {0.0}


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e150])
def test_scores_are_finite_and_within_one_at_any_scale(scale: float) -> None:
    scores = np.array(list(fast_scores(small_config(), random_forces(80, 9) * scale).values()))
    assert np.all(np.isfinite(scores))
    assert np.all(np.abs(scores) <= 1.0)
