"""Datasets made on the way to a sweep, from a real simulated session."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from engine.config import load_instrument
from engine.dataset.capture import publish_replay
from engine.dataset.read import Dataset
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake
from engine.simulate.session import simulate
from tests.test_tune.small_sweep import resolutions, sweep_values
from tune.config import SweepConfig, parse_sweep_config
from tune.run import plan_sweep
from tune.space import build_points
from tune.variants import variant_combinations, with_variants


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Dataset]:
    folder = tmp_path_factory.mktemp("variants")
    path = folder / "sim-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=30.0, rate=300.0, start="2026-02-06T09:00")
    lake = Lake(folder / "lake")
    return lake, publish_replay(lake, "base", [path], load_instrument(), start_time="09:00", n_bins=200)


def config(**variant: object) -> SweepConfig:
    return parse_sweep_config(sweep_values(datasets=["base"], grid_variant=variant, eval={"warmup_bins": 50}), "test")


def test_each_combination_becomes_a_dataset_once(replayed: tuple[Lake, Dataset]) -> None:
    lake, base = replayed
    wanted = config(tau_velocity=[1.0, 4.0], cell_width_ms=200)
    assert len(variant_combinations(wanted)) == 2
    said: list[str] = []
    found = with_variants(wanted, [base], lake, said.append)
    assert [variant for _, variant in found][0] == "immutable"
    assert [dataset.manifest["overrides"].get("tau_velocity") for dataset, _ in found] == [None, 1.0, 4.0]
    assert [dataset.n_bins for dataset, _ in found] == [200, 100, 100]  # the same span in wider bins
    assert len({dataset.checksum for dataset, _ in found}) == 3
    assert len(said) == 2
    again = with_variants(wanted, [base], lake, said.append)
    assert len(said) == 2
    assert [dataset.dataset_id for dataset, _ in again] == [dataset.dataset_id for dataset, _ in found]
    points = build_points(wanted, found)
    assert {point.grid_variant_id for point in points} == {variant for _, variant in found}


def test_variants_do_not_ask_again_what_a_signal_is(replayed: tuple[Lake, Dataset]) -> None:
    lake, base = replayed
    wanted = config(tau_velocity=[1.0, 4.0], cell_width_ms=200)
    with resolutions() as asked:
        points, datasets, _ = plan_sweep(wanted, lake, print)
    assert asked == ["perm_derivative"]
    assert len(datasets) == len({point.dataset_id for point in points}) == 3
    assert points == build_points(wanted, with_variants(wanted, [base], lake, print))


def test_bad_fields_are_refused_before_anything_is_made(replayed: tuple[Lake, Dataset]) -> None:
    lake, base = replayed
    before = sorted(path.name for path in lake.datasets.iterdir())
    for variant, word in (({"tau": 1}, "unknown key 'tau'"), ({"tau_jerk": [3.0, -1.0]}, "tau_jerk was -1")):
        with pytest.raises(ConfigError, match=word):
            with_variants(config(**variant), [base], lake, print)
    assert sorted(path.name for path in lake.datasets.iterdir()) == before


def test_a_source_that_has_changed_is_refused(replayed: tuple[Lake, Dataset], tmp_path: Path) -> None:
    lake, base = replayed
    path = Path(base.manifest["source_files"][0]["path"])
    content = path.read_bytes()
    path.write_bytes(content[:-56])
    try:
        with pytest.raises(DatasetError, match="no longer the same file"):
            with_variants(config(tau_velocity=3.0), [base], lake, print)
    finally:
        path.write_bytes(content)


def test_each_base_has_variants_of_its_own_named_by_what_they_are_made_of(replayed: tuple[Lake, Dataset]) -> None:
    lake, base = replayed
    source = Path(base.manifest["source_files"][0]["path"])
    short = publish_replay(lake, "short", [source], load_instrument(), start_time="09:00", n_bins=150)
    found = with_variants(config(tau_velocity=[3.0, 5.0]), [base, short], lake, print)
    assert [(dataset.n_bins, dataset.manifest["overrides"].get("tau_velocity")) for dataset, _ in found] == [
        (200, None),
        (150, None),
        (200, 3.0),
        (200, 5.0),
        (150, 3.0),
        (150, 5.0),
    ]
    for (dataset, variant), parent in zip(found[2:], [base, base, short, short], strict=True):
        recipe = json.dumps([parent.checksum, dataset.manifest["config_version"]])
        assert variant == sha256(recipe.encode()).hexdigest()[:8]
        assert dataset.dataset_id == f"{parent.dataset_id}__{variant}"
    assert len({variant for _, variant in found}) == 5  # the bases have none
