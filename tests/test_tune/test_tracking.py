"""Runs in MLflow on a real SQLite store, and on a real server."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy.exc import OperationalError

from engine.champion import version_path
from engine.files import write_atomic
from engine.lake import Lake
from tests.full_disk import room_for
from tests.test_tune.small_sweep import COMMON, evaluated, points_of
from tune.config import TrackingConfig
from tune.leaderboard import rank
from tune.promote import promote_run
from tune.registry import ChampionRegistry
from tune.results import ResultStore
from tune.tracking import SweepTracker, open_client, past_proxy, tracking_uri

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")


def open_at_once(lake: Lake, both: Barrier) -> None:
    both.wait(60)
    open_client(lake)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The database of a lake in which two first sweeps began at once; making its tables takes seconds, copying it does not."""
    import mlflow.store.model_registry.sqlalchemy_store  # before the fork: the two are to meet in the database
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    lake = Lake(tmp_path_factory.mktemp("registry"))
    fork = multiprocessing.get_context("fork")
    both = fork.Barrier(2)
    sweeps = [fork.Process(target=open_at_once, args=(lake, both)) for _ in range(2)]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join(120)
    assert [sweep.exitcode for sweep in sweeps] == [0, 0]
    return (lake.mlflow / "mlflow.db").read_bytes()


@pytest.fixture
def ranking(lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_atomic(lake.mlflow / "mlflow.db", migrated)
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


def test_a_database_that_a_full_disk_broke_off_is_no_database(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its missing tables would never come."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with room_for(40_000), pytest.raises(OperationalError, match="disk"):
        open_client(lake)
    assert [path.name for path in lake.mlflow.iterdir()] == ["mlflow.db.lock"]


@pytest.fixture(scope="module")
def server(migrated: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server of MLflow's on loopback, and where it keeps artifacts."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(migrated)
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if "running on " in line:
            break
    assert process.poll() is None, heard
    yield heard[-1].partition("running on ")[2].split()[0], folder / "artifacts"
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)


def test_artifacts_go_through_a_server_and_no_proxy_is_asked_for_one_on_this_machine(
    server: tuple[str, Path], lake: Lake, ranking: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, kept = server
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nobody is
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    tracker = SweepTracker(lake, TrackingConfig(), "small", "small_1", tmp_path / "note.txt")
    tracker.finish(ranking, {"n_points": 3}, failed=False)
    promote_run(lake, ranking.item(0, "run_id"), None, "to see where it is kept")
    assert ChampionRegistry(lake).pointed() == 1

    champion = version_path(lake, 1)
    assert {path.name for path in kept.rglob("*") if path.is_file()} == {champion.name, "leaderboard.parquet"}
    assert [path.name for path in lake.mlflow.iterdir()] == ["mlflow.db"]  # nothing of it in the client's lake
    run = open_client(lake).get_run(tracker.parent_run)
    assert run.info.artifact_uri is not None
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert run.info.status == "FINISHED"
    assert os.environ["no_proxy"] == "elsewhere.example,127.0.0.1"


@pytest.mark.parametrize(
    ("uri", "lower", "upper", "expected"),
    [
        ("http://127.0.0.1:5000", None, None, "127.0.0.1"),
        ("http://localhost:5000", "a", "b", "a,localhost"),
        ("https://[::1]:5000", None, "a,b", "a,b,::1"),
        ("http://127.0.0.2:5000", "b,127.0.0.2", None, "b,127.0.0.2"),
        ("http://127.0.0.1:5000", "*", None, "*"),
        ("http://127.0.0.1:5000", None, "*", None),
        ("http://10.0.0.1:5000", None, "a", None),
        ("http://localhost.example:5000", None, None, None),
        ("sqlite:///127.0.0.1", None, None, None),
    ],
)
def test_only_a_server_on_this_machine_goes_past_the_proxy(
    uri: str, lower: str | None, upper: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    past_proxy(uri)
    assert os.environ.get("no_proxy") == expected
    assert os.environ.get("NO_PROXY") == upper


def test_uri_is_the_given_one_then_the_environments_then_the_lakes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(lake) == f"sqlite:///{lake.mlflow}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(lake) == "http://127.0.0.1:5000"
    assert tracking_uri(lake, "sqlite:///x.db") == "sqlite:///x.db"


def test_the_database_lies_in_the_lake_whatever_the_lake_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lake = Lake(tmp_path / "a?b%20c")
    assert tracking_uri(lake) == f"sqlite:///{tmp_path}/a%3Fb%2520c/mlflow/mlflow.db"
    client = open_client(lake)
    assert (lake.mlflow / "mlflow.db").stat().st_size > 0
    client.create_experiment("x", artifact_location=(lake.mlflow / "artifacts").as_uri())
    assert [path.name for path in tmp_path.iterdir()] == ["a?b%20c"]
