"""Datasets that were written before a column was: what they hold is read, and what they lack is named when asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset, verify
from engine.errors import DatasetError
from engine.files import sha256_file
from engine.lake import Lake
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from tests.blocks import PROVENANCE, plain_block

# What the third version of the schema brought.
NEW_COLUMNS = ["traded_buy", "traded_sell"]
NEW_FIELDS = ["unsided_volume", "traded_buy_outside", "traded_sell_outside"]
RADIUS = 5
BLOCK = plain_block(1400, RADIUS, seed=4)  # two row groups


def aged(dataset: Dataset, version: int) -> Dataset:
    """The dataset as an older version of the schema wrote it: without the columns that came since."""
    folder = dataset.folder
    folder.chmod(0o755)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text()) | {"schema_version": version}
    for kind, file, new in (("bins", "bins.parquet", NEW_FIELDS), ("grid", "grid_clean.parquet", NEW_COLUMNS)):
        manifest["columns"][kind] = [name for name in manifest["columns"][kind] if name not in new]
        table = pq.read_table(folder / file).drop_columns(new)
        (folder / file).unlink()
        pq.write_table(table, folder / file)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    sums = {name: sha256_file(folder / name) for name in ("bins.parquet", "grid_clean.parquet", "manifest.json")}
    (folder / "checksums.json").unlink()
    (folder / "checksums.json").write_text(json.dumps(sums))
    lake = dataset.lake
    assert lake is not None
    shutil.rmtree(lake.cache, ignore_errors=True)  # nobody has looked at it yet
    return verify(lake, dataset.dataset_id)


@pytest.fixture(params=[1, 2])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    return aged(publish_dataset(Lake(tmp_path / "lake"), "old", [BLOCK], PROVENANCE), request.param)


def test_what_it_holds_is_read_in_every_view(old: Dataset) -> None:
    fields = [name for name in ("bin_seq", *(BIN_DTYPE.names or ())) if name not in NEW_FIELDS]
    views = (old.bins(), old.to_arrow(), old.scan().collect(), old.to_polars())
    for view in views:
        names = list(view) if isinstance(view, dict) else view.columns if not hasattr(view, "column_names") else view.column_names
        assert set(names) == {*fields, "runtime_model_name"}
    assert np.array_equal(old.bins()["runtime_model_score"], BLOCK.bins["runtime_model_score"])
    columns = [name for name in GRID_COLUMNS if name not in NEW_COLUMNS]
    for name, column in old.columns(columns).items():
        assert column.tobytes() == BLOCK.grid[name].tobytes(), name
        assert old.grid(name).tobytes() == column.tobytes()


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda one: one.bins(["bin_seq", "traded_sell_outside", "unsided_volume"]), "traded_sell_outside, unsided_volume"),
        (lambda one: one.to_arrow("unsided_volume"), "unsided_volume"),
        (lambda one: one.to_polars(["unsided_volume"]), "unsided_volume"),
        (lambda one: one.columns(["k", "traded_buy"]), "traded_buy"),
        (lambda one: one.grid("traded_sell"), "traded_sell"),
        (lambda one: one.require(["traded_sell"], []), "traded_sell"),
        (lambda one: one.require(["k"], ["unsided_volume"]), "unsided_volume"),
    ],
    ids=["fields", "arrow", "polars", "columns", "mapped", "required column", "required field"],
)
def test_column_that_it_is_too_old_for_is_named_in_one_line(old: Dataset, ask: Any, named: str) -> None:
    with pytest.raises(DatasetError) as refusal:
        ask(old)
    version = old.manifest["schema_version"]
    assert str(refusal.value) == (
        f"dataset old has no column {named}: schema version {version} was without, and 3 has them. "
        "Publish its file again under another id"
    )


def test_name_that_no_version_knows_is_told_as_such(old: Dataset) -> None:
    with pytest.raises(DatasetError, match="grid_clean.parquet has no column traded_bought"):
        old.columns(["traded_bought"])
    with pytest.raises(DatasetError, match="bins.parquet has no column traded_outside"):
        old.bins(["traded_outside"])


def test_same_bins_again_find_the_old_one(tmp_path: Path) -> None:
    """It holds of them what it can; datasets are immutable, and another id has the rest."""
    lake = Lake(tmp_path / "lake")
    aged(publish_dataset(lake, "old", [BLOCK], PROVENANCE), 2)
    assert publish_dataset(lake, "old", [BLOCK], PROVENANCE).manifest["schema_version"] == 2


def test_todays_dataset_has_them_all(tmp_path: Path) -> None:
    dataset = publish_dataset(Lake(tmp_path / "lake"), "new", [BLOCK], PROVENANCE)
    assert dataset.grid("traded_buy").tobytes() == BLOCK.grid["traded_buy"].tobytes()
    assert set(NEW_FIELDS) < set(dataset.bins())
    dataset.require(GRID_COLUMNS, BIN_DTYPE.names or ())
