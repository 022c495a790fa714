"""A sweep without anything missing needs no Ray: what it shows and keeps, and what tracking may and may not do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.lake import Lake
from engine.signals.registry import signal_names
from tests.blocks import publish_plain
from tests.test_tune.small_sweep import finished_sweep, resolutions, sweep_values
from tune.cli import main
from tune.config import parse_sweep_config
from tune.run import plan_sweep, read_state, run_sweep
from tune.screen import Screen
from tune.trial import load_market

Capture = pytest.CaptureFixture[str]


def test_a_sweep_begun_twice_computes_nothing_the_second_time(
    lake: Lake, write_config: Callable[..., Path], capsys: Capture
) -> None:
    finished_sweep(lake)
    assert main(["sweep", str(write_config()), "--lake", str(lake.root), "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report["n_points"], report["n_reused"], report["failures"]) == (8, 8, [])
    assert len(report["leaderboard"]) == 8
    assert "8 points, 8 known already" in captured.err
    assert "dashboard" not in captured.err


def test_limit_takes_the_first_points_and_is_kept_for_resume(
    lake: Lake, write_config: Callable[..., Path], capsys: Capture
) -> None:
    finished_sweep(lake)
    assert main(["sweep", str(write_config()), "--lake", str(lake.root), "--json", "--limit", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n_points"] == 3
    assert main(["sweep", "--resume", report["sweep_id"], "--lake", str(lake.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["leaderboard"] == report["leaderboard"]


def test_the_table_is_for_people(lake: Lake, write_config: Callable[..., Path], capsys: Capture) -> None:
    finished_sweep(lake)
    assert main(["sweep", str(write_config()), "--lake", str(lake.root)]) == 0
    text = capsys.readouterr().out
    assert "best runs, random_walk, perm_derivative" in text
    assert "zscore_window_bins=200" in text
    assert "python -m tune promote --best --sweep small_" in text


def test_no_run_that_can_be_ranked_says_so(lake: Lake, write_config: Callable[..., Path], capsys: Capture) -> None:
    finished_sweep(lake)
    rules = {"tp_ticks": [2, 4], "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100, "min_signals": 10**6}
    assert main(["sweep", str(write_config(eval=rules)), "--lake", str(lake.root)]) == 0
    assert "no run took enough trades" in capsys.readouterr().out


def test_tracking_that_fails_is_one_line_and_loses_nothing(
    lake: Lake, write_config: Callable[..., Path], capsys: Capture
) -> None:
    finished_sweep(lake)
    tracking = {"backend": "mlflow", "tracking_uri": "nosuchscheme://host"}
    assert main(["sweep", str(write_config(tracking=tracking)), "--lake", str(lake.root), "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["leaderboard"]) == 8
    (line,) = [line for line in captured.err.splitlines() if "tracking failed" in line]
    assert "nosuchscheme" in line


def test_changed_data_under_a_sweep_is_said(lake: Lake, write_config: Callable[..., Path], capsys: Capture) -> None:
    sweep_id = finished_sweep(lake)
    state = read_state(lake, sweep_id)
    changed = type(state)(**{**vars(state), "run_ids": ["0" * 16]})
    with Screen() as screen:
        outcome = run_sweep(changed, lake, "local", screen)
    assert "have changed since this sweep began" in capsys.readouterr().err
    assert outcome.n_points == 8


def test_planning_asks_once_what_each_signal_is(lake: Lake) -> None:
    publish_plain(lake, "wide", n_bins=4000, radius=50, seed=7)
    publish_plain(lake, "wide2", n_bins=4000, radius=50, seed=8)
    rules = {"tp_ticks": [2, 4], "sl_ticks": 2, "warmup_bins": 100}
    values = sweep_values(signals=["all"], datasets=["wide", "wide2"], eval=rules)
    config = parse_sweep_config(values, "test")
    with resolutions() as asked:
        points, datasets, signals = plan_sweep(config, lake, print)
        for dataset in datasets.values():
            market = load_market(dataset, [signal.signal_class for signal in signals])
    assert sorted(asked) == signal_names()
    assert {"spectrum_score", "pressure_variant", "perm_state5_code"} <= market.columns.keys()
    assert list(datasets) == ["wide", "wide2"]
    combinations = {name: 2 if name == "perm_derivative" else 1 for name in signal_names()}  # of swept parameters
    assert len(points) == sum(combinations.values()) * len(datasets) * 2 * 2  # barriers, cooldowns


def test_a_sweep_with_nothing_missing_asks_no_more_than_its_plan(lake: Lake) -> None:
    sweep_id = finished_sweep(lake)
    with Screen() as screen, resolutions() as asked:
        run_sweep(read_state(lake, sweep_id), lake, "local", screen)
    assert asked == ["perm_derivative"]
