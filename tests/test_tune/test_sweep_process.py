"""Whole sweeps as a user starts them: killed and resumed, stopped by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.lake import Lake
from tests.blocks import publish_random
from tests.conftest import REPO_ROOT
from tests.own_signals import write_with_helper
from tests.processes import marked
from tests.test_tune.small_sweep import DATASET, evaluated, points_of
from tune.beside import with_luck
from tune.leaderboard import rank, records
from tune.ledger import TrialLedger
from tune.results import ResultStore
from tune.run import read_state

pytestmark = pytest.mark.timeout(280)

# Long enough to be stopped on the way: every point has a series of its own.
SWEEP = {"per_signal": {"perm_derivative": {"zscore_window_bins": list(range(1000, 1300))}}}
EVAL = {"tp_ticks": 4, "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100}
N_POINTS = 300


@dataclass
class Sweep:
    """A sweep's process; ``mark`` stands in the environment of it and of everything it starts."""

    process: subprocess.Popen[str]
    mark: str

    def until(self, word: str) -> str:
        """Read its progress until a line holds ``word``."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if word in line:
                return line
        raise AssertionError(f"ended without {word!r}: {''.join(seen)}")

    def left(self) -> dict[int, str]:
        """What it left running, after the time that Ray gives its own processes to notice."""
        deadline = time.monotonic() + 30
        while (found := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)  # nothing announces the end of a process that is not our child
        return found


@pytest.fixture
def start(lake: Lake) -> Iterator[Callable[..., Sweep]]:
    """Start ``python tune/sweep.py`` in the lake."""
    begun: list[Sweep] = []

    def run(*arguments: str) -> Sweep:
        mark = f"SPYMASTER_TEST_MARK={uuid.uuid4().hex}"
        name, value = mark.split("=")
        process = subprocess.Popen(
            [sys.executable, str(REPO_ROOT / "tune" / "sweep.py"), *arguments, "--lake", str(lake.root), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, name: value},
        )
        begun.append(Sweep(process, mark))
        return begun[-1]

    yield run
    for sweep in begun:
        for pid in marked(sweep.mark):
            os.kill(pid, signal.SIGKILL)
        sweep.process.communicate()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    publish_random(lake, DATASET, n_bins=20_000, radius=5, seed=7)
    return lake


@pytest.mark.slow
def test_killed_midway_and_resumed_equals_an_undisturbed_run(
    lake: Lake, start: Callable[..., Sweep], write_config: Callable[..., Path]
) -> None:
    sweep = start(str(write_config(sweep=SWEEP, eval=EVAL)))
    sweep_id = sweep.until("sweep ").split()[1].rstrip(":")
    sweep.until(f"/{N_POINTS} points")
    sweep.process.kill()
    sweep.process.wait()
    kept = ResultStore(lake).run_ids()
    assert 0 < len(kept) < N_POINTS

    resumed = start("--resume", sweep_id)
    output, errors = resumed.process.communicate()
    assert resumed.process.returncode == 0, errors
    report = json.loads(output)
    assert (report["sweep_id"], report["n_points"], report["n_reused"]) == (sweep_id, N_POINTS, len(kept))
    points = points_of(lake, sweep=SWEEP, eval=EVAL)
    assert read_state(lake, sweep_id).run_ids == [point.run_id for point in points]

    undisturbed = Lake(lake.root.parent / "undisturbed")
    common = {"sweep_id": "u", "experiment_name": "", "config_hash": "", "timestamp_utc": ""}
    ResultStore(undisturbed).append(evaluated(lake, points), **common)
    rows, trials = ResultStore(undisturbed).rows(), TrialLedger(lake).trials()
    expected = with_luck(rank(rows, "oos_expectancy_low", 5), rows, trials, 5).ranking
    assert report["leaderboard"] == records(expected)
    assert {row["n_trials"] for row in report["leaderboard"]} == {len(rows)}  # each once, the killed run's included
    parts = sum(1 for _ in ResultStore(lake).meta_dir.glob("part-*.parquet"))
    assert len(ResultStore(lake).meta()) == N_POINTS
    assert parts == 1  # what both runs wrote, put together at the end
    assert sweep.left() == {}
    assert resumed.left() == {}


@pytest.mark.slow
def test_killed_and_resumed_with_a_signal_of_ones_own_whose_file_has_changed_since(
    lake: Lake, start: Callable[..., Sweep], write_config: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_with_helper(tmp_path / "own")
    windows = {"per_signal": {"mine": {"window_bins": list(range(1000, 1300))}}}
    config = write_config(signals=["mine"], signal_files=["own/mine.py"], sweep=windows, eval=EVAL)
    sweep = start(str(config))
    sweep_id = sweep.until("sweep ").split()[1].rstrip(":")
    sweep.until(f"/{N_POINTS} points")
    sweep.process.kill()
    sweep.process.wait()
    kept = ResultStore(lake).run_ids()
    assert 0 < len(kept) < N_POINTS
    write_with_helper(tmp_path / "own", "3.0")

    resumed = start("--resume", sweep_id)
    output, errors = resumed.process.communicate()
    assert resumed.process.returncode == 0, errors
    assert f"{path} has changed since this sweep began: the sweep goes on with the code it began with" in errors
    report = json.loads(output)
    assert (report["n_points"], report["n_reused"], report["failures"]) == (N_POINTS, len(kept), [])
    assert ResultStore(lake).meta().get_column("code_version").n_unique() == 1


def test_ctrl_c_ends_it_cleanly_and_leaves_no_process(
    lake: Lake, start: Callable[..., Sweep], write_config: Callable[..., Path]
) -> None:
    sweep = start(str(write_config(sweep=SWEEP, eval=EVAL)))
    sweep_id = sweep.until("sweep ").split()[1].rstrip(":")
    sweep.until(f"/{N_POINTS} points")
    sweep.process.send_signal(signal.SIGINT)
    _, errors = sweep.process.communicate()
    assert sweep.process.returncode == 130, errors
    assert f"--resume {sweep_id}" in errors
    assert "Traceback" not in errors
    assert 0 < len(ResultStore(lake).run_ids()) < N_POINTS
    assert sweep.left() == {}
