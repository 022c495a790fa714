"""What each sound form mends: the defect shown on the reference form, and gone from the default."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.signals.base import SignalContext, SignalLike
from engine.signals.example import EXAMPLE_TICK_INT, example_bins
from engine.signals.learned.features import half_ticks
from engine.signals.learned.labels import LabelNumbers, make_label_state, settle_all
from engine.signals.mirror import mirrored
from engine.signals.registry import get_signal, make_signal
from tests.reference_choices import REFERENCE_PARAMETERS

CONTEXT = SignalContext(cell_width_ms=100, radius=50, tick_int=EXAMPLE_TICK_INT)
ROWS = 101
CALIBRATED = ("ads_pfp_svac", "iirc", "msd", "pfp", "spg")


def scores(name: str, bins: dict[str, NDArray[Any]], **params: Any) -> NDArray[np.float64]:
    model = make_signal(name, params, CONTEXT)
    found: NDArray[np.float64] = model.run({key: bins[key] for key in model.required_columns})["score"]
    return found


def market(n: int = 700, seed: int = 4) -> dict[str, NDArray[Any]]:
    return example_bins(n, CONTEXT.radius, seed)


def test_spg_along_k_is_blind_to_the_mirror_and_outward_is_not() -> None:
    bins = market()
    turned = mirrored(bins)
    unscaled: dict[str, Any] = {"normalisation": "none"}
    blind = {"gradient_sense": "along_k"} | unscaled
    assert scores("spg", turned, **blind) == pytest.approx(scores("spg", bins, **blind), abs=1e-9)
    assert scores("spg", turned, **unscaled) == pytest.approx(-scores("spg", bins, **unscaled), abs=1e-9)


@pytest.mark.parametrize(
    ("column", "side", "sign"), [("pressure_variant", 1, -1), ("pressure_variant", -1, 1), ("vacuum_variant", 1, 1)]
)
def test_spg_outward_walls_repel_and_vacuum_draws(column: str, side: int, sign: int) -> None:
    bins = {name: np.zeros((50, ROWS)) for name in ("pressure_variant", "vacuum_variant")}
    for d in range(1, 51):
        bins[column][:, 50 + side * d] = d  # rises away from spot on one side
    assert np.sign(scores("spg", bins, normalisation="none")[-1]) == sign


def front(is_outward: bool, n: int = 800) -> dict[str, NDArray[Any]]:
    """Bursts of adding on the bid that run from the touch to deeper rows, or back, five bins later."""
    bins = {name: np.full((n, ROWS), 0.1) for name in ("v_add", "v_pull", "v_fill")}
    for t in np.random.default_rng(0).integers(10, n - 10, 60):
        near, deep = (t, t + 5) if is_outward else (t + 5, t)
        bins["v_add"][near : near + 3, 47:50] += 5.0
        bins["v_add"][deep : deep + 3, 38:46] += 5.0
    return bins


def test_pfp_tells_an_outward_front_from_an_inward_one() -> None:
    outward, inward = (scores("pfp", front(way))[100:].mean() for way in (True, False))
    assert outward > 0 > inward
    reference = REFERENCE_PARAMETERS["pfp"]
    outward, inward = (scores("pfp", front(way), **reference)[100:].mean() for way in (True, False))
    assert outward < inward  # the wrong way round


@pytest.mark.parametrize("name", ["msd", "spg", "ads", "jad", "pfp"])
def test_scores_do_not_depend_on_the_level_of_activity(name: str) -> None:
    bins = market()
    busier = {key: column * 1000.0 if column.dtype.kind == "f" else column for key, column in bins.items()}
    assert scores(name, busier) == pytest.approx(scores(name, bins), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["msd", "spg"])
def test_reference_scores_do(name: str) -> None:
    bins = market()
    busier = {key: column * 1000.0 if column.dtype.kind == "f" else column for key, column in bins.items()}
    reference = REFERENCE_PARAMETERS[name]
    assert np.abs(scores(name, busier, **reference)).max() > 100 * np.abs(scores(name, bins, **reference)).max()


def test_iirc_noise_floor_follows_the_imbalance() -> None:
    bins = {name: np.ones((400, ROWS)) for name in ("v_add", "v_pull", "v_fill")}
    bins["v_add"] *= 1 + 0.001 * np.random.default_rng(1).standard_normal((400, 1)) * np.sign(np.arange(-50, 51))
    assert not scores("iirc", bins, noise_floor_source="absolute").any()
    assert np.count_nonzero(scores("iirc", bins)) > 200


@pytest.mark.parametrize("name", ["ads", "ads_pfp_svac"])
def test_slopes_that_do_not_exist_yet_spoil_nothing(name: str) -> None:
    bins = market()
    reference = scores(name, bins, **REFERENCE_PARAMETERS[name])
    assert np.isnan(reference[200:248]).all()
    assert np.isfinite(scores(name, bins)).all()
    assert np.count_nonzero(scores(name, bins)[100:248]) > 100


def test_perm_derivative_flat_windows() -> None:
    bins = {"perm_state5_code": np.zeros((400, ROWS), np.int8)}
    bins["perm_state5_code"][::20, 51:] = 2
    assert not scores("perm_derivative", bins, flat_window="zero").any()
    assert scores("perm_derivative", bins).any()
    assert scores("perm_derivative", bins, flat_window="whole_series").any()


def thresholds(name: str, score: NDArray[np.float64], **params: Any) -> tuple[float, ...]:
    return make_signal(name, params, CONTEXT).thresholds(score)


@pytest.mark.parametrize("name", CALIBRATED)
def test_thresholds_are_frozen_before_the_bins_they_judge(name: str) -> None:
    rng = np.random.default_rng(2)
    score = rng.standard_normal(2000)
    model = make_signal(name, {"calibration_bins": 1000}, CONTEXT)
    other = np.concatenate([score[: model.scored_from], 50 * rng.standard_normal(1000)])
    assert model.scored_from == 1000
    assert model.thresholds(score) == model.thresholds(other)
    whole = make_signal(name, {"threshold_source": "whole_sample"}, CONTEXT)
    assert whole.scored_from == 0
    assert whole.thresholds(score) != whole.thresholds(other) or name == "iirc"


def test_iirc_adds_thresholds_where_its_scores_are_large() -> None:
    rng = np.random.default_rng(2)
    assert thresholds("iirc", 0.01 * rng.standard_normal(3000)) == (0.001, 0.005, 0.01, 0.02, 0.05)
    assert thresholds("iirc", 0.1 * rng.standard_normal(3000))[-2:] == (0.08, 0.1)
    assert thresholds("iirc", rng.standard_normal(3000))[-2:] == (0.2, 0.5)


@pytest.mark.parametrize("name", sorted(CALIBRATED))
def test_sessions_too_short_to_calibrate_have_thresholds(name: str) -> None:
    assert thresholds(name, np.zeros(10)) == thresholds(name, np.zeros(0)) != ()


@pytest.mark.parametrize(
    ("name", "params", "named"),
    [
        ("ads", {"slope_windows": [10, 20]}, "blend_weights has 3 values"),
        ("ads", {"zscore_window": 29}, "zscore_window"),
        ("pfp", {"inner_bid_k": [-3, 1]}, "inner_bid_k was"),
        ("pfp", {"outer_ask_k": [60]}, "outer_ask_k of pfp reaches 60"),
        ("pfp", {"ema_alpha": 0}, "ema_alpha"),
        ("ads_pfp_svac", {"pfp_add_weight": 0, "pfp_pull_weight": 0}, "pfp_add_weight and pfp_pull_weight"),
        ("ads_pfp_svac", {"ads_blend_weights": [1]}, "ads_blend_weights has 1"),
        ("erd", {"variant": "c"}, "variant"),
        ("iirc", {"bid_k_range": [-1, -16]}, "bid_k_range was"),
        ("iirc", {"ask_k_range": [0, 4]}, "ask_k_range was"),
        ("jad", {"bid_k": [0]}, "bid_k was"),
        ("msd", {"scale_min_periods": 4000}, "scale_min_periods was 4000"),
        ("spg", {"curv_k": [50]}, "curv_k of spg.*51"),
        ("spg", {"ask_band": [3, 1]}, "ask_band was"),
        ("perm_derivative", {"flat_window": "guess"}, "flat_window"),
    ],
)
def test_bad_parameter_is_refused_in_one_line(name: str, params: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as error:
        make_signal(name, params, CONTEXT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["ads", "ads_pfp_svac", "gbm_mf", "knn_cl", "lsvm_der", "svm_sp"])
def test_a_grid_too_narrow_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="grid has 10 each side"):
        make_signal(name, {}, SignalContext(100, 10))


def test_columns_of_another_shape_are_refused() -> None:
    model: SignalLike = make_signal("msd", {}, CONTEXT)
    with pytest.raises(ConfigError, match="vacuum_variant has shape"):
        model.run({name: np.zeros((5, 21)) for name in get_signal("msd").required_columns})


def hit_rate(name: str, seed: int, label_purge: bool, n: int = 2000) -> float:
    """Share of right sides on a random walk, refitted every 25 bins; nothing is there to be learned."""
    bins = market(n, seed)
    bins["quality"][:] = 0
    bins["mid_price"] = 20_000.0 + 0.125 * np.cumsum(np.random.default_rng(seed + 100).integers(-1, 2, n))
    params = {
        "min_train_bins": 600,
        "refit_interval_bins": 25,
        "max_hold_bins": 400,
        "embargo_bins": 0,
        "label_purge": label_purge,
    }
    model = make_signal(name, REFERENCE_PARAMETERS[name] | {"train_window_bins": n} | params, CONTEXT)
    out = model.run({key: bins[key] for key in (*model.required_columns, *model.required_fields)})
    labels = make_label_state(n + 1, 400)
    settle_all(labels, half_ticks(bins["mid_price"], EXAMPLE_TICK_INT), np.ones(n, np.bool_), LabelNumbers(16.0, 8.0, 400, False))
    judged = out["ready"] & (np.abs(labels.labels[:n]) == 1)
    return float(np.mean(np.sign(out["prediction"][judged]) == labels.labels[:n][judged]))


@pytest.mark.parametrize("name", ["knn_cl", "lsvm_der"])
def test_the_purge_takes_the_skill_out_of_a_random_walk(name: str) -> None:
    leaky, purged = (np.mean([hit_rate(name, seed, purge) for seed in range(3)]) for purge in (False, True))
    assert leaky > 0.65
    assert abs(purged - 0.5) < 0.15
    assert leaky - purged > 0.15
