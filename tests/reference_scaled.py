"""The two signals that are measured in their own recent size, in slow, plain Python: see reference_signals.py."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.reference_signals import LEFT_OUT, SPOT, Bins, Row, Series, bid_less_ask, is_number, near_sum


class Sizes:
    """A value in medians of its own last sizes, this one included: section 14 item 22."""

    def __init__(self, normalisation: str, window: int, least: int):
        self.is_scaled, self.window, self.least = normalisation == "rolling_median", window, least
        self.sizes: list[float] = []

    def take(self, value: float) -> Row:
        if not self.is_scaled:
            return {"score": value, "ready": True}
        self.sizes = [*self.sizes, abs(value)][-self.window :]
        ready, median = len(self.sizes) >= self.least, float(np.median(self.sizes))
        return {"score": value / median if ready and median > 0 else 0.0, "ready": ready}


def msd(
    bins: Bins,
    variant: str = "weighted",
    normalisation: str = "rolling_median",
    scale_window_bins: int = 3000,
    scale_min_periods: int = 300,
) -> list[Row]:
    """3.7."""
    sizes = Sizes(normalisation, scale_window_bins, scale_min_periods)
    rows: list[Row] = []
    for vacuum, pressure in zip(bins["vacuum_variant"], bins["pressure_variant"], strict=True):
        plain, balance = (-50 * bid_less_ask(row, 1, 50) for row in (vacuum, pressure))
        weighted = near_sum(vacuum)
        value = plain if variant == "sum" else weighted
        shown = {"weighted": weighted, "sum": plain, "pressure_balance": balance}
        rows.append((sizes.take(value) if is_number(value) else LEFT_OUT) | shown)
    return rows


def spg(
    bins: Bins,
    fast_span: int = 5,
    slow_span: int = 20,
    curv_k: Series = (-2, -1, 0, 1, 2),
    curv_span: int = 10,
    blend_smooth: float = 0.7,
    blend_curv: float = 0.3,
    ema_fast_weight: float = 0.6,
    ema_slow_weight: float = 0.4,
    ask_band: Series = (1, 16),
    bid_band: Series = (-16, -1),
    gradient_sense: str = "outward",
    normalisation: str = "rolling_median",
    scale_window_bins: int = 3000,
    scale_min_periods: int = 300,
) -> list[Row]:
    """3.9; outward (section 14 item 11): gradients away from spot on each side, rows weigh 1/|k|, a bend counts with its side."""
    is_outward = gradient_sense == "outward"

    def gradient(row: NDArray[Any], k: int) -> float:
        low, high = max(k - 1, -50), min(k + 1, 50)
        change = (row[SPOT + high] - row[SPOT + low]) / (high - low)
        return float(-change if is_outward and k < 0 else change)

    def mean_gradient(row: NDArray[Any], band: Series) -> float:
        ks = range(int(band[0]), int(band[1]) + 1)
        weights = [1 / abs(k) if is_outward else 1.0 for k in ks]
        return sum(w * gradient(row, k) for w, k in zip(weights, ks, strict=True)) / sum(weights)

    def bend(row: NDArray[Any]) -> float:
        found = [row[SPOT + int(k) + 1] + row[SPOT + int(k) - 1] - 2 * row[SPOT + int(k)] for k in curv_k]
        return float(np.mean([b * np.sign(k) if is_outward else b for b, k in zip(found, curv_k, strict=True)]))

    sizes = Sizes(normalisation, scale_window_bins, scale_min_periods)
    rows: list[Row] = []
    averages: list[float] = []
    for p, v in zip(bins["pressure_variant"], bins["vacuum_variant"], strict=True):
        wall = mean_gradient(p, ask_band) - mean_gradient(p, bid_band)
        net = mean_gradient(v, ask_band) - mean_gradient(v, bid_band) + (-wall if is_outward else wall)
        new = (net, net, -bend(p))
        if not is_number(*new):
            rows.append(LEFT_OUT | {"net": 0.0})
            continue
        alphas = [2 / (span + 1) for span in (fast_span, slow_span, curv_span)]
        averages = [a * x + (1 - a) * e for a, x, e in zip(alphas, new, averages or new, strict=True)]
        smooth = ema_fast_weight * averages[0] + ema_slow_weight * averages[1]
        rows.append(sizes.take(blend_smooth * smooth + blend_curv * averages[2]) | {"net": net})
    return rows
