"""A lake with one small dataset of random bins, and a sweep file over it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.lake import Lake
from engine.ray_environment import prepare_ray_environment
from tests.blocks import publish_random
from tests.test_tune.small_sweep import DATASET, OWN_AXES, sweep_values
from tune.registry import ChampionRegistry


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    publish_random(lake, DATASET, n_bins=2500, radius=5, seed=7)
    return lake


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep file with some keys changed."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(sweep_values(**changes)))
        return path

    return write


@pytest.fixture(scope="module")
def own_ray() -> Iterator[str]:
    """A Ray that the tests of a module share; its dashboard's address."""
    prepare_ray_environment(is_own=True)
    from tune.search import ray_session

    with ray_session("local", 2, 64 << 20) as dashboard:
        yield dashboard


@pytest.fixture
def own_sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """A sweep of four points of a signal ``mine``, whose file lies in a folder beside it."""

    def write(**changes: Any) -> Path:
        values = {"signals": ["mine"], "signal_files": ["signals/mine.py"], "sweep": OWN_AXES}
        path = tmp_path / "here" / "sweep.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(sweep_values(**{**values, **changes})))
        return path

    return write


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty registry; making one takes seconds, copying it does not."""
    lake = Lake(tmp_path_factory.mktemp("registry"))
    ChampionRegistry(lake)
    return (lake.mlflow / "mlflow.db").read_bytes()
