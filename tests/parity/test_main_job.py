"""The main job on real input, by the commands a user types: DBN file, dataset, sweep on Ray, champion, live stream."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from websockets.sync.client import connect

from engine.schema import GRID_COLUMNS
from tests.conftest import REPO_ROOT, shared_path

N_BINS = 36_000  # one hour of 100 ms
DATASET = "esh4_20231225_1800"
SWEEP = f"""
name: main_job
datasets: [{DATASET}]
signals: [perm_derivative]
eval: {{tp_ticks: [4, 8], sl_ticks: 4, max_hold_bins: 1200, warmup_bins: 300, min_signals: 5}}
sweep:
  universal: {{cooldown_bins: [30, 100]}}
  per_signal:
    perm_derivative:
      zscore_window_bins: [200, 300, 600]
      tanh_scale: [1.5, 3.0]
      d2_weight: [0.0, 0.5]
parallel: {{max_workers: 2, timeout_seconds: 120}}
tracking: {{backend: mlflow}}
"""
N_POINTS = 48

pytestmark = pytest.mark.slow  # a real hour, all the way


class Shell:
    """Runs our commands as a user would, in one environment."""

    def __init__(self, lake: Path) -> None:
        self.environment = {
            **os.environ,
            "SPYMASTER_LAKE": str(lake),
            "VP_INSTRUMENT_CONFIG_PATH": str(REPO_ROOT / "engine" / "instruments" / "es.yaml"),
        }

    def json(self, *words: str) -> Any:
        """The command's ``--json`` output."""
        done = subprocess.run(
            [sys.executable, *words, "--json"],
            cwd=REPO_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-2000:]}"
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    source = shared_path("data/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    lake = tmp_path_factory.mktemp("lake")
    folder = lake / "raw/source=databento/product_type=future_mbo/symbol=ES/table=market_by_order_dbn"
    folder.mkdir(parents=True)
    (folder / source.name).symlink_to(source)
    return Shell(lake)


@pytest.fixture(scope="module")
def dataset(shell: Shell) -> dict[str, Any]:
    return shell.json("-m", "engine", "replay", "--dt", "2023-12-25", "--start-time", "18:00", "--publish", DATASET)


@pytest.fixture(scope="module")
def champion(shell: Shell, dataset: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    config = tmp_path_factory.mktemp("sweep") / "main_job.yaml"
    config.write_text(SWEEP)
    sweep = shell.json("tune/sweep.py", str(config), "--address", "local")
    assert sweep["n_points"] == N_POINTS
    assert not sweep["failures"]
    why = "an hour without an edge, to see that a stream scores as the sweep did"
    return shell.json("-m", "tune", "promote", "--best", "--sweep", sweep["sweep_id"], "--force", "--because", why)


@pytest.fixture(scope="module")
def streamed(shell: Shell, champion: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], dict[int, bytes]]]:
    """The first config, every header, and each 97th grid by bin, of the hour at full speed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "serve", "--port", str(port), "--dt", "2023-12-25", "--start-time", "18:00"]
    server = subprocess.Popen(command, cwd=REPO_ROOT, env=shell.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert any(line.startswith("serving") for line in server.stdout), f"the server ended with {server.wait()}"
        headers: list[dict[str, Any]] = []
        grids: dict[int, bytes] = {}
        config: dict[str, Any] = {}
        with connect(f"ws://127.0.0.1:{port}/v1/vacuum-pressure/stream?speed=0", max_size=None, compression=None) as stream:
            for frame in stream:
                if isinstance(frame, bytes):
                    if headers[-1]["bin_seq"] % 97 == 0:
                        grids[headers[-1]["bin_seq"]] = frame
                    continue
                values = json.loads(frame)
                if values["type"] == "grid_update":
                    headers.append(values)
                elif values["type"] == "runtime_config":
                    config = config or values
                else:
                    left_open = values.pop("model_trades", [])
                    assert values == {"type": "end", "bins": N_BINS}
                    assert {trade["exit_bin"] for trade in left_open} <= {N_BINS - 1}
        yield config, headers, grids
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


@pytest.mark.timeout(560)
def test_the_hour_becomes_a_dataset_of_36000_bins(dataset: dict[str, Any]) -> None:
    assert dataset["n_bins"] == N_BINS
    assert dataset["anomalies"]["unknown_fill"] == 7


@pytest.mark.timeout(560)
def test_the_stream_carries_the_champions_scores_bit_for_bit(
    shell: Shell, champion: dict[str, Any], streamed: Any, tmp_path: Path
) -> None:
    config, headers, _ = streamed
    model = config["runtime_model"]
    assert model["version"] == champion["version"]
    parameters = [f"--set={name}={json.dumps(value)}" for name, value in model["parameters"].items()]
    out = tmp_path / "scores.parquet"
    shell.json("-m", "tune", "score", "--signal", model["name"], "--dataset-id", DATASET, *parameters, "--out", str(out))
    swept = pq.read_table(out)
    assert np.count_nonzero(swept["score"].to_numpy()) > 100  # a model that says nothing would prove nothing
    assert np.array([h["runtime_model_score"] for h in headers]).tobytes() == swept["score"].to_numpy().tobytes()
    assert [h["runtime_model_ready"] for h in headers] == swept["ready"].to_pylist()
    assert [h["bin_seq"] for h in headers] == swept["bin_seq"].to_pylist() == list(range(N_BINS))


@pytest.mark.timeout(560)
def test_the_stream_carries_the_datasets_grid_bit_for_bit(shell: Shell, streamed: Any) -> None:
    _, headers, grids = streamed
    folder = Path(shell.environment["SPYMASTER_LAKE"]) / "research" / "vp_immutable" / DATASET
    stored = pq.read_table(folder / "grid_clean.parquet")
    rows = len(stored) // N_BINS
    columns = {name: stored[name].to_numpy().reshape(N_BINS, rows) for name in GRID_COLUMNS}
    assert len(grids) > 300
    for i, grid in grids.items():
        table = pyarrow.ipc.open_stream(grid).read_all()
        assert table.schema.names == list(GRID_COLUMNS)
        for name in GRID_COLUMNS:
            assert table[name].to_numpy().tobytes() == columns[name][i].tobytes(), (i, name)
