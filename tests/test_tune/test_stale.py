"""The vendor corrects a day: what was made of the old file stays as it is, says so, and is not promoted by itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tune
from engine.audit.lake import check_lake
from engine.dataset.lineage import CORRECTIONS, Correction, corrections, note_correction, stale_since
from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset
from engine.errors import DatasetError
from engine.files import sha256_file
from engine.lake import Lake
from tests.blocks import PROVENANCE, cut, random_block
from tests.test_tune.test_gate import GOOD
from tune.cli import main
from tune.gate import failed_checks
from tune.results import ResultStore
from tune.stale import STALE, stale_line, stale_runs, staleness, with_stale

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
CORRECTED = Correction(OLD, NEW, "MNQH6", "2026-02-06", "2026-02-07T09:00:00+00:00")


@pytest.fixture
def home(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


def judged(lake: Lake, name: str, sha256: str, seed: int = 7) -> Dataset:
    """A dataset of a file of that hash, with one run on it."""
    files = [{"path": f"{name}.dbn", "size": 1, "sha256": sha256}]
    content = {"chunk_s": 60, "chunks": [name], "id": name}
    provenance = {**PROVENANCE, "source_files": files, "content": content}
    dataset = publish_dataset(lake, name, cut(random_block(900, 5, seed), 256), provenance)
    rules = {"tp_ticks": 4, "sl_ticks": 4, "warmup_bins": 100}
    tune.judge(np.sin(np.arange(900)), dataset, name=name, thresholds=0.5, lake=lake, **rules)
    return dataset


def contents(folder: Path) -> dict[Path, str]:
    return {path: sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_old_rows_are_marked_and_nothing_else_is_changed(home: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    old = judged(home, "first", OLD)
    judged(home, "other", OTHER, 8)
    before = contents(home.root / "research")
    assert STALE not in tune.compare(home, min_signals=1, with_all=True).columns
    note_correction(home, CORRECTED)
    new = judged(home, "second", NEW, 9)
    board = tune.compare(home, min_signals=1, with_all=True)
    told = dict(board.select("dataset_id", STALE).iter_rows())
    assert told == {"first": "MNQH6 2026-02-06 corrected by the vendor", "second": "", "other": ""}
    after = contents(home.root / "research")
    assert {path: after[path] for path in before} == before
    assert Dataset.open(home, "first").checksum == old.checksum != new.checksum
    assert main(["compare", "--lake", str(home.root), "--min-signals", "1", "--all"]) == 0
    out = capsys.readouterr().out
    assert out.count(" stale ") >= 1
    assert "1 of these rows are stale: the vendor has corrected the data" in out


def test_a_dataset_is_stale_by_any_of_its_files(home: Lake) -> None:
    manifest = {"source_files": [{"sha256": OTHER}, {"sha256": OLD}]}
    assert stale_since([CORRECTED], manifest) == CORRECTED
    assert stale_since([CORRECTED], {"source_files": [{"sha256": NEW}]}) is None
    assert stale_since([], manifest) is None


def test_a_correction_is_noted_once_and_a_second_one_beside_it(home: Lake) -> None:
    assert corrections(home) == []
    again = replace(CORRECTED, old=NEW, new=OTHER)
    for one in (CORRECTED, again, replace(CORRECTED, noted_at="later")):
        note_correction(home, one)
    assert corrections(home) == [CORRECTED, again]


def test_a_damaged_list_is_no_empty_one(home: Lake) -> None:
    note_correction(home, CORRECTED)
    with (home.root / CORRECTIONS).open("a") as file:
        file.write('{"old":')
    with pytest.raises(DatasetError, match="is no list of corrections"):
        corrections(home)


def test_a_row_over_sessions_is_stale_by_any_of_them() -> None:
    stale = {"r2": CORRECTED}
    assert staleness(stale, {"run_id": "r1", "sessions": [{"run_id": "r1"}]}) == ""
    assert staleness(stale, {"run_id": "r1", "sessions": None}) == ""
    words = "MNQH6 2026-02-06 corrected by the vendor"
    assert staleness(stale, {"run_id": "r1", "sessions": [{"run_id": "r1"}, {"run_id": "r2"}]}) == words
    assert staleness(stale, {"run_id": "r2"}) == words


def test_a_board_without_such_rows_is_left_as_it_is() -> None:
    board = pl.DataFrame({"run_id": ["r1"]})
    assert with_stale(board, {"r2": CORRECTED}).columns == ["run_id"]
    assert stale_line(board) == ""
    assert with_stale(board, {"r1": CORRECTED}).get_column(STALE).to_list() != [""]


def test_runs_are_found_by_the_files_that_they_keep(home: Lake) -> None:
    judged(home, "first", OLD)
    judged(home, "other", OTHER, 8)
    rows = ResultStore(home).rows()
    assert stale_runs(home, rows) == {}
    note_correction(home, CORRECTED)
    (run_id,) = rows.filter(pl.col("dataset_id") == "first").get_column("run_id").unique()
    assert stale_runs(home, rows) == {run_id: CORRECTED}


def test_a_check_of_the_lake_says_it_and_finds_nothing_wrong(home: Lake) -> None:
    judged(home, "first", OLD)
    judged(home, "other", OTHER, 8)
    before = {one["dataset_id"]: (one["stale"], one["problem"]) for one in check_lake(home, None)["datasets"]}
    note_correction(home, CORRECTED)
    after = {one["dataset_id"]: (one["stale"], one["problem"]) for one in check_lake(home, None)["datasets"]}
    assert {name: stale for name, (stale, _) in before.items()} == {"first": "", "other": ""}
    assert after["first"][0] == "the vendor has corrected MNQH6 2026-02-06 since"
    assert after["other"] == before["other"]
    assert after["first"][1] == before["first"][1]


def test_the_gate_refuses_stale_data() -> None:
    assert failed_checks(replace(GOOD, stale="MNQH6 2026-02-06 corrected by the vendor")) == (
        "stale data (MNQH6 2026-02-06 corrected by the vendor)",
    )
