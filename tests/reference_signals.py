"""The statistical signals once more, in slow, plain Python: written from signals.md sections 2, 3 and 14, not from the kernels.

Each takes columns of shape (n, 101) by name and gives a row a bin. Defaults are the specification's, and ours where section 14
says what to do instead. A bin with a read cell that is no number is left out: score 0, not ready, and nothing is taken in.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SPOT: Final = 50  # column of k = 0
BANDS: Final = ((1, 3), (4, 11), (12, 23))
LEFT_OUT: Final = {"score": 0.0, "ready": False}

Bins = dict[str, NDArray[Any]]
Row = dict[str, Any]
Series = Sequence[float]


def mean_over(row: NDArray[Any], ks: Iterable[int]) -> float:
    """P1."""
    return float(np.mean([row[SPOT + k] for k in ks]))


def total_over(row: NDArray[Any], ks: Iterable[int]) -> float:
    """P1, the plain sum."""
    return float(np.sum([row[SPOT + k] for k in ks]))


def bid_less_ask(row: NDArray[Any], first: int, last: int) -> float:
    """P2 of an adding column: mean over -last..-first less mean over first..last."""
    return mean_over(row, range(-last, -first + 1)) - mean_over(row, range(first, last + 1))


def slope(values: Series, window: int) -> float:
    """P3 of the last ``window`` values."""
    lever = np.arange(window) - (window - 1) / 2
    return float(np.dot(lever, values[-window:]) / (window * (window**2 - 1) / 12))


def robust_z(values: Series, window: int, least: int, guard: str) -> float:
    """P4 of the last value; the relative guard is 1e-9 of the window's largest size."""
    seen = np.asarray(values[-window:])
    if len(seen) < least:
        return 0.0
    if np.isnan(seen).any():
        return math.nan
    median = np.median(seen)
    scale = 1.4826 * float(np.median(np.abs(seen - median)))
    floor = 1e-12 if guard == "absolute" else 1e-9 * float(np.abs(seen).max())
    return 0.0 if scale < floor or scale == 0 else float((seen[-1] - median) / scale)


def near_sum(row: NDArray[Any]) -> float:
    """Rows above less rows below, each over its distance; not normalised."""
    return float(np.sum([(row[SPOT + d] - row[SPOT - d]) / d for d in range(1, 51)]))


