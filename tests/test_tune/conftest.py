"""A lake with one small dataset of random bins, and a sweep file over it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.lake import Lake
from tests.blocks import publish_random
from tests.test_tune.small_sweep import DATASET, sweep_values


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
