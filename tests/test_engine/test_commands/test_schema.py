"""The schemas of our YAML files: valid, described, and of one mind with what reads the files."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
import yaml
from jsonschema import Draft202012Validator

from engine.campaign.plan import expand_variants, load_campaign
from engine.commands.schema import MODELS, file_schema
from engine.config import DEFAULT_INSTRUMENT, load_instrument
from engine.door import version
from engine.errors import ConfigError
from engine.front import FILES, main
from tests.conftest import REPO_ROOT
from tune.config import read_sweep_config
from tune.variants import variant_combinations

SHIPPED_IN = ("engine", "tune", "serve", "lake/research/vp_harness/configs")


class EditorsLoader(yaml.SafeLoader):
    """YAML as an editor's server reads it: version 1.2, in which a day is a text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def kind_of(values: dict[str, Any]) -> str:
    """Which of our files this is."""
    if "base_capture" in values:
        return "campaign"
    return "sweep" if "signals" in values else "instrument"


def shipped() -> Iterator[Path]:
    """Every YAML file of a user's that we ship; the exchange's calendar is none."""
    for folder in SHIPPED_IN:
        yield from sorted(set((REPO_ROOT / folder).rglob("*.yaml")) - {REPO_ROOT / "engine/calendar.yaml"})


def read_sweep(path: Path) -> None:
    """All that a sweep file is checked for before a lake is opened."""
    for overrides in variant_combinations(read_sweep_config(path)):
        load_instrument(overrides=overrides)


READ: dict[str, Callable[[Path], object]] = {
    "sweep": read_sweep,
    "campaign": lambda path: expand_variants(load_campaign(path)),
    "instrument": load_instrument,
}
WHOLE: dict[str, dict[str, Any]] = {
    "sweep": {
        "name": "mine",
        "datasets": ["one"],
        "signals": ["perm_derivative"],
        "grid_variant": {"cell_width_ms": [100, 200], "tau_velocity": 2.0, "spectrum_windows": [[5, 10, 20, 40], [3, 6, 9, 12]]},
        "eval": {"tp_ticks": [8, 12], "sl_ticks": 4, "n_folds": 23, "fill": "touch", "fee_per_contract": 0},
        "sweep": {"universal": {"cooldown_bins": 30}, "per_signal": {"perm_derivative": {"d2_weight": [0.0, 1]}}},
        "search": {"kind": "random", "n_trials": 1, "seed": 7},
        "parallel": {"max_workers": 1, "timeout_seconds": 0.5},
        "tracking": {"backend": "none", "tags": {"desk": 4, "is_new": True}},
        "online_sim": {"signals": [], "warmup_bins": 0},
    },
    "campaign": {
        "name": "mine",
        "base_capture": {
            "product_type": "future_mbo",
            "symbol": "MNQH6",
            "dt": "2026-02-06",
            "capture_start_et": "09:25:00",
            "capture_end_et": "10:25:00",
        },
        "sweep_axes": {"cell_width_ms": [100, 200], "spectrum_windows": [[5, 10, 20, 40]]},
        "bundles": [{"tau_velocity": 2.0}, {"tau_velocity": 1e-9, "c1_v_add": 0}],
    },
    "instrument": yaml.safe_load(DEFAULT_INSTRUMENT.read_text()),
}
MISSING = object()


def judged(kind: str, changes: dict[str, Any], folder: Path) -> tuple[bool, bool]:
    """Whether the schema and whether the reader takes a whole file with some values changed; a key is ``eval.tp_ticks``."""
    values = copy.deepcopy(WHOLE[kind])
    for place, value in changes.items():
        *above, key = place.split(".")
        within: Any = values
        for name in above:
            within = within[int(name) if isinstance(within, list) else name]
        if value is MISSING:
            del within[key]
        elif isinstance(within, list):
            within[int(key)] = value
        else:
            within[key] = value
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(values))
    is_valid = Draft202012Validator(file_schema(kind)).is_valid(yaml.load(path.read_text(), EditorsLoader))
    try:
        READ[kind](path)
    except ConfigError:
        return is_valid, False
    return is_valid, True


@pytest.mark.parametrize("kind", FILES)
def test_a_schema_is_valid_and_says_what_it_is_of(kind: str) -> None:
    schema = file_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"Spymaster {kind} file"
    assert schema["$id"].endswith(f":{kind}:{version()}")
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("kind", FILES)
def test_every_key_is_described(kind: str) -> None:
    schema = file_schema(kind)
    parts = {kind: schema, **schema.get("$defs", {})}
    bare = [
        f"{part}.{key}"
        for part, values in parts.items()
        for key, value in values["properties"].items()
        if not ("description" in value or "$ref" in json.dumps(value))
    ]
    assert bare == []
    assert [part for part, values in parts.items() if not values.get("description")] == []


def test_there_is_a_schema_of_every_kind() -> None:
    assert set(FILES) == set(MODELS) == {kind_of(yaml.safe_load(path.read_text())) for path in shipped()}


