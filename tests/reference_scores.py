"""Spectrum, quote-move labels and `perm_derivative` by the slow reference (engine.md sections 5 to 7)."""

import math
from collections.abc import Callable, Mapping
from typing import Any

N_DERIVATIVES = 3


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def robust_z(window: list[float], min_periods: int, floor: float, fallback: Callable[[list[float]], float]) -> float:
    """(last - median)/(1.4826*MAD) of a window; `fallback` where the scale is at or below `floor`."""
    if len(window) < min_periods:
        return 0.0
    middle = median(window)
    scale = 1.4826 * median([abs(x - middle) for x in window])
    return (window[-1] - middle) / scale if scale > floor else fallback(window)


class Spectrum:
    """Section 5, of one tick: all its history, one value a bin."""

    def __init__(self, config: Any, n_quiet_bins: int) -> None:
        self.config = config
        total = sum(config.spectrum_rollup_weights)
        self.rollup = [w / total for w in config.spectrum_rollup_weights]
        total = sum(config.spectrum_derivative_weights)
        self.weights = [w / total for w in config.spectrum_derivative_weights]
        self.composites = [0.0] * n_quiet_bins  # before its first touch a tick has no force
        self.rolled = 0.0
        self.derivatives = [[0.0] * n_quiet_bins for _ in range(N_DERIVATIVES)]

    def update(self, pressure: float, vacuum: float) -> None:
        self.composites.append((pressure - vacuum) / (abs(pressure) + abs(vacuum) + 1e-12))
        previous, is_first = self.rolled, len(self.composites) == 1
        self.rolled = 0.0
        for weight, width in zip(self.rollup, self.config.spectrum_windows, strict=True):
            tail = self.composites[-width:]
            self.rolled += weight * (sum(tail) / len(tail))
        change = self.rolled - previous
        for series in self.derivatives:
            value = 0.0 if is_first else change / (self.config.cell_width_ms / 1000)
            change = value - (series[-1] if series else 0.0)
            series.append(value)

    def score(self) -> float:
        c = self.config
        total = 0.0
        for weight, series in zip(self.weights, self.derivatives, strict=True):
            z = robust_z(series[-c.zscore_window_bins :], c.zscore_min_periods, 1e-9, lambda _: 0.0)
            total += weight * math.tanh(z / c.spectrum_tanh_scale)
        return min(1.0, max(-1.0, total))


REFERENCE_TABLE = {  # section 6: (ask, bid) -> (k > 0, k < 0)
    (1, 1): (2, 1), (1, 0): (-1, -2), (1, -1): (-1, -2),
    (0, 1): (2, 1), (0, 0): (0, 0), (0, -1): (-1, -2),
    (-1, 1): (0, 0), (-1, 0): (-1, -2), (-1, -1): (-1, -2),
}  # fmt: skip


def sign(x: int) -> int:
    return (x > 0) - (x < 0)


def state5(table: str, ask_sign: int, bid_sign: int, k: int) -> int:
    """Five-state code of row k."""
    if k == 0:
        return 0
    if table == "by_side":
        return {1: 2, 0: 0, -1: -1}[ask_sign] if k > 0 else {1: 1, 0: 0, -1: -2}[bid_sign]
    above, below = REFERENCE_TABLE[ask_sign, bid_sign]
    return above if k > 0 else below


class PermDerivative:
    """Section 7. `p` carries the parameters by their names there, `cell_width_ms` and `radius` beside."""

    def __init__(self, p: Mapping[str, Any], cell_width_ms: int, radius: int) -> None:
        self.p, self.dt = p, cell_width_ms / 1000
        excluded = p["center_exclusion_radius"]
        raw = [
            0.0 if excluded > 0 and abs(k) <= excluded else max(abs(k), 1) ** -p["spatial_decay_power"]
            for k in range(-radius, radius + 1)
        ]
        if sum(raw) == 0:
            raise ValueError("no row has weight")
        self.space = [w / sum(raw) for w in raw]
        self.base: float | None = None
        self.series: list[list[float]] = [[], [], []]

    def _std_share(self, window: list[float]) -> float:
        mean = sum(window) / len(window)
        std = math.sqrt(sum((x - mean) ** 2 for x in window) / len(window))
        return window[-1] / std if std > 1e-12 else 0.0

    def update(self, codes: list[int]) -> dict[str, float | int | bool]:
        """One bin: the five-state codes of its rows in, every output out."""
        p = self.p
        intensity = {c: math.fsum(w for w, x in zip(self.space, codes, strict=True) if x == c) for c in (-2, -1, 0, 1, 2)}
        bull = p["bull_pressure_weight"] * intensity[1] + p["bull_vacuum_weight"] * intensity[2]
        bear = p["bear_pressure_weight"] * intensity[-1] + p["bear_vacuum_weight"] * intensity[-2]
        base = bull - bear
        if p["enable_weighted_blend"]:
            base *= min(1.0, max(0.0, 1 - p["mixed_weight"] * intensity[0]))
        change = 0.0 if self.base is None else base - self.base
        self.base = base
        for series in self.series:
            value = change / self.dt
            change = value - series[-1] if series else 0.0
            series.append(value)
        weights = [p["d1_weight"], p["d2_weight"], p["d3_weight"]]
        z = [robust_z(s[-p["zscore_window_bins"] :], p["zscore_min_periods"], 1e-12, self._std_share) for s in self.series]
        total = sum(w * math.tanh(x / p["tanh_scale"]) for w, x in zip(weights, z, strict=True)) / sum(map(abs, weights))
        n_bins = len(self.series[0])
        top = max(intensity.values())
        out: dict[str, float | int | bool] = {"score": min(1.0, max(-1.0, total)), "sample_count": n_bins, "base": base}
        out |= {f"d{i + 1}": s[-1] for i, s in enumerate(self.series)} | {f"z{i + 1}": x for i, x in enumerate(z)}
        return out | {
            "ready": n_bins >= p["zscore_min_periods"],
            "bull_intensity": bull,
            "bear_intensity": bear,
            "mixed_intensity": intensity[0],
            "dominant_state5_code": next(c for c, x in intensity.items() if x >= top - 1e-12),
        }
