"""`perm_derivative`: every output against the reference, `update` equal to `run` bit by bit, snapshots, refusals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.errors import ConfigError
from engine.schema import MODEL_DTYPE
from engine.signals.base import SignalContext, SignalLike
from engine.signals.registry import get_signal, make_signal, signal_names
from engine.signals.statistical.perm_derivative import PermDerivative, PermDerivativeParams, perm_params_from_config
from tests.reference_scores import PermDerivative as SlowPermDerivative
from tests.reference_scores import state5

RADIUS = 4
CONTEXT = SignalContext(cell_width_ms=100, radius=RADIUS)
SMALL = {"zscore_window_bins": 12, "zscore_min_periods": 4}
FLOATS = [name for name in MODEL_DTYPE.names or () if MODEL_DTYPE[name].kind == "f"]

SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "all derivatives": {"d1_weight": 0.5, "d2_weight": 0.3, "d3_weight": 0.2},
    "only the third": {"d1_weight": 0.0, "d3_weight": 2.0},
    "decay with distance": {"spatial_decay_power": 1.5},
    "centre left out": {"center_exclusion_radius": 2},
    "weighted blend": {"enable_weighted_blend": True, "mixed_weight": 0.7},
    "blend beyond one": {"enable_weighted_blend": True, "mixed_weight": 3.0},
    "mixed weight without blend": {"mixed_weight": 0.7},
    "uneven states": {"bull_vacuum_weight": 2.0, "bear_pressure_weight": 0.25, "bear_vacuum_weight": 0.0},
    "wide scale": {"tanh_scale": 0.1},
    "shortest window": {"zscore_window_bins": 2, "zscore_min_periods": 2},
}


def make(**params: Any) -> SignalLike:
    return make_signal("perm_derivative", SMALL | params, CONTEXT)


def market_codes(n_bins: int, seed: int, share_of_quiet: float = 0.6, table: str = "reference") -> NDArray[np.int8]:
    """Codes as a market makes them: whole bins of one quote move, most of them quiet."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_bins):
        ask, bid = (0, 0) if rng.random() < share_of_quiet else rng.integers(-1, 2, 2).tolist()
        rows.append([state5(table, ask, bid, k) for k in range(-RADIUS, RADIUS + 1)])
    return np.array(rows, np.int8)


def columns(codes: NDArray[np.int8]) -> dict[str, NDArray[Any]]:
    return {"perm_state5_code": codes}


def slow(codes: NDArray[np.int8], **params: Any) -> list[dict[str, Any]]:
    full = PermDerivativeParams(**(SMALL | params)).model_dump()
    model = SlowPermDerivative(full, CONTEXT.cell_width_ms, RADIUS)
    return [model.update(row) for row in codes.tolist()]


