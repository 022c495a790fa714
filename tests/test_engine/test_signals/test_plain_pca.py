"""`pca_ad` against a plain reading of section 5.7: the exact rows of each fit, the four series, and their windows."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.base import SignalContext
from engine.signals.example import example_bins
from engine.signals.registry import make_signal
from tests.reference_signals import robust_z

Bins = dict[str, NDArray[Any]]
CONTEXT = SignalContext(cell_width_ms=100, radius=50)
COLUMNS = ("pressure_variant", "vacuum_variant", "v_add", "v_pull")
FIRST, WINDOW, EVERY, DELAY, N_BINS = 150, 120, 50, 6, 560
SHORT = {"min_train_bins": FIRST, "pca_window": WINDOW, "refit_interval_bins": EVERY, "refit_delay_bins": DELAY}
Z = (300, 30, "absolute")


def market(seed: int = 31) -> Bins:
    bins = example_bins(N_BINS, CONTEXT.radius, seed)
    for i, t in enumerate((40, 155, 160, 201, 250, 333)):  # a cell in one column at a time, in every fit's window
        bins[COLUMNS[i % 4]][t, (3, 98, 0, 100, 50, 77)[i]] = np.nan
    return bins


def make(**params: Any) -> Any:
    return make_signal("pca_ad", SHORT | {"n_components": 4} | params, CONTEXT)


def run(model: Any, bins: Bins) -> NDArray[np.void]:
    found: NDArray[np.void] = model.run({key: bins[key] for key in (*model.required_columns, *model.required_fields)})
    return found


def profiles(bins: Bins) -> NDArray[np.float64]:
    return np.asarray(bins["pressure_variant"] - bins["vacuum_variant"])


def known(bins: Bins, end: int) -> NDArray[np.float64]:
    """The rows of the fit at ``end``: the last WINDOW bins before it, those that are whole."""
    seen = profiles(bins)[end - WINDOW : end]
    return seen[np.isfinite(seen).all(axis=1)]


def test_a_fit_has_exactly_the_bins_before_its_own() -> None:
    bins = market()
    model = make()
    seen: list[NDArray[np.float64]] = []
    fit: Callable[..., Any] = model._fit

    def spy(rows: NDArray[np.float64]) -> Any:
        seen.append(rows.copy())
        return fit(rows)

    model._fit = spy
    run(model, bins)
    ends = range(FIRST, N_BINS, EVERY)
    assert len(seen) == len(ends)
    for rows, end in zip(seen, ends, strict=True):
        assert rows.tobytes() == known(bins, end).tobytes()


def test_the_default_fit_at_bin_700_has_bins_100_to_699() -> None:
    bins = example_bins(705, CONTEXT.radius, 5)
    model = make_signal("pca_ad", {}, CONTEXT)
    seen: list[NDArray[np.float64]] = []
    fit: Callable[..., Any] = model._fit  # type: ignore[attr-defined]
    model._fit = lambda rows: seen.append(rows.copy()) or fit(rows)  # type: ignore[attr-defined]
    run(model, bins)
    model.settle()
    (rows,) = seen
    assert rows.tobytes() == profiles(bins)[100:700].tobytes()


def plain(bins: Bins, n_components: int, z_start: str, floor_share: float) -> list[float]:
    """Predictions bin by bin; NaN where a bin is left out or there is no model."""
    said = [math.nan] * N_BINS
    zeros = FIRST + DELAY if z_start == "zeros" else 0
    series: list[list[float]] = [[0.0] * zeros for _ in range(4)]
    model: Any = None
    for t in range(N_BINS):
        end = t - DELAY
        if end >= FIRST and (end - FIRST) % EVERY == 0:
            seen = known(bins, end)
            std = seen.std(axis=0)
            scale = np.maximum(np.where(std < 1e-12, 1.0, std), floor_share * std.max())
            mean = seen.mean(axis=0)
            standard = (seen - mean) / scale
            standard = standard - standard.mean(axis=0)
            _, singular, axes = np.linalg.svd(standard, full_matrices=False)
            model = (mean, scale, axes[:n_components], (singular**2 / (len(seen) - 1))[:n_components])
        if model is None:
            continue
        mean, scale, axes, variances = model
        x = (profiles(bins)[t] - mean) / scale
        lean = bins["v_add"][t] - bins["v_pull"][t]
        tilt = lean[:50].mean() - lean[51:].mean()
        if not np.isfinite([*x, tilt]).all():
            continue
        y = axes @ x
        sense = 1 if axes[0, :50].sum() > axes[0, 51:].sum() else -1
        distance = math.sqrt(sum(one**2 / v for one, v in zip(y, variances, strict=True) if v > 1e-10))
        new = (float(np.linalg.norm(x - y @ axes)), distance, sense * float(y[0]), float(tilt))
        for kept, value in zip(series, new, strict=True):
            kept.append(value)
        e, h, q, b = (robust_z(kept, *Z) for kept in series)
        gate = 0.5 * max(e, 0) + 0.5 * max(h, 0)
        said[t] = (0.6 * math.tanh(q / 3) + 0.4 * math.tanh(b / 3)) * gate
    return said


@pytest.mark.parametrize(("n_components", "z_start", "floor"), [(4, "first_fit", 0.01), (4, "zeros", 0.0), (1, "first_fit", 0.9)])
def test_every_prediction_is_the_plain_reading_s(n_components: int, z_start: str, floor: float) -> None:
    bins = market()
    bins["pressure_variant"][:, 10] = 0.001 * bins["pressure_variant"][:, 10]
    bins["vacuum_variant"][:, 10] = 0.0  # a row that hardly moves
    out = run(make(n_components=n_components, z_start=z_start, scale_floor_share=floor), bins)
    expected = np.array(plain(bins, n_components, z_start, floor))
    has = np.isfinite(expected)
    assert not out["score"][~has].any()
    assert out["prediction"][has] == pytest.approx(expected[has], rel=1e-6, abs=1e-7)
    assert out["score"].tobytes() == out["prediction"].tobytes()
    scored = np.cumsum(has)
    assert out["ready"].tolist() == (has & ((scored >= 30) | (z_start == "zeros"))).tolist()
    assert np.count_nonzero(out["prediction"]) > 100


def test_components_without_variance_count_for_nothing() -> None:
    bins = market()
    for column in COLUMNS[:2]:
        bins[column][:, 5:] = 0.0
        bins[column] = np.nan_to_num(bins[column])
    out = run(make(n_components=9), bins)
    assert np.isfinite(out["prediction"]).all()
    expected = np.array(plain(bins, 5, "first_fit", 0.01))
    has = np.isfinite(expected)
    # What is left of five directions explained by five is rounding: that half of the gate is noise in both.
    assert np.count_nonzero(out["ready"]) == has.sum() - 29


def test_figures_of_a_session() -> None:
    model = make()
    out = run(model, market())
    found = model.metadata(out)
    assert (found["n_components"], found["pca_window"]) == (4, 120)
    assert found["refit_count"] == found["retrain_count"] == len(range(FIRST, N_BINS - DELAY, EVERY))
