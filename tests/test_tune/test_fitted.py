"""What a promotion puts into the champion of a learned signal, and what `tune score` makes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.champion import Champion, fitted_path, read_champion, with_fitted
from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset
from engine.errors import ChampionError
from engine.lake import Lake
from engine.signals.base import signal_inputs
from engine.signals.carried import begun_with, fitted_state
from engine.signals.registry import get_signal, make_signal
from tests.blocks import PROVENANCE, cut, plain_block, publish_plain
from tests.test_tune.small_sweep import DATASET, Capture, finished_sweep
from tune import promote
from tune.cli import main
from tune.results import ResultStore
from tune.trial import load_market, signal_series

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")

SESSION = "plain_walk"
WHY = "noise, to see what is carried"
PARAMETERS = {"min_train_bins": 600, "pca_window": 500, "refit_interval_bins": 250}


@pytest.fixture
def learned(lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Lake, Champion]:
    """A lake with a learned champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(migrated)
    axes = {"universal": {"cooldown_bins": [10]}, "per_signal": {"pca_ad": {name: [v] for name, v in PARAMETERS.items()}}}
    publish_plain(lake, SESSION, n_bins=1800, radius=5, seed=7)
    finished_sweep(lake, datasets=[SESSION], signals=["pca_ad"], sweep=axes)
    rows = ResultStore(lake).rows()
    promote.promote_run(lake, rows.item(0, "run_id"), None, WHY)
    return lake, read_champion(lake)


def series_of(lake: Lake, dataset_id: str, champion: Champion, state: bytes | None) -> Any:
    market = load_market(Dataset.open(lake, dataset_id), [get_signal("pca_ad")])
    signal = make_signal("pca_ad", champion.parameters, market.context)
    started = signal if state is None else begun_with(signal, state)
    return started.run(signal_inputs(signal, market.columns, market.bins))


def test_a_learned_champion_carries_the_model_that_its_judge_ended_with(learned: tuple[Lake, Champion]) -> None:
    lake, champion = learned
    fitted = champion.fitted
    assert fitted is not None
    dataset = Dataset.open(lake, SESSION)
    assert (fitted.dataset_id, fitted.end_ns) == (SESSION, int(dataset.bins(["ts_ns"])["ts_ns"][-1]))
    assert fitted.data == b""  # not in the version's file
    market = load_market(dataset, [get_signal("pca_ad")])
    signal = make_signal("pca_ad", champion.parameters, market.context)
    signal.run(signal_inputs(signal, market.columns, market.bins))
    read = with_fitted(lake, champion).fitted
    assert read is not None
    assert read.data == fitted_state(signal)
    assert fitted_path(lake, fitted.sha256).stat().st_size == fitted.n_bytes


def test_promoted_again_it_is_the_same_version(learned: tuple[Lake, Champion]) -> None:
    lake, champion = learned
    promote.promote_none(lake)
    assert promote.promote_run(lake, champion.run_id, champion.thresholds[0], WHY)["version"] == 1
    assert promote.promote_none(lake)["before"] == 1
    assert promote.roll_back_champion(lake)["version"] == 1


def test_a_version_whose_state_is_gone_is_not_rolled_back_to(learned: tuple[Lake, Champion]) -> None:
    lake, champion = learned
    assert champion.fitted is not None
    promote.promote_none(lake)
    fitted_path(lake, champion.fitted.sha256).unlink()
    with pytest.raises(ChampionError, match="the fitted state of champion version 1 is gone"):
        promote.roll_back_champion(lake)