@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_numbers_equal_the_reference(case: str, seed: int) -> None:
    codes = market_codes(80, seed)
    ours, theirs = make(**SETTINGS[case]).run(columns(codes)), slow(codes, **SETTINGS[case])
    for name in FLOATS:
        assert ours[name] == pytest.approx([one[name] for one in theirs], rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("case", SETTINGS)
def test_counts_and_codes_equal_the_reference(case: str) -> None:
    codes = market_codes(60, 5)
    ours, theirs = make(**SETTINGS[case]).run(columns(codes)), slow(codes, **SETTINGS[case])
    for name in ("ready", "sample_count", "dominant_state5_code"):
        assert ours[name].tolist() == [one[name] for one in theirs]


def test_default_windows_equal_the_reference() -> None:
    codes = market_codes(500, 9, table="by_side")
    ours, theirs = (
        make(zscore_window_bins=300, zscore_min_periods=75).run(columns(codes)),
        slow(codes, zscore_window_bins=300, zscore_min_periods=75),
    )
    assert ours["score"] == pytest.approx([one["score"] for one in theirs], rel=0, abs=1e-12)


@given(st.lists(st.lists(st.integers(-2, 2), min_size=9, max_size=9), min_size=1, max_size=40))
@settings(max_examples=100)
def test_any_codes_give_finite_scores_within_one(rows: list[list[int]]) -> None:
    out = make(d2_weight=1.0, d3_weight=1.0).run(columns(np.array(rows, np.int8)))
    assert all(np.all(np.isfinite(out[name])) for name in FLOATS)
    assert np.all(np.abs(out["score"]) <= 1.0)


@pytest.mark.parametrize("case", SETTINGS)
def test_update_bin_by_bin_equals_run_bit_by_bit(case: str) -> None:
    codes = market_codes(90, 3)
    model = make(**SETTINGS[case])
    one_by_one = np.array([model.update(columns(row)) for row in codes], MODEL_DTYPE)
    assert one_by_one.tobytes() == make(**SETTINGS[case]).run(columns(codes)).tobytes()


@pytest.mark.parametrize("cuts", [[1], [13, 14], [30, 60]])
def test_run_continues_where_the_last_run_ended(cuts: list[int]) -> None:
    codes = market_codes(90, 4)
    model = make()
    parts = [model.run(columns(part)) for part in np.split(codes, cuts)]
    assert np.concatenate(parts).tobytes() == make().run(columns(codes)).tobytes()


def test_columns_may_be_strided_and_read_only() -> None:
    codes = market_codes(60, 6)
    block = np.zeros((60, 3, 2 * RADIUS + 1), np.int8)
    block[:, 1] = codes
    block.setflags(write=False)
    assert make().run(columns(block[:, 1])).tobytes() == make().run(columns(codes)).tobytes()


def test_output_is_the_callers_to_keep() -> None:
    model, codes = make(), market_codes(20, 7)
    kept = [model.update(columns(row)) for row in codes]
    assert [int(one["sample_count"]) for one in kept] == list(range(1, 21))


def test_model_is_ready_from_the_minimum_of_periods_on() -> None:
    out = make().run(columns(market_codes(10, 8)))
    assert out["ready"].tolist() == [False] * 3 + [True] * 7


def test_score_is_zero_until_ready() -> None:
    out = make().run(columns(market_codes(10, 8, share_of_quiet=0.0)))
    assert not out["score"][:3].any()


def test_first_bin_has_no_derivatives() -> None:
    out = make().run(columns(market_codes(1, 1, share_of_quiet=0.0)))
    assert [float(out[name][0]) for name in ("d1", "d2", "d3")] == [0.0, 0.0, 0.0]


def test_quiet_window_falls_back_to_the_standard_deviation() -> None:
    codes = market_codes(12, 0, share_of_quiet=1.0)
    codes[-1, RADIUS + 1 :] = 2  # one move in a quiet window: the MAD is nil, the standard deviation is not
    out = make().run(columns(codes))
    d1 = np.zeros(12)
    d1[-1] = out["d1"][-1]
    assert out["z1"][-1] == pytest.approx(d1[-1] / d1.std(), rel=1e-12)


def test_silent_market_scores_zero() -> None:
    out = make().run(columns(np.zeros((30, 2 * RADIUS + 1), np.int8)))
    assert not out["score"].any()


def test_halves_that_tie_name_the_first_code() -> None:
    codes = market_codes(1, 0)
    codes[0] = [-2] * RADIUS + [0] + [-1] * RADIUS
    assert make().run(columns(codes))["dominant_state5_code"].tolist() == [-2]


@pytest.mark.parametrize("seed", range(4))
def test_mirrored_market_negates_the_score_with_the_table_by_side(seed: int) -> None:
    codes = market_codes(80, seed, table="by_side")
    mirrored = np.ascontiguousarray(-codes[:, ::-1])
    assert make().run(columns(mirrored))["score"] == pytest.approx(-make().run(columns(codes))["score"], abs=1e-12)


# Snapshots


def test_restored_model_goes_on_bit_by_bit() -> None:
    codes = market_codes(90, 2)
    first, second = make(), make()
    first.run(columns(codes[:37]))
    second.restore(first.snapshot())
    assert second.run(columns(codes[37:])).tobytes() == first.run(columns(codes[37:])).tobytes()


def test_snapshot_does_not_follow_the_model() -> None:
    model, codes = make(), market_codes(40, 2)
    model.run(columns(codes[:10]))
    kept = model.snapshot()
    expected = model.run(columns(codes[10:])).tobytes()
    model.restore(kept)
    assert model.run(columns(codes[10:])).tobytes() == expected


def test_snapshot_of_other_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="not of perm_derivative"):
        make().restore(make(tanh_scale=2.0).snapshot())


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:40] + b"x" + b[41:], lambda b: b"", lambda b: b"nonsense"])
def test_damaged_snapshot_is_refused(damage: Any) -> None:
    with pytest.raises(ConfigError, match="damaged"):
        make().restore(damage(make().snapshot()))


def test_warming_up_leaves_the_state() -> None:
    model = make()
    before = model.snapshot()
    model.warmup()
    assert model.snapshot() == before


# Parameters


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"zscore_window": 300}, "zscore_window"),
        ({"tanh_scale": 0}, "tanh_scale"),
        ({"tanh_scale": float("nan")}, "tanh_scale"),
        ({"zscore_min_periods": 1}, "zscore_min_periods"),
        ({"zscore_min_periods": 13}, "zscore_min_periods was 13"),
        ({"d1_weight": 0}, "d1_weight, d2_weight and d3_weight"),
        ({"d2_weight": -1}, "d2_weight"),
        ({"spatial_decay_power": "steep"}, "spatial_decay_power"),
        ({"center_exclusion_radius": RADIUS}, f"center_exclusion_radius was {RADIUS}"),
        ({"cooldown_bins": 30}, "cooldown_bins"),
    ],
)
def test_bad_parameter_is_refused_by_name_in_one_line(params: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as error:
        make(**params)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_signal_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'perm_derivate' is not known.*perm_derivative"):
        get_signal("perm_derivate")


def test_known_signals_are_listed() -> None:
    assert "perm_derivative" in signal_names()


def test_instruments_parameters_reach_the_model() -> None:
    config = load_instrument(overrides={"perm_tanh_scale": 2.5, "perm_d3_weight": 0.25})
    params = perm_params_from_config(config)
    assert (params.tanh_scale, params.d3_weight, params.zscore_window_bins, params.zscore_min_periods) == (2.5, 0.25, 240, 60)


def test_defaults_are_those_of_the_signal() -> None:
    params = PermDerivativeParams()
    assert (params.zscore_window_bins, params.zscore_min_periods, params.tanh_scale) == (300, 75, 3.0)


def test_class_is_registered_under_its_name() -> None:
    assert get_signal(PermDerivative.name) is PermDerivative