def is_number(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def asymmetry(bins: Bins, t: int) -> float:
    """3.1 steps 1 and 2."""
    weights = [1 / math.sqrt(last - first + 1) for first, last in BANDS]
    gaps = [bid_less_ask(bins["v_add"][t], *band) - bid_less_ask(bins["v_pull"][t], *band) for band in BANDS]
    return sum(w * u for w, u in zip(weights, gaps, strict=True)) / sum(weights)


class Slopes:
    """3.1 steps 3 and 4, and section 14 item 13."""

    def __init__(self, windows: Series, zscore_window: int, least: int, weights: Series, scale: float, history: str, guard: str):
        self.windows = [int(w) for w in windows]
        self.z = (zscore_window, least)
        self.weights, self.scale, self.is_poisoned, self.guard = weights, scale, history == "poison", guard
        self.values: list[float] = []
        self.slopes: list[list[float]] = [[] for _ in windows]

    def take(self, c: float) -> tuple[float, bool]:
        self.values.append(c)
        total, ready = 0.0, True
        for window, weight, slopes in zip(self.windows, self.weights, self.slopes, strict=True):
            if len(self.values) >= window:
                slopes.append(slope(self.values, window))
            elif self.is_poisoned:
                slopes.append(math.nan)
            z = robust_z(slopes, *self.z, self.guard)
            ready = ready and len(slopes) >= self.z[1] and math.isfinite(z)
            total += weight * math.tanh(z / self.scale)
        return (total if ready or self.is_poisoned else 0.0), ready


def ads(
    bins: Bins,
    slope_windows: Series = (10, 25, 50),
    zscore_window: int = 200,
    blend_weights: Series = (0.40, 0.35, 0.25),
    blend_scale: float = 3.0,
    slope_history: str = "finite",
    mad_guard: str = "relative",
) -> list[Row]:
    """3.1."""
    slopes = Slopes(slope_windows, zscore_window, 30, blend_weights, blend_scale, slope_history, mad_guard)
    rows = []
    for t in range(len(bins["v_add"])):
        c = asymmetry(bins, t)
        score, ready = slopes.take(c) if is_number(c) else (0.0, False)
        rows.append({"score": score, "ready": ready, "combined_asym": c})
    return rows


class Fronts:
    """3.2 and section 14 item 12."""

    def __init__(
        self, zones: Sequence[Series], lag: int, alpha: float, eps: float, add: float, pull: float, pairing: str, by: str
    ):
        self.zones = [[int(k) for k in zone] for zone in zones]  # inner bid, inner ask, outer bid, outer ask
        self.lag, self.alpha, self.eps, self.weights = lag, alpha, eps, (add, pull)
        self.inner_leads, self.is_absolute = pairing == "inner_leads", by == "absolute_flow"
        self.means: list[list[list[float]]] = []
        self.averages: dict[Any, float] = {}

    def average(self, key: Any, value: float) -> float:
        old = self.averages.get(key)
        self.averages[key] = value if old is None else self.alpha * value + (1 - self.alpha) * old
        return self.averages[key]

    def take(self, bins: Bins, t: int) -> float:
        """NaN where the bin is left out."""
        add, pull = bins["v_add"][t] + bins["v_fill"][t], bins["v_pull"][t]
        now = [[mean_over(flow, zone) for zone in self.zones] for flow in (add, pull)]
        if not is_number(*now[0], *now[1]):
            return math.nan
        self.means.append(now)
        lead = {}
        for flow in (0, 1):
            for side in (0, 1):
                inner, outer = now[flow][side], now[flow][2 + side]
                before = self.means[-1 - self.lag][flow] if len(self.means) > self.lag else [0.0] * 4
                forward = self.average((flow, side, "forward"), before[side] * outer)
                reverse = self.average((flow, side, "reverse"), inner * before[2 + side])
                same = self.average((flow, side, "same"), abs(inner * outer) if self.is_absolute else inner * outer)
                top = forward - reverse if self.inner_leads else reverse
                lead[flow, side] = (top / same if same > 0 else 0.0) if self.is_absolute else top / (same + self.eps)
        return self.weights[0] * (lead[0, 0] - lead[0, 1]) + self.weights[1] * (lead[1, 1] - lead[1, 0])


def pfp(
    bins: Bins,
    inner_bid_k: Series = (-3, -2, -1),
    inner_ask_k: Series = (1, 2, 3),
    outer_bid_k: Series = tuple(range(-12, -4)),
    outer_ask_k: Series = tuple(range(5, 13)),
    lag_bins: int = 5,
    ema_alpha: float = 0.1,
    eps: float = 1e-12,
    add_weight: float = 0.6,
    pull_weight: float = 0.4,
    lag_pairing: str = "inner_leads",
    normaliser: str = "absolute_flow",
) -> list[Row]:
    """3.2."""
    zones = (inner_bid_k, inner_ask_k, outer_bid_k, outer_ask_k)
    fronts = Fronts(zones, lag_bins, ema_alpha, eps, add_weight, pull_weight, lag_pairing, normaliser)
    scores = [fronts.take(bins, t) for t in range(len(bins["v_add"]))]
    taken = np.cumsum(np.isfinite(scores))
    return [{"score": s, "ready": bool(n > lag_bins)} if is_number(s) else LEFT_OUT for s, n in zip(scores, taken, strict=True)]


def ads_pfp_svac(
    bins: Bins,
    cell_width_ms: int = 100,
    ads_slope_windows_ms: Series = (1000, 2500, 5000),
    ads_zscore_window_ms: int = 20_000,
    ads_zscore_min_periods_ratio: float = 0.15,
    ads_blend_weights: Series = (0.40, 0.35, 0.25),
    ads_blend_scale: float = 3.0,
    ads_warmup_ms: int = 20_000,
    pfp_lag_ms: int = 500,
    pfp_ema_alpha: float = 0.1,
    pfp_eps: float = 1e-12,
    pfp_add_weight: float = 0.6,
    pfp_pull_weight: float = 0.4,
    svac_norm_alpha: float = 0.05,
    svac_norm_floor: float = 1e-6,
    weights: Series = (0.40, 0.30, 0.30),
    slope_history: str = "finite",
    mad_guard: str = "relative",
    lag_pairing: str = "inner_leads",
    normaliser: str = "absolute_flow",
) -> list[Row]:
    """3.3."""

    def in_bins(ms: float, least: int) -> int:
        return max(least, math.ceil(ms / cell_width_ms))

    window = in_bins(ads_zscore_window_ms, 2)
    least = max(2, min(window, math.floor(window * ads_zscore_min_periods_ratio)))
    warm, lag = in_bins(ads_warmup_ms, 1), in_bins(pfp_lag_ms, 1)
    spans = [in_bins(ms, 2) for ms in ads_slope_windows_ms]
    slopes = Slopes(spans, window, least, ads_blend_weights, ads_blend_scale, slope_history, mad_guard)
    zones = ((-3, -2, -1), (1, 2, 3), range(-12, -4), range(5, 13))
    fronts = Fronts(zones, lag, pfp_ema_alpha, pfp_eps, pfp_add_weight, pfp_pull_weight, lag_pairing, normaliser)
    rows: list[Row] = []
    size, t = 0.0, 0
    for i in range(len(bins["v_add"])):
        c, vacuum = asymmetry(bins, i), near_sum(bins["vacuum_variant"][i])
        front = fronts.take(bins, i) if is_number(c, vacuum) else math.nan
        if not is_number(front):
            rows.append(LEFT_OUT | {"n_warm": 0})
            continue
        blend, has_slopes = slopes.take(c)
        size = abs(vacuum) if t == 0 else svac_norm_alpha * abs(vacuum) + (1 - svac_norm_alpha) * size
        is_warm = (t >= warm - 1 and (has_slopes or slope_history == "poison"), t >= lag - 1, True)
        parts = (blend, front, vacuum / max(size, svac_norm_floor))
        kept = [w for w, on in zip(weights, is_warm, strict=True) if on]
        score = sum(w * p for w, p, on in zip(weights, parts, is_warm, strict=True) if on) / sum(kept) if sum(kept) else 0.0
        shown = {n: p if on else 0.0 for n, p, on in zip(("ads", "pfp", "svac"), parts, is_warm, strict=True)}
        rows.append({"score": score, "ready": all(is_warm) and has_slopes, **shown, "n_warm": sum(is_warm)})
        t += 1
    return rows


def entropy(codes: Series) -> float:
    """3.4 step 2."""
    shares = [sum(code == v for code in codes) / len(codes) for v in (1, -1, 0)]
    return -sum(p * math.log2(p + 1e-12) for p in shares if p > 0)


def erd(bins: Bins, zscore_window: int = 100, spike_floor: float = 0.5, variant: str = "a") -> list[Row]:
    """3.4."""
    rows: list[Row] = []
    disorder: list[float] = []
    for codes, spectrum in zip(bins["spectrum_state_code"].tolist(), bins["spectrum_score"], strict=True):
        direction = bid_less_ask(spectrum, 1, 50)
        if not is_number(direction):
            rows.append(LEFT_OUT | {"signal_a": 0.0, "signal_b": 0.0, "z_h": 0.0})
            continue
        disorder.append(entropy(codes))
        z = robust_z(disorder, zscore_window, 30, "absolute")
        turned = entropy(codes[SPOT + 1 :]) - entropy(codes[:SPOT])
        ready = len(disorder) >= 30
        gate = max(0.0, z - spike_floor) if ready else 0.0
        a, b = direction * gate, turned * gate
        shown = {"signal_a": a, "signal_b": b, "h_full": disorder[-1], "entropy_asym": turned, "z_h": z}
        rows.append({"score": b if variant == "b" else a, "ready": ready, "score_direction": direction, **shown})
    return rows


def iirc(
    bins: Bins,
    bid_k_range: Series = (-16, -1),
    ask_k_range: Series = (1, 16),
    eps: float = 1.0,
    fast_window: int = 10,
    slow_window: int = 30,
    fast_weight: float = 0.6,
    slow_weight: float = 0.4,
    noise_floor_source: str = "rolling",
    noise_floor: float = 0.1,
    noise_floor_share: float = 0.25,
    noise_floor_window: int = 600,
) -> list[Row]:
    """3.5; the rolling floor is a share of the median size of the last imbalances, this one included."""
    rows: list[Row] = []
    imbalances: list[float] = []
    for add, pull, fill in zip(bins["v_add"], bins["v_pull"], bins["v_fill"], strict=True):
        sums = [
            [total_over(row, range(int(first), int(last) + 1)) for row in (add, pull, fill)]
            for first, last in (bid_k_range, ask_k_range)
        ]
        if not is_number(*sums[0], *sums[1]):
            rows.append(LEFT_OUT | {"imbalance": 0.0})
            continue
        ratios = [come / (pulled + filled + eps) for come, pulled, filled in sums]
        here = math.log(ratios[0] + 1) - math.log(ratios[1] + 1) if min(ratios) > -1 else math.nan
        imbalances.append(here)
        sizes = [abs(x) for x in imbalances if is_number(x)][-noise_floor_window:]
        floor = noise_floor_share * float(np.median(sizes or [0.0])) if noise_floor_source == "rolling" else noise_floor
        ready = len(imbalances) >= max(fast_window, slow_window)
        score = 0.0
        if ready and is_number(here) and abs(here) >= floor:
            fast, slow = slope(imbalances, fast_window), slope(imbalances, slow_window)
            score = fast_weight * fast + slow_weight * slow
        rows.append({"score": score if is_number(score) else 0.0, "ready": ready, "imbalance": here})
    return rows


def jad(
    bins: Bins,
    bid_k: Series = tuple(range(-24, 0)),
    ask_k: Series = tuple(range(1, 25)),
    zscore_window: int = 300,
    tanh_scale: float = 3.0,
    confirm_weights: Series = (0.4, 0.6),
    disagree_weights: Series = (0.8, 0.2),
    mad_guard: str = "relative",
) -> list[Row]:
    """3.6."""

    def side(row: NDArray[Any], ks: Series) -> float:
        return sum(row[SPOT + int(k)] / abs(k) for k in ks) / sum(1 / abs(k) for k in ks)

    rows: list[Row] = []
    blends: list[float] = []
    for t in range(len(bins["j_add"])):
        jerk, accel = (
            0.5 * (side(add, bid_k) - side(add, ask_k) + side(pull, ask_k) - side(pull, bid_k))
            for add, pull in ((bins["j_add"][t], bins["j_pull"][t]), (bins["a_add"][t], bins["a_pull"][t]))
        )
        if not is_number(jerk, accel):
            rows.append(LEFT_OUT | {"jerk": 0.0, "accel": 0.0, "raw": 0.0, "is_agreed": False})
            continue
        is_agreed = bool(np.sign(jerk) == np.sign(accel))
        on_jerk, on_accel = confirm_weights if is_agreed else disagree_weights
        blends.append(on_jerk * jerk + on_accel * accel)
        score = math.tanh(robust_z(blends, zscore_window, 30, mad_guard) / tanh_scale)
        shown = {"jerk": jerk, "accel": accel, "raw": blends[-1], "is_agreed": is_agreed}
        rows.append({"score": score, "ready": len(blends) >= 30, **shown})
    return rows
