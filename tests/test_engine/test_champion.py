from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.champion import (
    Champion,
    history,
    move_pointer,
    pointer_path,
    read_champion,
    read_pointer,
    roll_back,
    version_path,
    versions,
    write_champion,
)
from engine.errors import ChampionError
from engine.lake import Lake


def make(version: int, **changes: Any) -> Champion:
    values: dict[str, Any] = {
        "version": version,
        "signal": "perm_derivative",
        "parameters": {"zscore_window_bins": 300, "tanh_scale": 1e-12 / 3, "enable_weighted_blend": False},
        "thresholds": (0.1,),
        "cooldown_bins": 30,
        "dataset_id": "a",
        "dataset_checksum": "ab" * 32,
        "evaluation": {"tp_ticks": 8, "sl_ticks": 4},
        "metrics": {"mean_pnl_ticks": 0.1 + 0.2, "tp_rate": None},
        "sweep": "s",
        "run_id": f"run{version}",
        "config_version": "0123456789ab",
        "state5_table": "reference",
        "cell_width_ms": 100,
        "grid_radius_ticks": 50,
        "code_version": "cd" * 8,
        "created_at": "2026-02-06T15:00:00+00:00",
    }
    return Champion(**{**values, **changes})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_champion_comes_back_exactly(lake: Lake) -> None:
    write_champion(lake, make(1))
    back = read_champion(lake, 1)
    assert back == make(1)
    assert type(back.parameters["enable_weighted_blend"]) is bool
    assert type(back.parameters["zscore_window_bins"]) is int


def test_a_version_is_never_overwritten(lake: Lake) -> None:
    write_champion(lake, make(1))
    with pytest.raises(ChampionError, match=r"version 1 exists .* next free one is 2"):
        write_champion(lake, make(1, signal="other"))
    assert read_champion(lake, 1).signal == "perm_derivative"
    assert version_path(lake, 1).stat().st_mode & 0o222 == 0


def test_no_champion_yet(lake: Lake) -> None:
    assert read_pointer(lake).version is None
    assert history(lake) == []
    with pytest.raises(ChampionError, match="promote a run"):
        read_champion(lake)
    with pytest.raises(ChampionError, match="no earlier champion"):
        roll_back(lake)


def test_pointer_moves_and_its_etag_with_it(lake: Lake) -> None:
    for version in (1, 2):
        write_champion(lake, make(version))
    first = move_pointer(lake, 1)
    assert read_champion(lake).run_id == "run1"
    second = move_pointer(lake, 2)
    assert read_champion(lake).run_id == "run2"
    assert first.etag != second.etag
    assert second.trail == (1,)
    assert versions(lake) == [1, 2]


def test_none_is_in_service_like_a_version_and_is_rolled_back_like_one(lake: Lake) -> None:
    for version in (1, 2):
        write_champion(lake, make(version))
    assert (move_pointer(lake, 1).trail, read_pointer(lake).etag != "") == ((), True)
    none = move_pointer(lake, None)
    assert (none.version, none.trail) == (None, (1,))
    assert none.etag
    with pytest.raises(ChampionError, match="promote a run"):
        read_champion(lake)
    assert roll_back(lake).version == 1
    move_pointer(lake, None)
    assert move_pointer(lake, 2).trail == (1, None)
    assert (roll_back(lake).version, read_pointer(lake).trail) == (None, (1,))
    assert move_pointer(lake, None).trail == (1,)  # it serves already
    assert roll_back(lake).version == 1
    with pytest.raises(ChampionError, match="promote --none"):
        roll_back(lake)


def test_rollback_returns_along_the_trail_and_skips_what_was_rolled_back(lake: Lake) -> None:
    for version in (1, 2, 3, 4):
        write_champion(lake, make(version))
    for version in (1, 2, 3):
        move_pointer(lake, version)
    assert roll_back(lake).version == 2
    move_pointer(lake, 4)
    assert roll_back(lake).version == 2
    assert roll_back(lake).version == 1
    with pytest.raises(ChampionError, match="no earlier champion"):
        roll_back(lake)
    assert read_pointer(lake).version == 1


def test_pointer_refuses_unknown_and_damaged_versions_and_stays(lake: Lake) -> None:
    write_champion(lake, make(1))
    move_pointer(lake, 1)
    with pytest.raises(ChampionError, match=r"version was 9; .* holds 1"):
        move_pointer(lake, 9)
    (lake.models / "champion-000002.yaml").write_text("signal: [")
    with pytest.raises(ChampionError, match="not valid YAML"):
        move_pointer(lake, 2)
    assert read_pointer(lake).version == 1


def test_a_champion_edited_after_promotion_is_refused(lake: Lake) -> None:
    write_champion(lake, make(1))
    move_pointer(lake, 1)
    path = version_path(lake, 1)
    path.chmod(0o644)
    path.write_text(path.read_text().replace("cooldown_bins: 30", "cooldown_bins: 31"))
    with pytest.raises(ChampionError, match="not as it was promoted"):
        read_champion(lake)


def test_unknown_and_bad_fields_name_the_field(lake: Lake) -> None:
    content = make(1).model_dump(mode="json")
    lake.models.mkdir(parents=True, exist_ok=True)
    for change, word in (({"colour": 1}, "colour"), ({"cell_width_ms": -1}, "cell_width_ms was -1")):
        version_path(lake, 1).write_text(yaml.safe_dump({**content, **change}))
        with pytest.raises(ChampionError, match=word):
            read_champion(lake, 1)


def test_a_foreign_pointer_file_is_refused(lake: Lake) -> None:
    lake.models.mkdir(parents=True, exist_ok=True)
    pointer_path(lake).write_text("version: one\n")
    with pytest.raises(ChampionError, match="must hold version, sha256 and trail"):
        read_pointer(lake)
