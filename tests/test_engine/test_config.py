"""The instrument file: defaults, one clear refusal per fault, the version hash, the lock."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config import (
    DEFAULT_INSTRUMENT,
    INSTRUMENT_ENV,
    InstrumentConfig,
    load_instrument,
    parse_overrides,
    require_instrument,
)
from engine.errors import ConfigError
from tests.conftest import REPO_ROOT, shared_path

DEFAULTS = yaml.safe_load(DEFAULT_INSTRUMENT.read_text())

BAD_VALUES: list[tuple[str, Any]] = [
    ("tick_size", 0),
    ("tick_size", -0.25),
    ("tick_size", "a quarter"),
    ("cell_width_ms", 0),
    ("cell_width_ms", 99.5),
    ("grid_radius_ticks", 0),
    ("n_absolute_ticks", 100),
    ("price_scale", 1e-6),
    ("symbol", ""),
    ("symbol", 7),
    ("spectrum_windows", []),
    ("spectrum_windows", [5, 0, 20, 40]),
    ("spectrum_rollup_weights", [1, 1, 1]),
    ("spectrum_rollup_weights", [1, 1, -1, 1]),
    ("spectrum_rollup_weights", [0, 0, 0, 0]),
    ("spectrum_derivative_weights", [0.5, 0.5]),
    ("spectrum_derivative_weights", [0, 0, 0]),
    ("spectrum_tanh_scale", 0),
    ("spectrum_threshold_neutral", 0),
    ("spectrum_threshold_neutral", 1),
    ("zscore_window_bins", 0),
    ("zscore_min_periods", 1),
    ("zscore_min_periods", 301),
    ("projection_horizons_bins", [1, 2, 2]),
    ("projection_horizons_bins", [0]),
    ("rate_kernel", "approximate"),
    ("tau_velocity", 0),
    ("tau_acceleration", -1),
    ("tau_jerk", float("nan")),
    ("tau_rest_decay", float("inf")),
    ("c1_v_add", -0.1),
    ("c5_v_fill", float("nan")),
    ("spectrum_rollup_weights", [1e308, 1e308, 1, 1]),
    ("spectrum_derivative_weights", [1e308, 1e308, 0]),
    ("perm_zscore_min_periods", 241),
    ("perm_zscore_min_periods", 1),
    ("perm_tanh_scale", 0),
    ("perm_d1_weight", -1),
    ("perm_d1_weight", 0),  # the only one above 0 by default
    ("perm_mixed_weight", -1),
    ("perm_center_exclusion_radius", 50),
    ("perm_center_exclusion_radius", -1),
    ("perm_runtime_enabled", "perhaps"),
    ("perm_enable_weighted_blend", 2),
    ("state5_table", "mirrored"),
]


def one_line(error: pytest.ExceptionInfo[ConfigError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_defaults_are_those_of_the_golden_session() -> None:
    golden = json.loads((shared_path("golden/session_a") / "config.json").read_text())["resolved"]
    del golden["config_version"]  # a hash over fewer fields: state5_table and rate_kernel came later
    ours = load_instrument().resolved()
    assert {key: ours[key] for key in golden} == golden


@pytest.mark.parametrize(("key", "value"), [("rate_kernel", "exact"), ("state5_table", "by_side")])
@pytest.mark.parametrize("path", [None, REPO_ROOT / "engine" / "instruments" / "es.yaml"], ids=["default", "es"])
def test_defaults_that_the_golden_session_was_not_made_with(path: Path | None, key: str, value: str) -> None:
    assert load_instrument(path).resolved()[key] == value


def test_every_field_stands_in_the_file() -> None:
    assert set(DEFAULTS) == set(InstrumentConfig.model_fields)


@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
def test_bad_value_is_refused_with_key_and_value(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        load_instrument(overrides={key: value})
    text = one_line(error)
    assert key in text
    shown = value[0] if isinstance(value, list) and value else value
    assert str(shown) in text or repr(shown) in text


def test_unknown_key_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ConfigError) as error:
        load_instrument(overrides={"tau_velocty": 2.0})
    text = one_line(error)
    assert "tau_velocty" in text
    assert "tau_velocity" in text


@pytest.mark.parametrize("key", sorted(DEFAULTS))
def test_missing_key_is_refused_by_name(key: str, tmp_path: Path) -> None:
    path = tmp_path / "instrument.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in DEFAULTS.items() if name != key}))
    with pytest.raises(ConfigError, match=f"missing key '{key}'"):
        load_instrument(path)


@pytest.mark.parametrize("content", ["[1, 2]", "tau_velocity: [1", "", "\x00\x01"])
def test_file_that_is_no_mapping_is_refused_with_its_path(content: str, tmp_path: Path) -> None:
    path = tmp_path / "instrument.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        load_instrument(path)
    assert str(path) in one_line(error)


def test_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere.yaml does not exist"):
        load_instrument(tmp_path / "nowhere.yaml")


def test_file_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "instrument.yaml"
    path.write_text(yaml.safe_dump(DEFAULTS | {"symbol": "MNQM6"}))
    monkeypatch.setenv(INSTRUMENT_ENV, str(path))
    assert load_instrument().symbol == "MNQM6"


def test_a_shipped_instrument_is_taken_by_name_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INSTRUMENT_ENV, "es")
    assert load_instrument().symbol_root == "ES"
    Path("es").write_text(yaml.safe_dump(DEFAULTS | {"symbol": "MNQM6"}))
    assert load_instrument().symbol == "MNQM6"
    monkeypatch.setenv(INSTRUMENT_ENV, "nq")
    with pytest.raises(ConfigError, match="nq does not exist"):
        load_instrument()


def test_es_instrument_file_loads() -> None:
    config = load_instrument(REPO_ROOT / "engine" / "instruments" / "es.yaml")
    assert (config.tick_size, config.contract_multiplier) == (0.25, 50.0)


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_instrument().tau_velocity = 3.0  # type: ignore[misc]


def test_version_is_twelve_hex_digits() -> None:
    version = load_instrument().config_version
    assert len(version) == 12
    assert set(version) <= set("0123456789abcdef")


def test_version_is_the_same_for_the_same_values() -> None:
    assert load_instrument(overrides={"tau_velocity": 2}).config_version == load_instrument().config_version


@pytest.mark.parametrize("override", [{"tau_velocity": 2.5}, {"state5_table": "reference"}, {"spectrum_windows": [5, 10, 20, 41]}])
def test_version_follows_every_value(override: dict[str, Any]) -> None:
    assert load_instrument(overrides=override).config_version != load_instrument().config_version


def test_overrides_are_read_as_yaml_values() -> None:
    texts = ["tau_velocity=2.5", "spectrum_windows=[5, 10]", "symbol=MNQM6", "perm_runtime_enabled=false"]
    assert parse_overrides(texts) == {
        "tau_velocity": 2.5,
        "spectrum_windows": [5, 10],
        "symbol": "MNQM6",
        "perm_runtime_enabled": False,
    }


@pytest.mark.parametrize("text", ["tau_velocity", "=2", "tau_velocity=[1"])
def test_malformed_override_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_overrides([text])
    assert text in one_line(error)


def test_override_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="tau_velocity was given twice"):
        parse_overrides(["tau_velocity=1", "tau_velocity=2"])


def test_lock_lets_its_own_instrument_through() -> None:
    require_instrument(load_instrument(), "future_mbo", "MNQH6")


@pytest.mark.parametrize(("product_type", "symbol"), [("future_mbo", "ESH4"), ("equity_mbo", "MNQH6")])
def test_lock_refuses_another_instrument_and_names_both(product_type: str, symbol: str) -> None:
    with pytest.raises(ConfigError) as error:
        require_instrument(load_instrument(), product_type, symbol)
    text = one_line(error)
    assert f"{product_type}:{symbol}" in text
    assert "future_mbo:MNQH6" in text


def test_resolved_values_are_plain_json() -> None:
    resolved = load_instrument().resolved()
    assert json.loads(json.dumps(resolved)) == resolved


def test_horizons_in_milliseconds_follow_the_bin_width() -> None:
    config = load_instrument(overrides={"cell_width_ms": 250, "projection_horizons_bins": [1, 4]})
    assert config.resolved()["projection_horizons_ms"] == [250, 1000]


WEIGHTS = [name for name in InstrumentConfig.model_fields if name[0] == "c" and name[1].isdigit()]
WEIGHTS += [name for name in InstrumentConfig.model_fields if name.startswith("perm_") and name.endswith("_weight")]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_is_bounded_so_that_no_product_leaves_the_floats(name: str) -> None:
    assert getattr(load_instrument(overrides={name: 1e100}), name) == 1e100
    with pytest.raises(ConfigError, match=f"{name} was 1.0000000000000002e"):
        load_instrument(overrides={name: math.nextafter(1e100, math.inf)})


def test_every_coefficient_and_weight_is_among_them() -> None:
    assert len(WEIGHTS) == 7 + 3 + 4 + 1


TAUS = ("tau_velocity", "tau_acceleration", "tau_jerk", "tau_rest_decay")
# Field -> the last allowed value, the first that is not, and what else must be set for the former.
EDGES: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("grid_radius_ticks", 1, 0, {}),
    ("grid_radius_ticks", 2000, 2001, {"n_absolute_ticks": 20_012}),
    ("cell_width_ms", 1, 0, {}),
    ("cell_width_ms", 3_600_000, 3_600_001, {}),
    ("n_absolute_ticks", 502, 501, {}),
    ("n_absolute_ticks", 1 << 20, (1 << 20) + 1, {}),
    ("price_scale", 1e-9, math.nextafter(1e-9, 1), {}),
    ("price_scale", 1e-9, math.nextafter(1e-9, 0), {}),
    ("tick_size", 6e-10, 5e-10, {}),
    ("bucket_size_dollars", 1e-300, 0, {}),
    ("rel_tick_size", 1e-300, 0, {}),
    ("contract_multiplier", 1e-300, 0, {}),
    ("spectrum_tanh_scale", 1e-300, 0, {}),
    ("perm_tanh_scale", 1e-300, 0, {}),
    ("perm_tanh_scale", 1e308, math.inf, {}),
    ("price_decimals", 0, -1, {}),
    ("price_decimals", 9, 10, {}),
    ("spectrum_threshold_neutral", math.nextafter(0, 1), 0, {}),
    ("spectrum_threshold_neutral", math.nextafter(1, 0), 1, {}),
    ("zscore_window_bins", 75, 74, {}),
    ("zscore_window_bins", 100_000, 100_001, {}),
    ("zscore_min_periods", 2, 1, {}),
    ("zscore_min_periods", 300, 301, {}),
    ("perm_zscore_window_bins", 60, 59, {}),
    ("perm_zscore_window_bins", 2, 1, {"perm_zscore_min_periods": 2}),
    ("perm_zscore_window_bins", 100_000, 100_001, {}),
    ("perm_zscore_min_periods", 2, 1, {}),
    ("perm_zscore_min_periods", 240, 241, {}),
    ("perm_center_exclusion_radius", 0, -1, {}),
    ("perm_center_exclusion_radius", 49, 50, {}),
    *((name, 1e-9, math.nextafter(1e-9, 0), {}) for name in TAUS),
    *((name, 1e15, math.nextafter(1e15, math.inf), {}) for name in TAUS),
]


@pytest.mark.parametrize(("name", "last", "beyond", "beside"), EDGES)
def test_edge_of_a_range_is_allowed_and_one_step_beyond_is_not(name: str, last: Any, beyond: Any, beside: dict[str, Any]) -> None:
    assert getattr(load_instrument(overrides={**beside, name: last}), name) == last
    with pytest.raises(ConfigError, match=name):
        load_instrument(overrides={**beside, name: beyond})


@pytest.mark.parametrize("name", ["perm_d1_weight", "perm_d2_weight", "perm_d3_weight"])
def test_any_one_weight_of_a_difference_is_enough(name: str) -> None:
    weights = dict.fromkeys(("perm_d1_weight", "perm_d2_weight", "perm_d3_weight"), 0.0)
    assert getattr(load_instrument(overrides={**weights, name: 0.5}), name) == 0.5


# Another allowed value of every field that has one.
OTHERS: dict[str, Any] = {
    "product_type": "future_mbo2", "symbol": "MNQM6", "symbol_root": "NQ", "tick_size": 0.5, "bucket_size_dollars": 0.5,
    "rel_tick_size": 0.5, "grid_radius_ticks": 49, "cell_width_ms": 101, "n_absolute_ticks": 8193, "contract_multiplier": 3.0,
    "qty_unit": "lots", "price_decimals": 3, "spectrum_windows": [5, 10, 20, 41], "spectrum_rollup_weights": [1, 1, 1, 2],
    "spectrum_derivative_weights": [0.55, 0.31, 0.15], "spectrum_tanh_scale": 3.1, "spectrum_threshold_neutral": 0.16,
    "zscore_window_bins": 301, "zscore_min_periods": 76, "projection_horizons_bins": [1, 2, 3, 5], "rate_kernel": "finite",
    "tau_velocity": 2.1, "tau_acceleration": 5.1, "tau_jerk": 10.1, "tau_rest_decay": 30.1, "c1_v_add": 1.1,
    "c2_v_rest_pos": 0.6, "c3_a_add": 0.4, "c4_v_pull": 1.2, "c5_v_fill": 1.6, "c6_v_rest_neg": 0.7, "c7_a_pull": 0.35,
    "perm_runtime_enabled": False, "perm_center_exclusion_radius": 1, "perm_spatial_decay_power": 0.1,
    "perm_zscore_window_bins": 241, "perm_zscore_min_periods": 61, "perm_tanh_scale": 3.1, "perm_d1_weight": 0.9,
    "perm_d2_weight": 0.1, "perm_d3_weight": 0.1, "perm_bull_pressure_weight": 0.9, "perm_bull_vacuum_weight": 0.9,
    "perm_bear_pressure_weight": 0.9, "perm_bear_vacuum_weight": 0.9, "perm_mixed_weight": 0.1,
    "perm_enable_weighted_blend": True, "state5_table": "reference",
}  # fmt: skip


def test_version_is_another_for_each_field_that_alone_is_another() -> None:
    assert set(OTHERS) == set(InstrumentConfig.model_fields) - {"price_scale"}  # which has one value only
    versions = [load_instrument(overrides={name: value}).config_version for name, value in OTHERS.items()]
    assert len({*versions, load_instrument().config_version}) == len(OTHERS) + 1


def test_version_is_that_of_the_day_it_was_first_written() -> None:
    """A hash by hand: SHA-256 of the resolved values as JSON, keys sorted, no blanks; what lies in lakes bears it."""
    values = {name: value for name, value in load_instrument().resolved().items() if name in InstrumentConfig.model_fields}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert load_instrument().config_version == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_kernels_get_each_number_under_its_own_name() -> None:
    numbers = {name: value for name, value in OTHERS.items() if name not in ("n_absolute_ticks", "zscore_window_bins")}
    p = load_instrument(overrides={**numbers, "n_absolute_ticks": 4096, "zscore_window_bins": 123})
    weights = [w / (0.55 + 0.31 + 0.15) for w in (0.55, 0.31, 0.15)]
    assert p.to_params()._asdict() == {
        "tick_int": 500_000_000, "bin_ns": 101_000_000, "dt": 0.101, "radius": 49, "n_slots": 4096, "by_side": False,
        "exact": False, "tau_velocity": 2.1, "tau_acceleration": 5.1, "tau_jerk": 10.1, "tau_rest_decay": 30.1, "c1_v_add": 1.1,
        "c2_v_rest_pos": 0.6, "c3_a_add": 0.4, "c4_v_pull": 1.2, "c5_v_fill": 1.6, "c6_v_rest_neg": 0.7, "c7_a_pull": 0.35,
        "zscore_window": 123, "zscore_min_periods": 76, "tanh_scale": 3.1, "threshold_neutral": 0.16,
        "w1": pytest.approx(weights[0]), "w2": pytest.approx(weights[1]), "w3": pytest.approx(weights[2]),
    }  # fmt: skip
    assert (p.n_rows, p.k_values.tolist(), p.k_values.dtype.str) == (99, list(range(-49, 50)), "<i4")