def test_a_signal_that_is_not_learned_carries_nothing(lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(migrated)
    finished_sweep(lake)
    promote.promote_run(lake, ResultStore(lake).rows().item(0, "run_id"), None, WHY)
    assert read_champion(lake).fitted is None
    assert "fitted" not in (lake.models / "champion-000001.yaml").read_text()


def test_score_of_a_champion_begins_with_what_it_carries(learned: tuple[Lake, Champion], tmp_path: Path, capsys: Capture) -> None:
    lake, champion = learned
    publish_plain(lake, "another_day", n_bins=1200, radius=5, seed=8)
    out = tmp_path / "scores.parquet"
    where = ["--dataset-id", "another_day", "--out", str(out), "--lake", str(lake.root), "--json"]
    assert main(["score", "--champion", "1", *where]) == 0
    table = pq.read_table(out)
    read = with_fitted(lake, champion).fitted
    assert read is not None
    warm, cold = (series_of(lake, "another_day", champion, state) for state in (read.data, None))
    assert table["score"].to_numpy().tobytes() == np.ascontiguousarray(warm["score"]).tobytes()
    ready = table["ready"].to_numpy(zero_copy_only=False)
    assert ready.tobytes() == np.ascontiguousarray(warm["ready"]).tobytes()
    own_from = int(np.argmax(cold["ready"]))
    assert own_from >= 600
    assert ready[:own_from].any()
    assert warm["score"][own_from:].tobytes() == cold["score"][own_from:].tobytes()
    assert table.schema.metadata[b"fitted"].decode() == read.sha256

    given = [part for name, value in PARAMETERS.items() for part in ("--set", f"{name}={value}")]
    assert main(["score", "--signal", "pca_ad", *given, *where]) == 0
    table = pq.read_table(out)
    market = load_market(Dataset.open(lake, "another_day"), [get_signal("pca_ad")])
    assert table["score"].to_numpy().tobytes() == signal_series("pca_ad", PARAMETERS, market)["score"].tobytes()
    assert b"fitted" not in table.schema.metadata
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give --signal NAME, or --champion VERSION"),
        (["--signal", "ads", "--champion", "1"], "give --signal NAME, or --champion VERSION"),
        (["--champion", "1", "--set", "n_components=2"], "brings its own parameters"),
        (["--champion", "9"], "champion version was 9"),
    ],
)
def test_score_of_a_champion_refuses_what_it_cannot_mean(lake: Lake, capsys: Capture, arguments: list[str], told: str) -> None:
    where = ["--dataset-id", DATASET, "--out", "x.parquet", "--lake", str(lake.root)]
    assert main(["score", *arguments, *where]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def publish_of(lake: Lake, dataset_id: str, symbol: str, n_bins: int, seed: int) -> None:
    told = {**PROVENANCE, "config": {**PROVENANCE["config"], "symbol": symbol}}
    publish_dataset(lake, dataset_id, cut(plain_block(n_bins, 5, seed), 256), told)


def test_what_was_fitted_on_one_contract_is_never_carried_to_another(
    lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    """Of a sweep's sessions the last is the next contract's: a champion carries the fit of its own contract's last one."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(migrated)
    axes = {"universal": {"cooldown_bins": [10]}, "per_signal": {"pca_ad": {name: [v] for name, v in PARAMETERS.items()}}}
    for name, symbol, seed in (("a_session", "MNQH6", 7), ("b_same", "MNQH6", 8), ("c_next", "MNQM6", 9)):
        publish_of(lake, name, symbol, 1800, seed)
    finished_sweep(lake, datasets=["a_session", "b_same", "c_next"], signals=["pca_ad"], sweep=axes)
    rows = ResultStore(lake).rows()
    run = rows.filter(rows["dataset_id"] == "a_session").item(0, "run_id")
    promote.promote_run(lake, run, None, WHY)
    champion = read_champion(lake)
    assert champion.fitted is not None
    assert champion.fitted.dataset_id == "b_same"
    where = ["--out", str(tmp_path / "scores.parquet"), "--lake", str(lake.root), "--json"]
    assert main(["score", "--champion", "1", "--dataset-id", "a_session", *where]) == 0
    capsys.readouterr()
    assert main(["score", "--champion", "1", "--dataset-id", "c_next", *where]) == 2
    assert "champion version 1 carries a fit on MNQH6, and dataset c_next is of MNQM6" in capsys.readouterr().err
