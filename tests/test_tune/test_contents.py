"""Trials count by the records they were made on, whatever file, name or cut brought those; and the ledger travels as one file."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tune
from engine.dataset.lineage import sources_of
from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset
from engine.dataset.sealed import seals
from engine.errors import ConfigError
from engine.lake import Lake
from tests.blocks import PROVENANCE, cut, random_block
from tests.test_tune.small_sweep import COMMON, Capture, evaluated, points_of
from tune import sealing
from tune.carried import export_ledger, import_ledger
from tune.cli import main
from tune.contents import Contents
from tune.ledger import TrialLedger, tried_on
from tune.sealing import Look, looks, looks_folder


def published(lake: Lake, name: str, chunks: list[str], file: str = "a") -> Dataset:
    """A dataset that says it was made of these minutes of records, in a file of that hash."""
    provenance = {
        **PROVENANCE,
        "source_files": [{"path": f"{file}.dbn", "size": 1, "sha256": file * 64}],
        "content": {"chunk_s": 60, "chunks": chunks, "id": "".join(chunks)},
    }
    return publish_dataset(lake, name, cut(random_block(900, 5, 7), 256), provenance)


@pytest.fixture
def home(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


def judged(lake: Lake, dataset: Dataset | str, frequency: float = 1.0) -> None:
    """One trial."""
    tune.judge(np.sin(frequency * np.arange(900)), dataset, thresholds=0.5, tp_ticks=4, sl_ticks=4, warmup_bins=100, lake=lake)


def n_on(lake: Lake, dataset_id: str) -> int:
    """Trials that count on a dataset."""
    return tried_on(TrialLedger(lake).trials(), sources_of(Dataset.open(lake, dataset_id).manifest)).n


def test_another_file_or_cut_of_the_same_records_counts_with_it(home: Lake) -> None:
    judged(home, published(home, "hour", ["m1", "m2", "m3"], "a"))
    judged(home, published(home, "packed", ["m1", "m2", "m3"], "b"), 2.0)  # the same records in another file
    judged(home, published(home, "recut", ["m3", "m4"], "c"), 3.0)  # shares one minute with both
    judged(home, published(home, "later", ["m4", "m5"], "d"), 4.0)  # shares one minute with the cut only
    judged(home, published(home, "other", ["m9"], "e"), 5.0)
    counted = {name: n_on(home, name) for name in ("hour", "packed", "recut", "later", "other")}
    assert counted == {"hour": 3, "packed": 3, "recut": 4, "later": 2, "other": 1}
    assert TrialLedger(home).own_trials().get_column("sources").to_list()[2] == ["records:m3m4", "c" * 64]


def test_other_records_of_the_same_file_count_together_as_before(home: Lake) -> None:
    judged(home, published(home, "morning", ["m1"], "a"))
    judged(home, published(home, "noon", ["m2"], "a"), 2.0)
    assert (n_on(home, "morning"), n_on(home, "noon")) == (2, 2)


def test_trials_of_an_older_manifest_count_by_their_file(home: Lake) -> None:
    provenance = {**PROVENANCE, "source_files": [{"path": "a.dbn", "size": 1, "sha256": "a" * 64}]}
    judged(home, publish_dataset(home, "old", cut(random_block(900, 5, 7), 256), provenance))
    judged(home, published(home, "new", ["m1"], "a"), 2.0)
    assert (n_on(home, "old"), n_on(home, "new")) == (2, 2)
    assert Contents(home).table().get_column("content").to_list() == ["records:m1"]


def test_a_content_is_noted_once(home: Lake) -> None:
    data = published(home, "a", ["m2", "m1"])
    contents = Contents(home)
    contents.note([data, data])
    contents.note([data])
    assert len(list(contents.folder.iterdir())) == 1
    assert contents.table().rows() == [("records:m2m1", ["m1", "m2"])]
    assert contents.overlaps() == {"records:m2m1": ["records:m2m1"]}


# --- what counts ---


def test_a_series_that_is_handed_out_is_a_trial_once(lake: Lake, tmp_path: Path, capsys: Capture) -> None:
    words = ["score", "--signal", "perm_derivative", "--dataset-id", "random_walk", "--out", str(tmp_path / "s.parquet"), "--lake", str(lake.root)]
    for extra in ([], [], ["--set", "zscore_window_bins=301"]):
        assert main([*words, *extra]) == 0, capsys.readouterr()
    trials = TrialLedger(lake).trials()
    assert trials.select("signal_name", "sweep_id", "threshold", "sharpe").rows() == [("perm_derivative", "score", None, None)] * 2
    assert tried_on(trials, ["0" * 64]).n == 2  # the same one twice is one


def test_what_is_judged_by_command_or_in_a_notebook_is_a_trial_each(lake: Lake, tmp_path: Path, capsys: Capture) -> None:
    tune.judge(np.sin(np.arange(2500)), "random_walk", thresholds=[0.5, 0.9], tp_ticks=4, sl_ticks=4, lake=lake)
    assert tried_on(TrialLedger(lake).trials(), ["0" * 64]).n == 2
    path = tmp_path / "scores.parquet"
    pl.DataFrame({"bin_seq": np.arange(2500), "score": np.cos(np.arange(2500))}).write_parquet(path)
    words = ["judge", "--scores", str(path), "--dataset-id", "random_walk", "--threshold", "0.5", "--lake", str(lake.root)]
    for _ in range(2):
        assert main(words) == 0, capsys.readouterr()
    assert tried_on(TrialLedger(lake).trials(), ["0" * 64]).n == 3


# --- as one file ---


@pytest.fixture
def full(lake: Lake) -> Lake:
    """A lake with trials, contents, a seal and a look."""
    results = evaluated(lake, points_of(lake)[:2])
    TrialLedger(lake).add(results, "small", COMMON["timestamp_utc"])
    judged(lake, published(lake, "minutes", ["m1", "m2"], "b"))
    sealing.seal(lake, ["minutes"])
    look = Look("c" * 16, "minutes", "r" * 16, 0.1, "ads", "2026-02-07T00:00:00+00:00", {"n_signals": 0.0})
    sealing._keep(lake, look)
    return lake


def test_what_one_lake_knows_another_one_takes_in_once(full: Lake, tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.zip", Lake(tmp_path / "other")
    n = len(TrialLedger(full).trials())
    assert export_ledger(full, path).line == f"{n} trials, 1 contents, 1 seals and 1 looks"
    assert import_ledger(other, path).line == f"{n} trials, 1 contents, 1 seals and 1 looks"
    assert TrialLedger(other).trials().equals(TrialLedger(full).trials())
    assert (seals(other), looks(other)) == (seals(full), looks(full))
    assert Contents(other).table().equals(Contents(full).table())
    assert import_ledger(other, path).line == "0 trials, 0 contents, 0 seals and 0 looks"
    assert import_ledger(full, path).line == "0 trials, 0 contents, 0 seals and 0 looks"
    assert TrialLedger(other).trials().equals(TrialLedger(full).trials())


def test_taking_in_merges_and_lowers_nothing(full: Lake, tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.zip", Lake(tmp_path / "other")
    shutil.copytree(full.datasets / "random_walk", other.datasets / "random_walk")
    (own,) = evaluated(other, points_of(other)[1:2])  # known to both, scored here later
    TrialLedger(other).add([own], "mine", "2026-02-08T00:00:00+00:00")
    tune.judge(np.cos(np.arange(2500)), "random_walk", thresholds=0.5, tp_ticks=4, sl_ticks=4, lake=other)
    before = TrialLedger(other).trials()
    export_ledger(full, path)
    merged = import_ledger(other, path)
    after = TrialLedger(other).trials()
    assert after.head(len(before)).equals(before)  # the first to score it stands
    assert len(after) == len(before) + merged.n_trials
    assert merged.n_trials == len(TrialLedger(full).trials()) - len(own.rows)


def test_the_commands_say_how_much(full: Lake, tmp_path: Path, capsys: Capture) -> None:
    path, other = str(tmp_path / "ledger.zip"), str(tmp_path / "other")
    n = len(TrialLedger(full).trials())
    assert main(["ledger", "export", path, "--lake", str(full.root)]) == 0
    assert main(["ledger", "import", path, "--lake", other]) == 0
    assert main(["ledger", "import", path, "--lake", other, "--json"]) == 0
    out = capsys.readouterr().out
    assert f"{path}: {n} trials, 1 contents, 1 seals and 1 looks written\n" in out
    assert f"{path}: {n} trials, 1 contents, 1 seals and 1 looks were new and are added\n" in out
    assert json.loads(out.partition("added\n")[2]) == {"n_trials": 0, "n_contents": 0, "n_seals": 0, "n_looks": 0}


@pytest.mark.parametrize("what", ["no zip", "another zip", "a table lacks", "a path that leads out", "a broken seal", "a broken look"])
def test_a_file_that_is_none_adds_nothing(full: Lake, tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "ledger.zip", Lake(tmp_path / "other")
    export_ledger(full, path)
    with zipfile.ZipFile(path) as archive:
        files: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    if what == "no zip":
        path.write_bytes(b"PK no")
    else:
        if what == "a table lacks":
            del files["trials.parquet"]
        elif what == "a path that leads out":
            files["looks/../../x.json"] = next(data for name, data in files.items() if name.startswith("looks/"))
        elif what == "a broken seal":
            files["sealed/minutes.json"] = b"{}"
        elif what == "a broken look":
            files["looks/x.json"] = b"[]"
        with zipfile.ZipFile(path, "w") as archive:
            archive.comment = b"something else" if what == "another zip" else comment
            for name, data in files.items():
                archive.writestr(name, data)
    with pytest.raises(ConfigError, match="is no exported ledger"):
        import_ledger(other, path)
    assert not other.harness.exists()
    assert not looks_folder(other).exists()
