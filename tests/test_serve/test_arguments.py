"""The app builder's typed arguments: read as the command line reads its own."""

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import ConfigError
from engine.lake import Lake
from serve.arguments import Arguments
from serve.cli import DOOR
from serve.launch import read_launch
from serve.scaling import Scaling


def test_no_argument_is_what_the_command_line_has_without_one() -> None:
    assert vars(Arguments().options()) | {"run": None} == vars(DOOR.parse([], "x")) | {"run": None}


def test_each_argument_of_the_command_line_is_one_of_these_but_those_of_a_terminal() -> None:
    fields = {name for name in vars(DOOR.parse([], "x")) if not name.startswith("perm_")} - {"run"}
    assert fields - set(Arguments.model_fields) == {"address", "detach", "gateway", "key_file"}
    assert set(Arguments.model_fields) - fields == set()


def test_values_reach_settings_instrument_and_scaling(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_TOKEN", "correct-horse-battery")
    values: dict[str, Any] = {
        "lake": str(lake.root),
        "dt": dt.date(2026, 2, 6),  # as YAML has it
        "start_time": "09:25:10",
        "host": "0.0.0.0",
        "port": "8765",  # as `serve run` has it
        "replicas": "2",
        "max_replicas": 5,
        "streams_per_replica": 40,
        "allow_origin": "https://a.example,https://b.example",
        "allow_host": "Desk.example:8443,b.example",
        "log_format": "json",
        "assume_symbol": True,
        "perm_zscore_window_bins": 90,
        "perm_enable_weighted_blend": True,
        "perm_d2_weight": "0.5",
    }
    launch = read_launch(Arguments.model_validate(values).options())
    settings, config = launch.settings, launch.config
    assert (settings.lake.root, settings.host, settings.port) == (lake.root, "0.0.0.0", 8765)
    assert (settings.defaults.dt, settings.defaults.start_time) == ("2026-02-06", "09:25:10")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.allowed_hosts == ("desk.example", "b.example")
    assert (settings.token, settings.log_format, settings.assumes_symbol) == ("correct-horse-battery", "json", True)
    assert launch.scaling == Scaling(2, 5, 40)
    assert (config.perm_zscore_window_bins, config.perm_enable_weighted_blend, config.perm_d2_weight) == (90, True, 0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sybmol": "MNQH6"}, "unknown argument 'sybmol'; allowed are: product_type, symbol, lake"),
        ({"port": "many"}, "port"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"replicas": 0}, "greater than or equal to 1"),
        ({"perm_d1_weight": [1]}, r"perm_d1_weight was \[1\]; it must be one value"),
        ({"token": "correct-horse-battery"}, "unknown argument 'token'"),
    ],
)
def test_wrong_types_and_names_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Arguments.model_validate(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"symbol": "ESH4"}, "ESH4"),
        ({"log_level": "LOUD"}, "LOUD"),
        ({"model": "--help"}, "--model was '--help'"),
        ({"host": "0.0.0.0"}, "SPYMASTER_TOKEN"),
        ({"replicas": 3, "max_replicas": 2}, r"--max-replicas was 2; it must be --replicas \(3\) to 64"),
        ({"max_replicas": 65}, "--max-replicas was 65"),
        ({"streams_per_replica": 10}, "--streams-per-replica was 10, and the replicas do not change; give --max-replicas"),
        ({"max_replicas": 2, "streams_per_replica": 100_001}, "--streams-per-replica was 100001"),
    ],
)
def test_values_that_cannot_act_are_refused_in_one_line(lake: Lake, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read_launch(Arguments.model_validate({"lake": str(lake.root)} | values).options())
    assert "\n" not in str(caught.value)
