"""Prices that are not there: their marks in every view of a dataset, also of one that the first schema wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.dataset.publish import publish_dataset, write_dataset_dir
from engine.dataset.read import Dataset
from engine.errors import DatasetError
from engine.files import sha256_file
from engine.lake import Lake
from engine.schema import BIN_DTYPE, bins_schema
from tests.blocks import PROVENANCE, Block, random_block

MARKS = {"mid_price": [np.nan, 0.0, -0.25], "best_bid_price_int": [UNDEF_PRICE, 0, -250_000_000]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def marked_block() -> Block:
    """Three bins: without a bid, with one at 0.00, and with one at -0.25."""
    block = random_block(3, 2, seed=8)
    for name, values in MARKS.items():
        block.bins[name] = values
    return block


def plain(values: NDArray[Any]) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]


def test_missing_price_has_a_mark_and_zero_is_a_price_in_every_view(lake: Lake) -> None:
    dataset = publish_dataset(lake, "a", [marked_block()], PROVENANCE)
    assert dataset.manifest["schema_version"] == 3
    views = (dataset.bins(), dataset.to_arrow(), dataset.scan().collect(), dataset.to_polars())
    for view in views:
        for name, values in MARKS.items():
            assert plain(view[name] if isinstance(view, dict) else view[name].to_numpy()) == plain(np.array(values)), name


def test_same_bins_without_a_mid_again_are_no_write(lake: Lake) -> None:
    first = publish_dataset(lake, "a", [marked_block()], PROVENANCE)
    table = pq.read_table(first.folder / "bins.parquet")
    first.folder.chmod(0o755)
    (first.folder / "bins.parquet").chmod(0o644)
    pq.write_table(table, first.folder / "bins.parquet")  # the same numbers in other bytes, as another library would write them
    sums = json.loads((first.folder / "checksums.json").read_text())
    (first.folder / "checksums.json").chmod(0o644)
    sums["bins.parquet"] = sha256_file(first.folder / "bins.parquet")
    (first.folder / "checksums.json").write_text(json.dumps(sums))
    assert publish_dataset(lake, "a", [marked_block()], PROVENANCE).checksum == Dataset(first.folder).checksum


def test_dataset_of_the_first_schema_is_read_with_the_marks_of_today(tmp_path: Path) -> None:
    """It wrote 0 for a missing price and could hold no price of 0; sizes and counts of 0 stay what they are."""
    block = random_block(3, 2, seed=9)
    for name in ("mid_price", "best_bid_price_int", "last_trade_price_int"):
        block.bins[name][0] = 0
    block.bins["last_trade_price_int"][1:] = 21_000 * 10**9
    block.bins["best_bid_size"] = [0, 4, 5]
    folder = write_dataset_dir(tmp_path / "old", [block], PROVENANCE).folder
    manifest = json.loads((folder / "manifest.json").read_text()) | {"schema_version": 1}
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    dataset = Dataset(folder)
    for view in (dataset.bins(), dataset.to_arrow(), dataset.scan().collect()):
        found = {name: plain(view[name] if isinstance(view, dict) else view[name].to_numpy()) for name in BIN_DTYPE.names or ()}
        assert found["mid_price"] == [None, *block.bins["mid_price"][1:].tolist()]
        assert found["best_bid_price_int"] == [UNDEF_PRICE, *block.bins["best_bid_price_int"][1:].tolist()]
        assert found["last_trade_price_int"] == [UNDEF_PRICE, 21_000 * 10**9, 21_000 * 10**9]
        assert (found["best_bid_size"], found["trade_count"]) == ([0, 4, 5], [0, 0, 0])
    assert dataset.to_arrow().schema.equals(bins_schema())


def test_dataset_of_another_schema_is_refused(tmp_path: Path) -> None:
    folder = write_dataset_dir(tmp_path / "new", [random_block(3, 2, seed=9)], PROVENANCE).folder
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps({"schema_version": 4}))
    with pytest.raises(DatasetError, match="has schema version 4; this code reads 1, 2, 3"):
        Dataset(folder)
