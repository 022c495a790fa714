"""Runs in MLflow on a real SQLite store."""

from pathlib import Path

import polars as pl
import pytest

from engine.lake import Lake
from tests.test_tune.small_sweep import COMMON, evaluated, points_of
from tune.config import TrackingConfig
from tune.leaderboard import rank
from tune.results import ResultStore
from tune.tracking import SweepTracker, open_client, tracking_uri

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")


@pytest.fixture
def ranking(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ResultStore(lake).append(evaluated(lake, points_of(lake)[:3]), sweep_id="s", **COMMON)
    return rank(ResultStore(lake).rows(), "mean_pnl_ticks", 1)


def test_a_parent_with_a_child_a_run_and_the_table_as_artifact(lake: Lake, ranking: pl.DataFrame, tmp_path: Path) -> None:
    config = TrackingConfig(tags={"desk": "a"}, run_name_prefix="p")
    note = tmp_path / "note.txt"
    tracker = SweepTracker(lake, config, "small", "small_1", note)
    tracker.finish(ranking, {"n_points": 3}, failed=False)
    again = SweepTracker(lake, config, "small", "small_1", note)  # a resumed sweep
    assert again.parent_run == tracker.parent_run
    again.finish(ranking, {"n_points": 3}, failed=False)

    client = open_client(lake)
    experiment = client.get_experiment_by_name("vp/small")
    assert experiment is not None
    assert experiment.artifact_location == (lake.mlflow / "artifacts").as_uri()
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    parent = runs.pop(tracker.parent_run)
    assert parent.data.metrics["n_points"] == 3
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["local_run_id"] for run in runs.values()} == set(ranking.get_column("run_id"))
    assert len(runs) == 3
    child = next(run for run in runs.values() if run.data.tags["local_run_id"] == ranking.item(0, "run_id"))
    row = ranking.row(0, named=True)
    names = "threshold n_signals tp_rate sl_rate timeout_rate mean_pnl_ticks expectancy_ticks expectancy_low events_per_hour"
    oos = "oos_expectancy_ticks oos_expectancy_low oos_n_signals"
    assert child.data.metrics == {name: row[name] for name in f"{names} {oos}".split() if row[name] == row[name]}
    assert child.data.params == {
        "dataset": "random_walk",
        "signal": "perm_derivative",
        "params": row["signal_params_json"],
        "tp_ticks": str(row["eval_tp_ticks"]),
        "sl_ticks": str(row["eval_sl_ticks"]),
        "cooldown_bins": str(row["cooldown_bins"]),
    }
    assert child.data.tags["desk"] == "a"
    assert [item.path for item in client.list_artifacts(tracker.parent_run, "harness")] == ["harness/leaderboard.parquet"]


def test_uri_is_the_given_one_then_the_environments_then_the_lakes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(lake) == f"sqlite:///{lake.mlflow}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(lake) == "http://127.0.0.1:5000"
    assert tracking_uri(lake, "sqlite:///x.db") == "sqlite:///x.db"
