"""Thresholds, figures over a session, and what each signal says of itself: all worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.base import SignalContext
from engine.signals.parts.calibrated import percentile_thresholds
from engine.signals.registry import get_signal, make_signal

CONTEXT = SignalContext(cell_width_ms=100, radius=50)
FALLBACK = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2)
TYPICAL = (0.5, 1.0, 1.5, 2.0, 3.0)
OF_1_AND_3 = (2.0, 2.4, 2.6, 2.8, 2.9, 2.98)  # percentiles 50, 70, 80, 90, 95, 99 of two values, between them in proportion


def make(name: str, **params: Any) -> Any:
    return make_signal(name, params, CONTEXT)


def two_values(first: float, second: float, n: int = 500) -> NDArray[np.float64]:
    """Bins 298 and 299 of a session whose every other score is far larger."""
    score = np.full(n, 1e6)
    score[298:300] = first, second
    return score


# Which bins the thresholds are taken from


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("pfp", {"warmup_bins": 298}),
        ("msd", {"warmup_bins": 298}),
        ("ads_pfp_svac", {"ads_warmup_ms": 29_900, "pfp_lag_ms": 100}),
        ("ads_pfp_svac", {"ads_warmup_ms": 100, "pfp_lag_ms": 29_900}),
    ],
)
def test_thresholds_come_of_the_calibration_s_bins_after_the_warm_up_and_no_other(name: str, params: dict[str, Any]) -> None:
    model = make(name, calibration_bins=300, **params)
    assert model.thresholds(two_values(-1.0, 3.0)) == pytest.approx(OF_1_AND_3, abs=1e-12)
    assert model.scored_from == 300


@pytest.mark.parametrize("name", ["pfp", "msd", "spg"])
def test_whole_sample_begins_after_the_warm_up_and_goes_to_the_end(name: str) -> None:
    model = make(name, threshold_source="whole_sample", warmup_bins=298)
    expected = {"spg": (0.5, 1.0, 2.5, 2.7, 2.9)}.get(name, OF_1_AND_3)
    assert model.thresholds(two_values(1.0, 3.0, 300)) == pytest.approx(expected, abs=1e-12)
    assert model.scored_from == 0


@pytest.mark.parametrize(
    ("first", "second", "levels"),
    [
        (1.0, 3.0, (0.5, 1.0, 2.5, 2.7, 2.9)),  # quartiles 1.5 and 2.5, tails 1.1 and 2.9
        (-3.0, 1.0, (1.0, 2.0, 2.4, 2.8)),  # quartiles -2 and 0, tails -2.8 and 0.8: the spread is the larger quartile
        (2.0, 2.0, (2.0,)),  # no spread
        (0.0, 0.0, FALLBACK),
        (1e-8, 1e-8, FALLBACK),
        (1.6e-6, 1.6e-6, (2e-6,)),  # to six decimals
    ],
)
def test_spg_thresholds_are_of_the_signed_score(first: float, second: float, levels: tuple[float, ...]) -> None:
    model = make("spg", calibration_bins=300, warmup_bins=298)
    assert model.thresholds(two_values(first, second)) == pytest.approx(levels, abs=1e-15)


@pytest.mark.parametrize(("bin_of_one", "n_levels"), [(0, 9), (299, 9), (300, 5)])
def test_iirc_looks_at_the_calibration_only(bin_of_one: int, n_levels: int) -> None:
    score = np.zeros(400)
    score[bin_of_one] = -1.0
    assert len(make("iirc", calibration_bins=300).thresholds(score)) == n_levels


@pytest.mark.parametrize(
    ("size", "more"),
    [
        (0.1, ()),
        (math.nextafter(0.1, 1), (0.08, 0.1)),
        (0.5, (0.08, 0.1)),
        (math.nextafter(0.5, 1), (0.08, 0.1, 0.2, 0.5)),
    ],
)
def test_iirc_extends_above_its_limits(size: float, more: tuple[float, ...]) -> None:
    score = np.array([0.0, size, -size, 0.0])
    assert make("iirc").thresholds(score) == (0.001, 0.005, 0.01, 0.02, 0.05, *more)


@pytest.mark.parametrize(
    ("sample", "levels"),
    [
        ([], (7.0,)),
        ([math.nan], (7.0,)),
        ([math.nan, -1.0, 3.0], OF_1_AND_3),
        ([0.0, 0.0, 0.0], (7.0,)),
        ([0.0] * 9 + [1.0], (0.1, 0.55, 0.91)),  # at 8.1, 8.55 and 8.91 of 9; those at 0 are dropped
        ([4.0, 4.0], (4.0,)),
        ([1e-9, 1e-9], (0.0,)),  # above 0 before the rounding
    ],
)
def test_percentiles_of_a_sample(sample: list[float], levels: tuple[float, ...]) -> None:
    assert percentile_thresholds(np.array(sample), (7.0,)) == pytest.approx(levels, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "params", "levels"),
    [
        ("pfp", {}, FALLBACK),
        ("msd", {}, TYPICAL),
        ("msd", {"normalisation": "none"}, FALLBACK),
        ("spg", {}, TYPICAL),
        ("spg", {"normalisation": "none"}, FALLBACK),
        ("ads_pfp_svac", {}, (0.02, 0.05, 0.08, 0.10, 0.15, 0.20)),
        ("iirc", {}, (0.001, 0.005, 0.01, 0.02, 0.05)),
    ],
)
def test_no_bins_after_the_warm_up_leave_the_fallback(name: str, params: dict[str, Any], levels: tuple[float, ...]) -> None:
    assert make(name, **params).thresholds(np.zeros(3)) == levels


# Figures over a session


def outputs_of(name: str, **columns: Any) -> Any:
    cls = get_signal(name)
    out = np.zeros(len(next(iter(columns.values()))), cls.output_dtype)
    for column, values in columns.items():
        out[column] = values
    return out


def test_ads_tells_the_spread_of_its_asymmetry() -> None:
    found = make("ads").metadata(outputs_of("ads", combined_asym=[1.0, 5.0], score=[7.0, 9.0]))
    assert found == {"combined_asym_std": 2.0}


def test_pfp_tells_its_percentiles_after_the_warm_up() -> None:
    found = make("pfp", warmup_bins=1).metadata(outputs_of("pfp", score=[100.0, -1.0, 3.0]))
    assert found["signal_pcts"] == pytest.approx({"p5": -0.8, "p25": 0.0, "p50": 1.0, "p75": 2.0, "p95": 2.8})
    assert found["adaptive_thresholds"] == pytest.approx(list(OF_1_AND_3))


def test_composite_tells_of_its_parts() -> None:
    out = outputs_of("ads_pfp_svac", score=[1, 3], ads=[0, 4], pfp=[0, 6], svac=[0, 8], n_warm=[1, 3])
    model = make(
        "ads_pfp_svac",
        ads_slope_windows_ms=(150, 900, 2000),
        ads_zscore_window_ms=4010,
        ads_zscore_min_periods_ratio=0.5,
        ads_warmup_ms=3050,
        pfp_lag_ms=310,
    )
    assert model.metadata(out) == {
        "adaptive_thresholds": [0.02, 0.05, 0.08, 0.1, 0.15, 0.2],
        "ads_warmup_bins": 31,
        "pfp_lag_bins": 4,
        "ads_slope_windows_bins": [2, 9, 20],
        "ads_zscore_window_bins": 41,
        "ads_zscore_min_periods": 20,
        "component_std": {"ads": 2.0, "pfp": 3.0, "svac": 4.0, "composite": 1.0},
        "warmup_fraction_mean": pytest.approx(2 / 3),
    }


def test_erd_tells_of_entropy_direction_and_both_variants() -> None:
    columns = {"h_full": [1, 3], "z_h": [0, 6], "entropy_asym": [2, 4], "score_direction": [-1, 5]}
    out = outputs_of("erd", **columns, signal_a=[0, 1], signal_b=[1, 1])
    assert make("erd", variant="b").metadata(out) == {
        "variant": "b",
        "max_entropy_bits": pytest.approx(1.584962500721156),
        "h_full_mean": 2.0,
        "h_full_std": 1.0,
        "h_full_max": 3.0,
        "z_h_mean": 3.0,
        "z_h_std": 3.0,
        "z_h_max": 6.0,
        "entropy_asym_mean": 3.0,
        "entropy_asym_std": 1.0,
        "score_direction_mean": 2.0,
        "score_direction_std": 3.0,
        "nonzero_a": 1,
        "nonzero_b": 2,
    }


def test_iirc_tells_of_scores_that_are_not_nil() -> None:
    out = outputs_of("iirc", score=[0.0, -1.0, 3.0, 0.0], imbalance=[1.0, 2.0, math.nan, 6.0])
    found = make("iirc").metadata(out)
    assert (found["n_nonzero"], found["n_total"], found["imbalance_mean"]) == (2, 4, 3.0)
    assert found["imbalance_std"] == pytest.approx(math.sqrt(14 / 3))
    assert found["nonzero_pcts"] == pytest.approx({"p5": -0.8, "p25": 0.0, "p50": 1.0, "p75": 2.0, "p95": 2.8})
    assert found["adaptive_thresholds"][-1] == 0.5
    nothing = make("iirc").metadata(outputs_of("iirc", score=[0.0], imbalance=[math.nan]))
    assert (nothing["nonzero_pcts"], nothing["imbalance_mean"], nothing["imbalance_std"]) == ({}, None, None)


def test_jad_tells_of_its_parts_and_their_agreement() -> None:
    out = outputs_of("jad", jerk=[1, 3], accel=[0, 4], raw=[0, 6], is_agreed=[True, False], score=[0, 9])
    stds = {"jerk_signal_std": 1.0, "accel_signal_std": 2.0, "raw_signal_std": 3.0}
    assert make("jad").metadata(out) == stds | {"agreement_rate": 0.5}
    assert make("jad").metadata(out[:0]) == {"agreement_rate": 0.0}


def test_msd_tells_of_both_variants_and_the_pressure() -> None:
    out = outputs_of("msd", sum=[0, 2], weighted=[0, 4], pressure_balance=[1, 7], score=[0, 0])
    assert make("msd").metadata(out) == {
        "variant": "weighted",
        "adaptive_thresholds": list(TYPICAL),
        "signal_sum_std": 1.0,
        "signal_weighted_std": 2.0,
        "pressure_balance_mean": 4.0,
    }


def test_spg_tells_of_its_net_gradient_and_percentiles() -> None:
    found = make("spg", warmup_bins=1).metadata(outputs_of("spg", net=[1, 3, 5], score=[100, -1, 3]))
    assert (found["net_signal_mean"], found["net_signal_std"]) == (3.0, pytest.approx(math.sqrt(8 / 3)))
    assert found["signal_pcts"] == pytest.approx({"p5": -0.8, "p25": 0.0, "p50": 1.0, "p75": 2.0, "p95": 2.8})


def test_perm_derivative_counts_states_and_what_follows_what() -> None:
    out = outputs_of("perm_derivative", dominant_state5_code=[-2, 2, 2, 0, -2, 2])
    found = make("perm_derivative", d1_weight=0.5, d2_weight=0.25, d3_weight=2.0).metadata(out)
    matrix = [[0, 0, 0, 0, 2], [0] * 5, [1, 0, 0, 0, 0], [0] * 5, [0, 0, 1, 0, 1]]  # row: before, column: after
    assert found == {
        "perm_state5_distribution": {"-2": 2, "-1": 0, "0": 1, "1": 0, "2": 3},
        "perm_state5_transition_matrix": matrix,
        "perm_state5_labels": ["-2", "-1", "0", "1", "2"],
        "derivative_weight_sum": 2.75,
    }


# What they say of themselves

EMA_BINS = {0.05: 764, 0.1: 372, 2 / 21: 392}  # ln(1e-17) / ln(1 - alpha), rounded up: 763.1, 371.5, 391.1
MEMORIES: dict[str, int] = {
    "ads": 50 + 200,
    "ads_pfp_svac": 5 + EMA_BINS[0.05],
    "erd": 100,
    "iirc": 600,
    "jad": 300,
    "msd": 3000,
    "perm_derivative": 300 + 3,
    "pfp": 5 + EMA_BINS[0.1],
    "spg": EMA_BINS[2 / 21] + 3000,
    # what a fit looks back, the longest outcome, the wait for a fit, the embargo, the features' own memory
    "svm_sp": 9000 + 1200 + (300 + 50) + 600 + 600,
    "knn_cl": 9000 + 1200 + (300 + 50) + 600 + 600,
    "lsvm_der": 9000 + 1200 + (600 + 50) + 600 + 300 + 1200,
    "gbm_mf": 9000 + 1200 + (600 + 100) + 600 + 600,
    "xgb_snap": 9000 + 1200 + (600 + 100) + 600 + 600,
    "pca_ad": 700 + 300 + (100 + 10),
}


@pytest.mark.parametrize("name", sorted(MEMORIES))
def test_memory_is_the_sum_of_what_it_looks_back(name: str) -> None:
    assert make(name).memory_bins == MEMORIES[name]


@pytest.mark.parametrize(
    ("name", "params", "memory"),
    [
        ("ads", {"slope_windows": (5,), "blend_weights": (1.0,), "zscore_window": 30}, 35),
        ("ads_pfp_svac", {"ads_warmup_ms": 200_000}, 2000),
        ("ads_pfp_svac", {"ads_zscore_window_ms": 100_000}, 1050),
        ("ads_pfp_svac", {"pfp_ema_alpha": 0.05, "svac_norm_alpha": 0.1, "pfp_lag_ms": 1100}, 11 + 764),
        ("iirc", {"noise_floor_source": "absolute"}, 30),
        ("iirc", {"noise_floor_source": "absolute", "fast_window": 45}, 45),
        ("iirc", {"noise_floor_window": 31, "slow_window": 40}, 40),
        ("msd", {"normalisation": "none"}, 1),
        ("pfp", {"ema_alpha": 1.0, "lag_bins": 9}, 9 + 1),
        ("spg", {"normalisation": "none", "fast_span": 20, "slow_span": 2, "curv_span": 3}, 392),
        ("pca_ad", {"min_train_bins": 900, "pca_window": 600}, 900 + 300 + 110),
        ("gbm_mf", {"rolling_windows": (50,), "slope_window": 20}, 9000 + 1200 + 700 + 600 + 300),
        ("gbm_mf", {"rolling_windows": (50,), "slope_window": 400}, 9000 + 1200 + 700 + 600 + 400),
    ],
)
def test_memory_follows_the_parameters(name: str, params: dict[str, Any], memory: int) -> None:
    assert make(name, **params).memory_bins == memory


LEARNED = {"confidence": ("knn_cl", "lsvm_der", "pca_ad", "svm_sp"), "probability": ("gbm_mf", "xgb_snap")}
LEVELS: dict[str, tuple[float, ...]] = {  # signals.md, without those at which a signal is always in the market
    "ads": (0.02, 0.05, 0.08, 0.10, 0.15, 0.20),
    "ads_pfp_svac": (0.02, 0.05, 0.08, 0.10, 0.15, 0.20),
    "erd": (0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.75, 1.0, 1.5, 2.0),
    "gbm_mf": (0.52, 0.55, 0.58, 0.60, 0.65),
    "iirc": (0.001, 0.005, 0.01, 0.02, 0.05),
    "jad": (0.05, 0.10, 0.15, 0.20, 0.30),
    "knn_cl": (0.1, 0.2, 0.3),
    "lsvm_der": (0.3, 0.5, 0.7, 1.0),
    "msd": TYPICAL,
    "pca_ad": (0.3, 0.5, 0.8, 1.0, 1.5, 2.0),
    "perm_derivative": (0.03, 0.05, 0.08, 0.10, 0.15, 0.20),
    "pfp": FALLBACK,
    "spg": TYPICAL,
    "svm_sp": (0.2, 0.4, 0.6, 0.8),
    "xgb_snap": (0.52, 0.55, 0.58, 0.60, 0.65),
}


@pytest.mark.parametrize("name", sorted(LEVELS))
def test_levels_trigger_and_mode_are_the_specification_s(name: str) -> None:
    cls = get_signal(name)
    modes = [mode for mode, names in LEARNED.items() if name in names]
    assert cls.default_thresholds == LEVELS[name]
    assert cls.trigger == ("level" if modes else "edge")
    assert cls.prediction_mode == (modes[0] if modes else "score")


def test_iirc_speaks_at_its_floor_and_not_below() -> None:
    bins = {column: np.zeros((30, 101)) for column in ("v_add", "v_pull", "v_fill")}
    bins["v_add"][:, 51] = 1.0  # the ask's ratio is 1 throughout
    bins["v_add"][:, 49] = 1.0
    bins["v_add"][-1, 49] = 2.0  # the bid's becomes 2
    at = math.log(3.0) - math.log(2.0)
    for floor, speaks in ((at, True), (math.nextafter(at, 1), False)):
        model = make("iirc", noise_floor_source="absolute", noise_floor=floor)
        assert (model.run(bins)["score"][-1] > 0) == speaks
