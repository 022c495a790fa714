"""A replay becomes a dataset that holds its bins bit for bit, and the recipe to make it again."""

from pathlib import Path

import numpy as np
import pytest

from engine.config import load_instrument
from engine.dataset.capture import publish_replay, publish_variant
from engine.files import sha256_file
from engine.lake import Lake
from engine.run.replay import Replay
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from engine.simulate.session import simulate
from engine.source.records import open_source

START, N_BINS = "09:00", 300


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "sim-20260206.mbo.dbn"
    simulate(path, seed=11, seconds=40.0, rate=300.0, start="2026-02-06T09:00")
    return path


def test_dataset_holds_the_replays_bins_bit_for_bit(session: Path, tmp_path: Path) -> None:
    config = load_instrument()
    seen: list[int] = []
    dataset = publish_replay(Lake(tmp_path), "a", [session], config, start_time=START, n_bins=N_BINS, progress=seen.append)
    blocks = list(Replay(open_source([session], config), config, START, N_BINS, block_bins=7))
    columns, bins = dataset.columns(list(GRID_COLUMNS)), dataset.bins()
    for name in GRID_COLUMNS:
        assert columns[name].tobytes() == np.concatenate([block.grid[name] for block in blocks]).tobytes(), name
    for name in BIN_DTYPE.names or ():
        assert bins[name].tobytes() == np.concatenate([block.bins[name] for block in blocks]).tobytes(), name
    assert seen[-1] == N_BINS


def test_manifest_names_source_and_recipe(session: Path, tmp_path: Path) -> None:
    config = load_instrument(overrides={"tau_velocity": 3.0})
    overrides = {"tau_velocity": 3.0}
    dataset = publish_replay(Lake(tmp_path), "a", [session], config, start_time=START, n_bins=N_BINS, overrides=overrides)
    (source,) = dataset.manifest["source_files"]
    assert source == {"path": str(session), "size": session.stat().st_size, "sha256": sha256_file(session)}
    assert (dataset.manifest["dt"], dataset.manifest["start_time"]) == ("2026-02-06", START)
    assert dataset.manifest["config_version"] == config.config_version
    assert dataset.manifest["config"]["tau_velocity"] == 3.0
    assert dataset.manifest["overrides"] == overrides
    assert dataset.manifest["runtime_model"]["name"] == "perm_derivative"


def test_a_variant_with_nothing_changed_is_the_same_dataset(session: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    base = publish_replay(lake, "a", [session], load_instrument(), start_time=START, n_bins=N_BINS)
    assert publish_variant(lake, "b", base, {}).checksum == base.checksum
    assert publish_variant(lake, "c", base, {"tau_velocity": 9.0}).checksum != base.checksum
