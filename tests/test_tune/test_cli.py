"""The door: exit codes, one line for each mistake, JSON where a table is printed. No Ray is started here."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from engine.dataset.read import Dataset
from engine.errors import EngineError
from engine.lake import Lake
from engine.signals.registry import get_signal
from tests.conftest import REPO_ROOT
from tests.test_tune.small_sweep import DATASET, finished_sweep
from tune.cli import main
from tune.errors import RunFailedError
from tune.results import ResultStore
from tune.trial import load_market, signal_series
from tune.walked import walk_again

Capture = pytest.CaptureFixture[str]


def refused(arguments: list[str], capsys: Capture) -> str:
    """The one line of a refusal."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_a_stale_address_of_the_environment_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert refused(["sweep", "--lake", str(tmp_path)], capsys) == (
        "python -m tune: the environment's RAY_ADDRESS was '127.0.0.1:1', where no Ray cluster answers; unset RAY_ADDRESS or use "
        "--address local"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 1}, "unknown key 'colour' in sweep.yaml, line 1; allowed there: name"),
        ({"signals": ["nope"]}, "signal 'nope' is not known; choose one of"),
        ({"sweep": {"per_signal": {"perm_derivative": {"windw": [1]}}}}, "unknown key 'windw'"),
        ({"sweep": {"per_signal": {"perm_derivative": {"tanh_scale": [0]}}}}, "tanh_scale was 0"),
        ({"datasets": ["gone"]}, "dataset 'gone' is not in"),
        ({"search": {"kind": "optuna"}}, "allowed are grid and random"),
    ],
)
def test_a_bad_sweep_file_is_refused_in_one_line_before_ray(
    lake: Lake, write_config: Callable[..., Path], capsys: Capture, changes: dict[str, object], words: str
) -> None:
    assert words in refused(["sweep", str(write_config(**changes)), "--lake", str(lake.root)], capsys)
    assert not lake.results.exists()


