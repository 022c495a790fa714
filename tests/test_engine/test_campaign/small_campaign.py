"""A small campaign over the simulated session: four variants of ten seconds."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from engine.lake import Lake


def campaign_values(**changes: Any) -> dict[str, Any]:
    """Content of a campaign file: two axes of two values."""
    values: dict[str, Any] = {
        "name": "Small one",
        "base_capture": {
            "product_type": "future_mbo",
            "symbol": "MNQH6",
            "dt": "2026-02-06",
            "capture_start_et": "09:00:05",
            "capture_end_et": "09:00:15",
        },
        "sweep_axes": {"cell_width_ms": [100, 200], "tau_velocity": [1.0, 2.0]},
    }
    return {**values, **changes}


def write_campaign(folder: Path, **changes: Any) -> Path:
    """A campaign file with some keys changed."""
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign_values(**changes)))
    return path


def lake_with(raw: Path, root: Path) -> Lake:
    """A lake that holds one raw file of MNQ."""
    lake = Lake(root)
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True)
    shutil.copy(raw, folder / raw.name)
    return lake
