"""Every statistical signal against the plain reading of its formulas, in both forms, and what each cell it reads does to it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.base import SignalContext
from engine.signals.example import example_bins
from engine.signals.registry import make_signal
from tests import reference_signals as plain
from tests.reference_scaled import msd, spg
from tests.reference_signals import Row

Bins = dict[str, NDArray[Any]]
CONTEXT = SignalContext(cell_width_ms=100, radius=50)
PLAIN: dict[str, Callable[..., list[Row]]] = {
    name: getattr(plain, name) for name in ("ads", "ads_pfp_svac", "erd", "iirc", "jad", "pfp")
} | {"msd": msd, "spg": spg}

# Settings of no signal are alike on both sides, and no weight or window equals another, so that none stands in for another.
QUICK: dict[str, dict[str, Any]] = {
    "ads": {"slope_windows": (3, 7, 12), "zscore_window": 40},
    "ads_pfp_svac": {"ads_slope_windows_ms": (300, 750, 1200), "ads_zscore_window_ms": 5000, "ads_warmup_ms": 6000},
    "erd": {"zscore_window": 50},
    "iirc": {"noise_floor_window": 40},
    "jad": {"zscore_window": 60},
    "msd": {"scale_window_bins": 60, "scale_min_periods": 20},
    "pfp": {},
    "spg": {"scale_window_bins": 60, "scale_min_periods": 20},
}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in PLAIN),
    *QUICK.items(),
    ("ads", {"slope_windows": (5,), "zscore_window": 30, "blend_weights": (2.0,), "blend_scale": 0.7}),
    ("ads", QUICK["ads"] | {"slope_history": "poison", "mad_guard": "absolute"}),
    ("pfp", {"inner_bid_k": (-4, -2), "inner_ask_k": (1, 3, 5), "outer_bid_k": (-20,), "outer_ask_k": (9, 30)}),
    ("pfp", {"lag_bins": 1, "ema_alpha": 1.0, "add_weight": 1.5, "pull_weight": -0.25}),
    ("pfp", {"lag_bins": 7, "lag_pairing": "outer_leads", "normaliser": "signed_eps", "eps": 0.3}),
    ("pfp", {"lag_bins": 0, "lag_pairing": "outer_leads", "normaliser": "absolute_flow"}),
    ("ads_pfp_svac", QUICK["ads_pfp_svac"] | {"slope_history": "poison", "mad_guard": "absolute"}),
    (
        "ads_pfp_svac",
        {
            "ads_slope_windows_ms": (150, 901),
            "ads_zscore_window_ms": 4010,
            "ads_zscore_min_periods_ratio": 0.5,
            "ads_blend_weights": (0.1, 0.9),
            "ads_blend_scale": 1.3,
            "ads_warmup_ms": 3050,
            "pfp_lag_ms": 310,
            "pfp_ema_alpha": 0.4,
            "pfp_eps": 0.2,
            "pfp_add_weight": 0.3,
            "pfp_pull_weight": 0.9,
            "svac_norm_alpha": 0.2,
            "svac_norm_floor": 30.0,
            "lag_pairing": "outer_leads",
            "normaliser": "signed_eps",
        },
    ),
    ("erd", {"zscore_window": 30, "spike_floor": -0.4, "variant": "b"}),
    ("iirc", {"bid_k_range": (-3, -2), "ask_k_range": (2, 9), "eps": 0.25, "fast_window": 31, "slow_window": 6}),
    ("iirc", {"fast_weight": -2.0, "slow_weight": 0.1, "noise_floor_share": 1.5, "noise_floor_window": 30}),
    ("iirc", {"noise_floor_source": "absolute", "noise_floor": 0.04}),
    ("jad", {"bid_k": (-50, -3), "ask_k": (2, 7, 11), "zscore_window": 30, "tanh_scale": 0.8}),
    ("jad", {"confirm_weights": (1.0, 0.1), "disagree_weights": (-0.3, 0.7), "mad_guard": "absolute"}),
    ("msd", QUICK["msd"] | {"variant": "sum"}),
    ("msd", {"normalisation": "none"}),
    ("spg", {"normalisation": "none", "fast_span": 3, "slow_span": 33, "curv_span": 4, "blend_smooth": 1.1, "blend_curv": 2.0}),
    ("spg", QUICK["spg"] | {"curv_k": (-9, 1, 4), "ema_fast_weight": 0.1, "ema_slow_weight": 0.7}),
    ("spg", {"normalisation": "none", "ask_band": (47, 50), "bid_band": (-50, -44), "curv_k": (-49, 49)}),
    ("spg", {"normalisation": "none", "gradient_sense": "along_k", "ask_band": (2, 50), "bid_band": (-50, -5)}),
]


def market(n: int = 340, seed: int = 11) -> Bins:
    """Rises on some sides and falls on others; what flows in and out is positive in the first half."""
    bins = example_bins(n, CONTEXT.radius, seed)
    for name in ("v_add", "v_pull", "v_fill"):
        bins[name][: n // 2] = np.abs(bins[name][: n // 2])
    return bins


def compare(name: str, bins: Bins, params: dict[str, Any]) -> NDArray[np.void]:
    model = make_signal(name, params, CONTEXT)
    found = model.run({key: bins[key] for key in model.required_columns})
    expected = PLAIN[name](bins, **params)
    assert found["sample_count"].tolist() == list(range(1, len(found) + 1))
    for field in expected[-1]:
        ours, theirs = found[field].astype(float), np.array([row.get(field, np.nan) for row in expected], float)
        has = np.array([field in row for row in expected])
        is_number = has & np.isfinite(theirs)
        assert np.array_equal(np.isfinite(ours[has]), np.isfinite(theirs[has])), field
        assert ours[is_number] == pytest.approx(theirs[is_number], rel=1e-7, abs=1e-9), field
    return found


@pytest.mark.parametrize(("name", "params"), SETTINGS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(SETTINGS)])
def test_every_number_is_the_plain_readings(name: str, params: dict[str, Any]) -> None:
    found = compare(name, market(), params)
    assert np.count_nonzero(found["score"]) > 20


def test_weights_of_the_composite_are_those_of_its_parts() -> None:
    params = {"composite_weight_ads": 0.1, "composite_weight_pfp": 0.7, "composite_weight_svac": 0.45}
    bins = market()
    model = make_signal("ads_pfp_svac", QUICK["ads_pfp_svac"] | params, CONTEXT)
    found = model.run({key: bins[key] for key in model.required_columns})["score"]
    expected = plain.ads_pfp_svac(bins, **QUICK["ads_pfp_svac"], weights=(0.1, 0.7, 0.45))
    assert found == pytest.approx([row["score"] for row in expected], rel=1e-7, abs=1e-9)


# The farthest row that each signal reads of a column, on either side, with the signal's own zones.
REACHES = {
    "ads": {"v_add": (1, 23), "v_pull": (1, 23)},
    "ads_pfp_svac": {"v_add": (1, 23), "v_pull": (1, 23), "v_fill": (1, 12), "vacuum_variant": (1, 50)},
    "erd": {"spectrum_score": (1, 50)},
    "iirc": {"v_add": (1, 16), "v_pull": (1, 16), "v_fill": (1, 16)},
    "jad": {"j_add": (1, 24), "j_pull": (1, 24), "a_add": (1, 24), "a_pull": (1, 24)},
    "msd": {"vacuum_variant": (1, 50)},
    "pfp": {"v_add": (1, 12), "v_pull": (1, 12), "v_fill": (1, 12)},
    "spg": {"pressure_variant": (0, 17), "vacuum_variant": (0, 17)},
}
HOLES = [(name, column, sign) for name, columns in REACHES.items() for column in columns for sign in (-1, 1)]


@pytest.mark.parametrize(("name", "column", "sign"), HOLES)
def test_one_cell_that_is_no_number_leaves_its_bin_out_where_it_is_read_and_nowhere_else(
    name: str, column: str, sign: int
) -> None:
    nearest, farthest = REACHES[name][column]
    bins = market(200)
    at = {80: nearest - 1, 90: nearest, 100: farthest, 110: farthest + 1}  # bin: distance from spot
    for (t, distance), value in zip(at.items(), (np.nan, np.nan, np.inf, -np.inf), strict=True):
        if 0 <= distance <= 50:
            bins[column][t, 50 + sign * distance] = value
    found = compare(name, bins, QUICK[name])
    ready = make_ready(name)
    expected = ready & ~np.isin(np.arange(200), [90, 100])
    assert found["ready"][[80, 90, 100, 110]].tolist() == expected[[80, 90, 100, 110]].tolist()


def make_ready(name: str) -> NDArray[np.bool_]:
    """Whether each of 200 whole bins is ready."""
    bins = market(200)
    model = make_signal(name, QUICK[name], CONTEXT)
    ready: NDArray[np.bool_] = model.run({key: bins[key] for key in model.required_columns})["ready"]
    assert ready[80]
    return ready


@pytest.mark.parametrize(("accel", "is_agreed"), [(-1.0, False), (0.0, True), (1.0, False)])
def test_no_jerk_agrees_with_no_acceleration_only(accel: float, is_agreed: bool) -> None:
    bins = {column: np.zeros((1, 101)) for column in ("j_add", "j_pull", "a_add", "a_pull")}
    bins["a_add"][0, 49] = accel
    found = make_signal("jad", {}, CONTEXT).run(bins)[0]
    assert (np.sign(found["accel"]), found["jerk"], bool(found["is_agreed"])) == (accel, 0.0, is_agreed)
