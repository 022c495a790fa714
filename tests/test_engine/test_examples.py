"""The examples run as they are told to be run: as scripts, in a folder that holds nothing."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import engine
import tune
from tests.conftest import REPO_ROOT

EXAMPLES = REPO_ROOT / "engine" / "examples"
TESTED_AS_SIGNALS = {"my_signal.py", "signal_template.py"}


def run(name: str, folder: Path, *words: str) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words], cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_script_is_run_here() -> None:
    scripts = {"replay_a_file.py", "judge_an_idea.py", "walk.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == scripts | TESTED_AS_SIGNALS


def test_a_file_is_replayed_and_summed_by_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = engine.simulate_session(tmp_path / "two_20260206.dbn", seed=3, seconds=4.0)
    bins = engine.replay(file).whole().to_polars(["buy_volume", "sell_volume"])
    monkeypatch.setenv("POLARS_FMT_MAX_ROWS", "-1")
    printed = run("replay_a_file.py", tmp_path, str(file), "MNQH6")
    rows = [[cell.strip() for cell in line.strip("│").split("┆")] for line in printed.splitlines() if line.startswith("│ 2026")]
    assert len(rows) == 4
    assert [row[0][-8:] for row in rows] == ["14:00:00", "14:00:01", "14:00:02", "14:00:03"]
    assert sum(int(row[1]) for row in rows) == bins["buy_volume"].sum()
    assert sum(int(row[2]) for row in rows) == bins["sell_volume"].sum()


def test_an_idea_is_judged_and_kept(tmp_path: Path) -> None:
    printed = run("judge_an_idea.py", tmp_path)
    assert "series:resting_imbalance on example" in printed
    found = tune.compare(tmp_path / "lake", min_signals=1)
    assert set(found["signal_name"]) == {"series:resting_imbalance"}
    assert run("judge_an_idea.py", tmp_path, "example") == printed  # the same run, found again
    assert tune.compare(tmp_path / "lake", min_signals=1).equals(found)


def test_the_walk_goes_from_a_file_to_two_judged_runs(tmp_path: Path) -> None:
    run("walk.py", tmp_path, "--", "--lake", str(tmp_path / "kept"))
    assert engine.list_datasets(tmp_path / "kept").select("dataset_id", "n_bins").rows() == [("walk", 9000)]
    found = tune.compare(tmp_path / "kept", min_signals=1)
    assert set(found["signal_name"]) == {"series:resting_imbalance", "series:touch_flow"}
    assert found.filter(pl.col("dataset_id") != "walk").is_empty()
    assert not (tmp_path / "lake").exists()
