"""Runs in MLflow, beside the lake's own results: one parent run a sweep, one child a point, written from the driver.

A sweep never waits for, or fails with, its tracking: what goes wrong is said in one line. A child costs some 11-30 ms, so a
sweep of more than ``MAX_CHILDREN`` points logs its best ones; the parent's artifact ``leaderboard.parquet`` holds them all.
"""

import fcntl
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import polars as pl

from engine.files import write_atomic
from engine.lake import Lake
from tune.config import TrackingConfig
from tune.leaderboard import records

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MAX_CHILDREN: Final = 200
_SERVERS: Final = ("http", "https", "databricks", "databricks-uc", "uc")  # kinds of URI behind which a server keeps artifacts
_METRICS: Final = (
    "threshold",
    "n_signals",
    "tp_rate",
    "sl_rate",
    "timeout_rate",
    "mean_pnl_ticks",
    "expectancy_ticks",
    "expectancy_low",
    "oos_expectancy_ticks",
    "oos_expectancy_low",
    "oos_n_signals",
    "events_per_hour",
)


def tracking_uri(lake: Lake, given: str | None = None) -> str:
    """The URI given, else ``MLFLOW_TRACKING_URI``, else SQLite in the lake."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_quoted(lake.mlflow / 'mlflow.db')}"


def _quoted(path: Path) -> str:
    """A path as SQLAlchemy's URIs hold it: ``?`` would begin a query, and what ``%`` begins stand for a character."""
    return str(path).replace("%", "%25").replace("?", "%3F")


def open_client(lake: Lake, given: str | None = None) -> "MlflowClient":
    """A client for tracking and registry; importing MLflow takes seconds, so only those who need it call this."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits for minutes on a dead server
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(lake, given)
    past_proxy(uri)
    if uri.startswith("sqlite:"):
        lake.mlflow.mkdir(parents=True, exist_ok=True)
    stray = [folder for folder in Path(_quoted(lake.mlflow / "mlflow.db")).parents if not folder.exists()]
    with _opening(uri):
        client = MlflowClient(uri, registry_uri=uri)
        if uri.startswith("sqlite:"):
            client.search_registered_models(max_results=1)  # so that the tables of both stores are there
    for folder in stray:  # each store makes the folders as they are written in the URI, with its escapes
        if folder.is_dir():
            folder.rmdir()
    return client


def past_proxy(uri: str) -> None:
    """Let no proxy of the environment stand between us and a server on this machine."""
    url = urlsplit(uri)
    host = url.hostname or ""
    if url.scheme not in ("http", "https") or not _is_loopback(host):
        return
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if hosts.strip() != "*" and host not in hosts.split(","):
        os.environ["no_proxy"] = ",".join(filter(None, (hosts, host)))  # which is read before the other


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def _opening(uri: str) -> Iterator[None]:
    """Hold the lock of a database in a file: MLflow makes its tables when it opens one, and two at once trip over each other."""
    if not uri.startswith("sqlite:"):
        yield
        return
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    if not database or database == ":memory:":
        yield
        return
    lock = Path(f"{database}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # goes with the process
        is_new = not Path(database).exists()
        try:
            yield
        except BaseException:
            if is_new:  # some of its tables are there, as on a disk that is full: MLflow would never make the others
                for end in ("", "-journal"):
                    Path(f"{database}{end}").unlink(missing_ok=True)
            raise


def experiment_name(config: TrackingConfig, sweep_name: str) -> str:
    """The configured experiment, else one of the sweep's name."""
    return config.experiment_name or f"vp/{sweep_name}"


def experiment_id(client: "MlflowClient", lake: Lake, name: str) -> str:
    """Id of an experiment, made where it is missing.

    Its artifacts go where a server keeps them, and without one into the lake, not into the working folder.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    is_server = urlsplit(client.tracking_uri).scheme in _SERVERS
    return str(client.create_experiment(name, artifact_location=None if is_server else (lake.mlflow / "artifacts").as_uri()))


class SweepTracker:
    """One sweep's runs.

    Parameters
    ----------
    note : Path
        File that keeps the parent run's id, so that a resumed sweep goes on with it.
    """

    def __init__(self, lake: Lake, config: TrackingConfig, sweep_name: str, sweep_id: str, note: Path) -> None:
        self._client = open_client(lake, config.tracking_uri)
        self._prefix = config.run_name_prefix or sweep_name
        self._tags = {name: str(value) for name, value in config.tags.items()}
        self._sweep_id = sweep_id
        self._experiment_id = experiment_id(self._client, lake, experiment_name(config, sweep_name))
        if note.is_file():
            self.parent_run = note.read_text().strip()
            return
        tags = {**self._tags, "sweep_id": sweep_id, "campaign": sweep_name}
        run = self._client.create_run(self._experiment_id, run_name=f"{self._prefix}:{sweep_id}", tags=tags)
        self.parent_run = str(run.info.run_id)
        write_atomic(note, self.parent_run.encode())

    def finish(self, ranking: pl.DataFrame, figures: Mapping[str, float], failed: bool) -> None:
        """Log the best runs as children, all of them as a table, the sweep's figures on the parent, and close it."""
        from mlflow.entities import Metric

        logged = self._logged_children()
        for row in records(ranking.head(MAX_CHILDREN)):
            if row["run_id"] not in logged:
                self._log_child(row)
        now = _now_ms()
        self._client.log_batch(self.parent_run, metrics=[Metric(n, float(v), now, 0) for n, v in figures.items()])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "leaderboard.parquet"
            ranking.write_parquet(path)
            self._client.log_artifact(self.parent_run, str(path), "harness")
        self._client.set_terminated(self.parent_run, "FAILED" if failed else "FINISHED")

    def _logged_children(self) -> set[str]:
        found: set[str] = set()
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`mlflow.parentRunId` = '{self.parent_run}'",
                max_results=1000,
                page_token=token,
            )
            found |= {run.data.tags["local_run_id"] for run in page}
            token = page.token
            if not token:
                return found

    def _log_child(self, row: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        tags = {
            **self._tags,
            "mlflow.parentRunId": self.parent_run,
            "local_run_id": row["run_id"],
            "sweep_id": self._sweep_id,
            "signal_name": row["signal_name"],
            "dataset_id": row["dataset_id"],
        }
        name = f"{self._prefix}:{row['signal_name']}:{row['dataset_id']}:{row['run_id'][:8]}"
        run_id = self._client.create_run(self._experiment_id, run_name=name, tags=tags).info.run_id
        params = {
            "dataset": row["dataset_id"],
            "signal": row["signal_name"],
            "params": json.dumps(row["signal_params"], sort_keys=True),
            "tp_ticks": row["eval_tp_ticks"],
            "sl_ticks": row["eval_sl_ticks"],
            "cooldown_bins": row["cooldown_bins"],
        }
        now = _now_ms()
        self._client.log_batch(
            run_id,
            metrics=[Metric(m, float(row[m]), now, 0) for m in _METRICS if row[m] is not None],
            params=[Param(key, str(value)) for key, value in params.items()],
        )
        self._client.set_terminated(run_id)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
