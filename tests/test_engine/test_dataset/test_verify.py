"""A dataset is verified by its bytes and by its rows, whatever is remembered of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.dataset.read import Dataset, remember_verified, verify
from engine.errors import DatasetError
from engine.files import sha256_file
from engine.lake import Lake
from tests.blocks import publish_random

N_BINS, ROWS = 6, 5


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    publish_random(lake, "a", n_bins=N_BINS, radius=2)
    return lake


def rewrite(folder: Path, file: str, column: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Another column in a table, under a right checksum: as a writer would have made it that sorted wrongly."""
    path = folder / file
    table = pq.read_table(path)
    place = table.column_names.index(column)
    values = change(table[column].to_numpy().copy())
    folder.chmod(0o755)
    path.chmod(0o644)
    pq.write_table(table.set_column(place, table.field(place), pa.array(values, table.field(place).type)), path)
    sums = folder / "checksums.json"
    sums.chmod(0o644)
    sums.write_text(json.dumps(json.loads(sums.read_text()) | {file: sha256_file(path)}))


def swapped(first: int, second: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[[first, second]] = values[[second, first]]
        return values

    return change


def test_untouched_columns_written_again_are_sound(lake: Lake) -> None:
    folder = lake.datasets / "a"
    rewrite(folder, "bins.parquet", "bin_seq", lambda values: values)
    rewrite(folder, "grid_clean.parquet", "k", lambda values: values)
    assert verify(lake, "a").n_bins == N_BINS


@pytest.mark.parametrize(
    ("file", "column", "change"),
    [
        ("bins.parquet", "bin_seq", swapped(2, 3)),
        ("bins.parquet", "bin_seq", lambda values: values + 1),
        ("grid_clean.parquet", "bin_seq", swapped(ROWS - 1, ROWS)),  # the last row of bin 0 and the first of bin 1
        ("grid_clean.parquet", "bin_seq", swapped(N_BINS * ROWS - 1, 0)),
        ("grid_clean.parquet", "k", swapped(N_BINS * ROWS - 2, N_BINS * ROWS - 1)),
        ("grid_clean.parquet", "k", swapped(0, 1)),
    ],
)
def test_one_column_alone_that_is_out_of_order_is_refused(
    file: str, column: str, change: Callable[[np.ndarray], np.ndarray], lake: Lake
) -> None:
    rewrite(lake.datasets / "a", file, column, change)
    with pytest.raises(DatasetError, match=r"dataset a: rows are not sorted by \(bin_seq, k\) without a gap"):
        Dataset.open(lake, "a")


def test_what_is_remembered_is_not_asked_when_a_dataset_is_verified(lake: Lake) -> None:
    folder = lake.datasets / "a"
    path = folder / "grid_clean.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    remember_verified(folder, lake)  # as where a disk forgets what was found sound on it
    assert Dataset.open(lake, "a").n_bins == N_BINS
    with pytest.raises(DatasetError, match=r"a is damaged: grid_clean\.parquet"):
        verify(lake, "a")
    with pytest.raises(DatasetError, match=r"a is damaged: grid_clean\.parquet"):
        Dataset.open(lake, "a")  # and it is not remembered as sound any more