@pytest.mark.parametrize("path", list(shipped()), ids=lambda path: str(path.relative_to(REPO_ROOT)))
def test_every_file_that_ships_is_valid(path: Path) -> None:
    values = yaml.load(path.read_text(), EditorsLoader)
    assert [error.message for error in Draft202012Validator(file_schema(kind_of(values))).iter_errors(values)] == []


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((kind, {}) for kind in FILES),
        ("sweep", {"eval.tp_ticks": 8}),
        ("sweep", {"eval.tp_ticks": [0.25]}),
        ("sweep", {"eval.tick_size": None}),
        ("sweep", {"sweep.universal": None}),
        ("sweep", {"sweep.universal": {"cooldown_bins": [30, 100]}}),
        ("sweep", {"sweep.per_signal.perm_derivative": None}),
        ("sweep", {"grid_variant": {}}),
        ("sweep", {"grid_variant.cell_width_ms": 3_600_000}),
        ("sweep", {"online_sim": None}),
        ("sweep", {"name": "x" * 100}),
        ("campaign", {"sweep_axes": MISSING, "bundles": MISSING}),
        ("campaign", {"base_capture.capture_end_et": "23:59:59"}),
        ("campaign", {"bundles": [{}]}),
        ("campaign", {"bundles.0.projection_use_cubic": True}),
        ("campaign", {"sweep_axes.projection_use_cubic": [True, False]}),
        ("instrument", {"perm_d2_weight": 0}),
        ("instrument", {"c1_v_add": 1e100}),
        ("instrument", {"zscore_min_periods": 2}),
    ],
)
def test_schema_and_reader_take_it(kind: str, changes: dict[str, Any], tmp_path: Path) -> None:
    assert judged(kind, changes, tmp_path) == (True, True)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("sweep", {"colour": 1}),
        ("sweep", {"eval.colour": 1}),
        ("sweep", {"name": MISSING}),
        ("sweep", {"name": "two words"}),
        ("sweep", {"name": "x" * 101}),
        ("sweep", {"datasets": []}),
        ("sweep", {"datasets": "one"}),
        ("sweep", {"signals": [""]}),
        ("sweep", {"eval.tp_ticks": 0}),
        ("sweep", {"eval.tp_ticks": []}),
        ("sweep", {"eval.tp_ticks": ["many"]}),
        ("sweep", {"eval.n_folds": 24}),
        ("sweep", {"eval.max_hold_bins": 1.5}),
        ("sweep", {"eval.fill": "anywhere"}),
        ("sweep", {"eval": None}),
        ("sweep", {"sweep.universal": {"cooldown_bins": []}}),
        ("sweep", {"sweep.per_signal": {"perm_derivative": {"d2_weight": []}}}),
        ("sweep", {"search.kind": "optuna"}),
        ("sweep", {"search.n_trials": 0}),
        ("sweep", {"parallel.max_workers": 0}),
        ("sweep", {"tracking.tags": {"desk": [1]}}),
        ("sweep", {"grid_variant": {"tau_velocty": 2.0}}),
        ("sweep", {"grid_variant.tau_velocity": [2.0, -1.0]}),
        ("sweep", {"grid_variant.spectrum_windows": [5, 10, 20, 40]}),
        ("campaign", {"colour": 1}),
        ("campaign", {"name": "--"}),
        ("campaign", {"base_capture.dt": "tomorrow"}),
        ("campaign", {"base_capture.dt": 20260206}),
        ("campaign", {"base_capture.capture_start_et": "9:25"}),
        ("campaign", {"base_capture.capture_start_et": "24:00:00"}),
        ("campaign", {"base_capture.symbol": MISSING}),
        ("campaign", {"sweep_axes": {"tau_velocty": [2.0]}}),
        ("campaign", {"sweep_axes.cell_width_ms": []}),
        ("campaign", {"sweep_axes.cell_width_ms": 100}),
        ("campaign", {"sweep_axes.cell_width_ms": [0]}),
        ("campaign", {"bundles": []}),
        ("campaign", {"bundles.0.tau_velocity": 1e-10}),
        ("campaign", {"bundles.0": {"state5_table": "theirs"}}),
        ("instrument", {"colour": 1}),
        ("instrument", {"symbol": MISSING}),
        ("instrument", {"tick_size": 0}),
        ("instrument", {"price_scale": 1.0e-8}),
        ("instrument", {"cell_width_ms": "wide"}),
        ("instrument", {"c1_v_add": 2e100}),
        ("instrument", {"spectrum_windows": []}),
        ("instrument", {"spectrum_derivative_weights": [1.0, 1.0]}),
        ("instrument", {"rate_kernel": "other"}),
        ("instrument", {"perm_runtime_enabled": "perhaps"}),
    ],
)
def test_schema_and_reader_refuse_it(kind: str, changes: dict[str, Any], tmp_path: Path) -> None:
    assert judged(kind, changes, tmp_path) == (False, False)


# The command


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "campaign"]) == 0
    assert json.loads(capsys.readouterr().out) == file_schema("campaign")


def test_the_header_names_the_file_that_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two words" / "sweep.json"
    assert main(["schema", "sweep", "--out", str(path), "--header"]) == 0
    line = capsys.readouterr().out
    key, _, uri = line.rstrip("\n").partition("$schema=")
    assert key == "# yaml-language-server: "
    assert " " not in uri  # where the editors' server would end it
    assert json.loads(Path(url2pathname(urlsplit(uri).path)).read_text()) == file_schema("sweep")


def test_the_header_alone_names_a_file_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "instrument", "--header"]) == 0
    assert capsys.readouterr().out == "# yaml-language-server: $schema=instrument.schema.json\n"


def test_a_written_schema_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "instrument.json"
    assert main(["schema", "instrument", "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: what an instrument file may hold\n"
    assert json.loads(path.read_text()) == file_schema("instrument")
