"""A sweep without anything missing needs no Ray: what it shows and keeps, and what tracking may and may not do."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from engine.signals.registry import signal_names
from tests.blocks import publish_plain
from tests.test_tune.made import made, run_of
from tests.test_tune.small_sweep import COMMON, finished_sweep, points_of, resolutions, sweep_values
from tune.cli import main
from tune.config import parse_sweep_config
from tune.results import ResultStore
from tune.run import SweepState, new_state, plan_sweep, read_state, run_sweep, state_path
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


# --- which sweep, which runs, by which rules ---


def begun(lake: Lake, sweep_id: str, created_at: str, name: str = "small") -> None:
    state = SweepState(sweep_id, created_at, {"name": name}, "h", None, [])
    write_atomic(state_path(lake, sweep_id), json.dumps(asdict(state)).encode())


def test_a_sweeps_name_means_the_latest_of_that_name(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for sweep_id, created_at, name in (
        ("small_z", "2026-02-06T10:00:00+00:00", "small"),
        ("small_b", "2026-02-06T11:00:00+00:00", "small"),  # of two in one second the later id
        ("small_a", "2026-02-06T11:00:00+00:00", "small"),
        ("large_c", "2026-02-06T12:00:00+00:00", "large"),
    ):
        begun(lake, sweep_id, created_at, name)
    assert read_state(lake, "small").sweep_id == "small_b"
    assert read_state(lake, "large").sweep_id == "large_c"
    assert read_state(lake, "small_z").sweep_id == "small_z"
    for unknown in ("smal", "small_", "../sweeps/small_z"):
        with pytest.raises(ConfigError, match="has: small_z, small_a, small_b, large_c$"):
            read_state(lake, unknown)


def known_runs(lake: Lake, *figures: dict[str, Any], **changes: Any) -> list[str]:
    """Runs of the small sweep with made-up figures in the store; their ids."""
    run_ids = [point.run_id for point in points_of(lake, **changes)]
    rows = [made(run_id, 0.1, **one) for run_id, one in zip(run_ids, figures, strict=True)]
    ResultStore(lake).append([run_of([row]) for row in rows], sweep_id="s", **COMMON)
    return run_ids


def outcome_of(lake: Lake, limit: int | None = None, **changes: Any) -> Any:
    with Screen() as screen:
        return run_sweep(new_state(parse_sweep_config(sweep_values(**changes), "test"), limit), lake, "local", screen)


RULES = {"tp_ticks": [2, 4], "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100, "min_signals": 8}


def test_a_sweep_is_ranked_by_its_own_objective_among_its_own_runs_with_trades_enough(lake: Lake) -> None:
    figures = [{"sharpe": float(i % 3), "oos_expectancy_low": float(i), "n_signals": 6 + i} for i in range(8)]
    ids = known_runs(lake, *figures)
    ResultStore(lake).append([run_of([made("stranger", 0.1, sharpe=99.0, oos_expectancy_low=99.0)])], sweep_id="x", **COMMON)
    changes: dict[str, Any] = {"eval": RULES, "search": {"objective": "sharpe"}}
    found = outcome_of(lake, **changes)
    # Runs 0 and 1 have six and seven trades; 2 and 5 have a ratio of 2, 4 and 7 of 1, 3 and 6 of 0; more trades go first.
    assert found.ranking.get_column("run_id").to_list() == [ids[i] for i in (5, 2, 7, 4, 6, 3)]
    assert (found.n_points, found.n_reused, found.failures) == (8, 8, [])
    assert [luck.n_compared for luck in found.beside.lucks] == [6]
    by_default = outcome_of(lake, eval=RULES)
    assert by_default.ranking.get_column("run_id").to_list() == [ids[i] for i in (7, 6, 5, 4, 3, 2)]


def test_a_sweep_writes_down_the_runs_it_is_of(lake: Lake) -> None:
    ids = known_runs(lake, *[{} for _ in range(8)])
    state = read_state(lake, outcome_of(lake, limit=3).sweep_id)
    assert (state.run_ids, state.limit) == (ids[:3], 3)
    assert read_state(lake, outcome_of(lake).sweep_id).run_ids == ids


def test_points_in_another_order_are_no_change_of_code_or_data(lake: Lake, capsys: Capture) -> None:
    ids = known_runs(lake, *[{} for _ in range(8)])
    state = new_state(parse_sweep_config(sweep_values(), "test"), None)
    for run_ids, is_said in ((ids[::-1], False), (ids[:7], True), ([], False)):
        with Screen() as screen:
            run_sweep(SweepState(**{**asdict(state), "run_ids": run_ids}), lake, "local", screen)
        assert ("have changed since this sweep began" in capsys.readouterr().err) == is_said
