from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.errors import ConfigError
from tests.conftest import REPO_ROOT
from tests.test_tune.small_sweep import sweep_values
from tune.config import parse_sweep_config, read_sweep_config


def refused(**changes: Any) -> str:
    with pytest.raises(ConfigError) as error:
        parse_sweep_config(sweep_values(**changes), "s.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_scalars_stand_for_lists_of_one_and_defaults_are_filled_in() -> None:
    config = parse_sweep_config(sweep_values(), "s.yaml")
    assert config.eval.sl_ticks == (2.0,)
    assert config.eval.min_signals == 5
    assert config.search.kind == "grid"
    assert config.parallel.timeout_seconds == 3600
    assert parse_sweep_config(config.model_dump(mode="json"), "again") == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 1}, ["'colour' in s.yaml", "allowed there: name, description, datasets"]),
        ({"eval": {"tp": 8}}, ["'tp' in section eval of s.yaml", "tp_ticks, sl_ticks, max_hold_bins"]),
        ({"online_sim": {"latency": True}}, ["'latency' in section online_sim", "measure_latency"]),
        ({"eval": {"tp_ticks": [8, -1]}}, ["eval.tp_ticks.1 was -1", "greater than 0"]),
        ({"eval": {"tp_ticks": []}}, ["eval.tp_ticks", "at least 1 item"]),
        ({"eval": {"tp_ticks": True}}, ["eval.tp_ticks was true in s.yaml", "it must be a number"]),
        ({"eval": {"warmup_bins": "3_00"}}, ["eval.warmup_bins was '3_00' in s.yaml", "it must be a number"]),
        ({"search": {"seed": False}}, ["search.seed was false"]),
        ({"parallel": {"timeout_seconds": "inf"}}, ["parallel.timeout_seconds was 'inf'"]),
        ({"grid_variant": {"tau_velocity": [2.0, True]}}, ["grid_variant.tau_velocity.1 was true"]),
        ({"datasets": []}, ["datasets", "at least 1 item"]),
        ({"name": "../evil"}, ["name was '../evil'"]),
        ({"search": {"kind": "optuna"}}, ["optuna is not supported yet; allowed are grid and random"]),
        ({"search": {"kind": "anneal"}}, ["search.kind was 'anneal'", "'grid' or 'random'"]),
        ({"parallel": {"max_workers": 0}}, ["parallel.max_workers was 0"]),
        ({"sweep": {"universal": {"cooldown_bins": []}}}, ["cooldown_bins has no values"]),
        ({"tracking": {"backend": "wandb"}}, ["tracking.backend was 'wandb'", "'mlflow' or 'none'"]),
    ],
)
def test_what_is_not_allowed_is_named_with_what_is(changes: dict[str, Any], words: list[str]) -> None:
    message = refused(**changes)
    for word in words:
        assert word in message


def test_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="lacks datasets"):
        parse_sweep_config({"name": "a", "signals": ["x"]}, "s.yaml")


def test_bad_yaml_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: a\ndatasets: [a\nsignals: b: c\n")
    with pytest.raises(ConfigError, match="line 3"):
        read_sweep_config(path)
    with pytest.raises(ConfigError, match="does not exist"):
        read_sweep_config(tmp_path / "none.yaml")


SWEEP = """\
name: a
datasets: [x]
signals: [pfp]
eval:
  warmup_bins: 300
  rearm: true
sweep:
  per_signal:
    pfp: {lag_bins: [1, 2]}
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("300", "0300", ["line 5", "in eval.warmup_bins: 0300 is octal"]),
        ("300", "yes", ["line 5", "in eval.warmup_bins: yes is true or false"]),
        ("300", "true", ["eval.warmup_bins was true in sweep.yaml, line 5: it must be a number"]),
        ("300", "5:00", ["eval.warmup_bins was '5:00' in sweep.yaml, line 5: it must be a number"]),
        ("300", "-1", ["eval.warmup_bins was -1 in sweep.yaml, line 5: input should be greater than or equal to 0"]),
        ("rearm: true", "warmup_bins: 1", ["line 6", "in eval: warmup_bins stands twice, first at line 5"]),
        ("lag_bins: [1, 2]", "lag_bins: [1, 2], lag_bins: [3]", ["line 9", "in sweep.per_signal.pfp: lag_bins stands twice"]),
        ("sweep:", "eval:", ["line 7", "eval stands twice, first at line 4"]),
    ],
)
def test_a_sweep_file_is_refused_with_key_and_line(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    assert read_sweep_config(path).eval.warmup_bins == 300
    path.write_text(SWEEP.replace(old, new))
    with pytest.raises(ConfigError) as error:
        read_sweep_config(path)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_shipped_configurations_are_sound() -> None:
    folder = REPO_ROOT / "lake" / "research" / "vp_harness" / "configs"
    names = {path.stem: read_sweep_config(path).name for path in folder.glob("*.yaml")}
    assert {"smoke_perm_derivative", "tune_perm_derivative"} <= set(names)
    assert all(stem == name for stem, name in names.items())
    assert yaml.safe_load((folder / "tune_perm_derivative.yaml").read_text())["eval"]["tp_ticks"] == [8, 12]


def test_what_is_not_given_comes_to_these_rules() -> None:
    rules = parse_sweep_config({"name": "a", "datasets": ["d"], "signals": ["s"]}, "s.yaml").eval
    given = {name: value for name, value in rules.model_dump().items() if value is not None}
    assert given == {
        "tp_ticks": (8.0,),
        "sl_ticks": (4.0,),
        "warmup_bins": 300,
        "min_signals": 5,
        "form": "sound",
        "n_folds": 5,
    }


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("max_hold_bins", 1, None),
        ("warmup_bins", 0, None),
        ("min_signals", 1, None),
        ("feed_delay_bins", 0, None),
        ("order_delay_bins", 0, None),
        ("min_bins_to_close", 1, None),
        ("fee_per_contract", 0, None),
        ("embargo_bins", 0, None),
        ("n_folds", 1, 23),
    ],
)
def test_a_rule_may_be_its_least_and_its_most_and_nothing_beyond(key: str, least: int, most: int | None) -> None:
    for value in (least, most):
        if value is not None:
            assert getattr(parse_sweep_config(sweep_values(eval={key: value}), "s.yaml").eval, key) == value
    assert f"eval.{key} was {least - 1}" in refused(eval={key: least - 1})
    if most is not None:
        assert f"eval.{key} was {most + 1}" in refused(eval={key: most + 1})