def test_bad_yaml_names_the_line(lake: Lake, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: a\n  b: [\n")
    assert "line 2" in refused(["sweep", str(path), "--lake", str(lake.root)], capsys)
    assert "does not exist" in refused(["sweep", str(tmp_path / "none.yaml"), "--lake", str(lake.root)], capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep", "--limit", "0"], "--limit was 0"),
        (["sweep", "--limit", "x"], "see python -m tune sweep --help"),
        (["sweep", "--resume", "gone"], "sweep was 'gone'"),
        (["sweep", "a.yaml", "--resume", "gone"], "leave CONFIG, --limit and --signals out"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["promote"], "exactly one of RUN_ID"),
        (["promote", "--best"], "--best and --sweep SWEEP belong together"),
        (["promote", "abc", "--rollback"], "exactly one of RUN_ID"),
        (["promote", "--none", "--rollback"], "exactly one of RUN_ID"),
        (["promote", "--none", "--threshold", "1"], "--threshold goes with RUN_ID only"),
        (["promote", "abc"], "has no such run"),
        (["promote", "--rollback"], "no earlier champion"),
        (["compare", "--signal", "nope"], "signal 'nope' is not known"),
        (["compare", "--dataset", "nope"], "no run of 'nope'"),
        (["compare", "--top", "0"], "--top 0"),
        (["score", "--signal", "perm_derivative", "--dataset-id", "gone", "--out", "x.parquet"], "'gone' is not in"),
        (["online-sim", "--signal", "nope", "--dataset-id", DATASET], "'nope' is not known"),
        (["online-sim", "--signal", "perm_derivative", "--dataset-id", DATASET, "--bin-budget-ms", "0"], "--bin-budget-ms was 0"),
        (["score", "--signal", "nope", "--dataset-id", "gone", "--out", "x.parquet"], "'nope' is not known"),
    ],
)
def test_a_users_mistake_is_one_line(lake: Lake, capsys: Capture, arguments: list[str], words: str) -> None:
    assert words in refused([*arguments, "--lake", str(lake.root)] if len(arguments) > 1 else arguments, capsys)


def test_score_writes_the_sweeps_series_bit_for_bit(lake: Lake, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "s.parquet"
    arguments = ["--signal", "perm_derivative", "--dataset-id", DATASET, "--set", "d2_weight=0.5", "--out", str(out)]
    assert main(["score", *arguments, "--lake", str(lake.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_bins"] == 2500
    table = pq.read_table(out)
    market = load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])
    series = signal_series("perm_derivative", {"d2_weight": 0.5}, market)
    assert table.column_names == ["bin_seq", "score", "ready"]
    assert table["score"].to_numpy().tobytes() == np.ascontiguousarray(series["score"]).tobytes()
    assert table["ready"].to_pylist() == series["ready"].tolist()
    assert json.loads(table.schema.metadata[b"parameters"])["d2_weight"] == 0.5


def test_compare_lists_the_best_runs(lake: Lake, capsys: Capture) -> None:
    assert main(["compare", "--lake", str(lake.root)]) == 0
    assert "run a sweep" in capsys.readouterr().out
    finished_sweep(lake)
    assert main(["compare", "--lake", str(lake.root), "--json", "--top", "3", "--sort", "tp_rate"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 3
    rates = [row["tp_rate"] for row in found]
    assert rates == sorted(rates, reverse=True)
    assert main(["compare", "--lake", str(lake.root), "--signal", "perm_derivative", "--min-signals", "100000"]) == 0
    assert "no run with 100000 trades" in capsys.readouterr().out


def test_compare_takes_the_runs_of_a_sweep_and_every_threshold(lake: Lake, capsys: Capture) -> None:
    first = finished_sweep(lake)
    finished_sweep(lake, name="other", eval={"tp_ticks": 3, "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100})

    def compared(*arguments: str) -> list[dict[str, Any]]:
        assert main(["compare", "--lake", str(lake.root), "--json", "--top", "1000", *arguments]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    assert {row["eval_tp_ticks"] for row in compared()} == {2.0, 3.0, 4.0}
    own = compared("--sweep", first)
    assert {row["eval_tp_ticks"] for row in own} == {2.0, 4.0}
    assert [row["run_id"] for row in compared("--sweep", "small")] == [row["run_id"] for row in own]
    each = compared("--sweep", first, "--each-threshold")
    bests = {row["run_id"]: row["threshold"] for row in reversed(each)}  # the first of each run in the order of rank
    assert len(each) > len(own)
    assert bests == {row["run_id"]: row["threshold"] for row in own}
    assert main(["compare", "--lake", str(lake.root), "--sweep", "nope"]) == 2
    assert "sweep was 'nope'" in capsys.readouterr().err


def test_trades_are_told_one_by_one_and_add_up_to_the_runs_row(lake: Lake, capsys: Capture) -> None:
    finished_sweep(lake)
    row = ResultStore(lake).rows().filter(pl.col("n_signals") > 20).row(0, named=True)
    asked = ["trades", row["run_id"], "--threshold", str(row["threshold"]), "--lake", str(lake.root)]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["trades"]) == row["n_signals"]
    assert sum(one["net_ticks"] for one in told["trades"]) / row["n_signals"] == pytest.approx(row["expectancy_ticks"])
    assert sum(one["direction"] > 0 for one in told["trades"]) == row["n_up"]
    assert main([*asked, "--built-in-only"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == row["n_signals"]
    assert last.startswith(f"run {row['run_id']} at threshold {row['threshold']:g}: {row['n_signals']} trades, net ")
    assert main(["trades", "0123456789abcdef", "--lake", str(lake.root)]) == 2
    assert "no such run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code_version": "another"}, "was scored by another version of perm_derivative (another, now "),
        ({"signal_name": "series:mine"}, "scores from outside, which are not kept"),
        ({"dataset_checksum": "0"}, "was scored on another dataset of the name random_walk"),
        ({"dataset_id": "gone"}, "gone"),
        ({"n_signals": 3}, "its row says 3"),
        ({"expectancy_ticks": 5.0}, "ticks net now; its row says"),
    ],
)
def test_a_run_that_cannot_be_made_again_has_no_trades(lake: Lake, change: dict[str, Any], words: str) -> None:
    finished_sweep(lake)
    row = ResultStore(lake).rows().filter(pl.col("n_signals") > 20).row(0, named=True)
    assert len(walk_again(lake, row).trades) == row["n_signals"]
    with pytest.raises((EngineError, RunFailedError), match=re.escape(words)):
        walk_again(lake, {**row, **change})


def test_lists(lake: Lake, capsys: Capture) -> None:
    assert main(["list-signals", "--json"]) == 0
    names = {signal["name"]: signal for signal in json.loads(capsys.readouterr().out)}
    assert {p["name"] for p in names["perm_derivative"]["parameters"]} >= {"zscore_window_bins", "d1_weight"}
    assert main(["list-datasets", "--lake", str(lake.root), "--json"]) == 0
    assert [row["dataset_id"] for row in json.loads(capsys.readouterr().out)] == [DATASET]


@pytest.mark.parametrize("command", ["", "sweep", "compare", "score", "online-sim", "promote", "list-signals", "list-datasets"])
def test_help_needs_no_heavy_import(command: str) -> None:
    code = (
        "import sys; from tune.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print('code', end.code)\n"
        "print('heavy', sorted({'ray', 'numba', 'mlflow', 'polars'} & set(sys.modules)))"
    )
    arguments = [argument for argument in (command, "--help") if argument]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "usage: python -m tune" in done.stdout
    assert done.stdout.endswith("code 0\nheavy []\n")


def test_the_script_is_the_door_and_says_how_to_install(tmp_path: Path) -> None:
    script = REPO_ROOT / "tune" / "sweep.py"
    done = subprocess.run([sys.executable, script, "--limit", "0"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    bare = subprocess.run([sys.executable, "-S", "-I", script], capture_output=True, text=True, cwd=tmp_path)
    assert bare.returncode == 1
    assert "make setup" in bare.stderr
    assert "Traceback" not in bare.stderr
