import json
import os
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.dataset import read as dataset_module
from engine.dataset.publish import publish_dataset, write_dataset_dir
from engine.dataset.read import Dataset, list_datasets, verify
from engine.errors import DatasetError
from engine.lake import Lake
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from tests.blocks import PROVENANCE, Block, cut, publish_random, random_block


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_columns_come_back_bit_for_bit(lake: Lake) -> None:
    block = random_block(2500, 5, seed=1)
    dataset = publish_dataset(lake, "a", cut(block, 256), PROVENANCE)
    columns = dataset.columns(list(GRID_COLUMNS))
    for name, code in GRID_COLUMNS.items():
        assert columns[name].dtype == np.dtype(code)
        assert columns[name].shape == (2500, 11)
        assert columns[name].tobytes() == block.grid[name].tobytes()
    bins = dataset.bins()
    for name in BIN_DTYPE.names or ():
        assert bins[name].dtype == BIN_DTYPE[name]
        assert bins[name].tobytes() == np.ascontiguousarray(block.bins[name]).tobytes()
    assert set(bins["runtime_model_name"]) == {"perm_derivative"}
    assert dataset.k_values.tolist() == list(range(-5, 6))


def test_arrays_handed_out_cannot_be_written(lake: Lake) -> None:
    dataset = publish_random(lake, "a", n_bins=50)
    assert not dataset.columns(["v_add"])["v_add"].flags.writeable
    assert not dataset.bins(["mid_price"])["mid_price"].flags.writeable


@pytest.mark.parametrize("size", [1, 7, 1024, 5000])
def test_files_do_not_depend_on_how_the_bins_were_cut(tmp_path: Path, size: int) -> None:
    block = random_block(1500, 3, seed=2)
    whole = write_dataset_dir(tmp_path / "whole", [block], PROVENANCE)
    parts = write_dataset_dir(tmp_path / "parts", cut(block, size), PROVENANCE)
    assert whole.checksum == parts.checksum


def test_a_block_without_bins_is_nothing(tmp_path: Path) -> None:
    block = random_block(30, 3, seed=2)
    empty = next(iter(cut(block, 10)))
    empty.bins, empty.grid = empty.bins[:0], {name: column[:0] for name, column in empty.grid.items()}
    whole = write_dataset_dir(tmp_path / "whole", [block], PROVENANCE)
    dataset = write_dataset_dir(tmp_path / "parts", [empty, *cut(block, 10), empty], PROVENANCE)
    assert (dataset.n_bins, dataset.checksum) == (30, whole.checksum)


def test_a_block_may_be_reused_by_its_maker(tmp_path: Path) -> None:
    block = random_block(300, 3, seed=3)
    scratch = random_block(100, 3, seed=4)

    def reusing():
        for start in (0, 100, 200):
            scratch.bins[:] = block.bins[start : start + 100]
            for name in GRID_COLUMNS:
                scratch.grid[name][:] = block.grid[name][start : start + 100]
            yield scratch

    dataset = write_dataset_dir(tmp_path / "out", reusing(), PROVENANCE)
    assert dataset.columns(["j_fill"])["j_fill"].tobytes() == block.grid["j_fill"].tobytes()


def test_manifest_and_checksums_hold_what_they_must(lake: Lake) -> None:
    dataset = publish_dataset(lake, "a", [random_block(20, 5, 1)], lambda: {**PROVENANCE, "start_time": "09:25"})
    manifest = json.loads((dataset.folder / "manifest.json").read_text())
    assert manifest["dataset_id"] == "a"
    assert manifest["n_bins"] == 20
    assert manifest["start_time"] == "09:25"
    assert manifest["end_ns"] - manifest["start_ns"] == 20 * 100_000_000
    assert manifest["columns"]["grid"] == ["bin_seq", *GRID_COLUMNS]
    assert {"schema_version", "created_at", "code_version", "source_files", "dt", "config", "config_version"} <= set(manifest)
    assert set(json.loads((dataset.folder / "checksums.json").read_text())) == {
        "bins.parquet",
        "grid_clean.parquet",
        "manifest.json",
    }
    assert {oct(p.stat().st_mode & 0o777) for p in dataset.folder.iterdir()} == {"0o444"}
    assert dataset.folder.stat().st_mode & 0o222 == 0


def test_grid_is_sorted_by_bin_and_row_on_disk(lake: Lake) -> None:
    dataset = publish_random(lake, "a", n_bins=30, radius=2)
    table = pq.read_table(dataset.folder / "grid_clean.parquet", columns=["bin_seq", "k"])
    assert table["bin_seq"].to_pylist() == [b for b in range(30) for _ in range(5)]
    assert table["k"].to_pylist() == list(range(-2, 3)) * 30


def test_same_content_again_is_no_write(lake: Lake) -> None:
    first = publish_random(lake, "a", seed=1)
    stamp = (first.folder / "manifest.json").stat()
    again = publish_random(lake, "a", seed=1)
    assert (again.folder / "manifest.json").stat() == stamp
    assert [p.name for p in lake.datasets.iterdir()] == ["a"]


def test_other_content_under_the_same_id_is_refused(lake: Lake) -> None:
    publish_random(lake, "a", seed=1)
    before = verify(lake, "a").checksum
    with pytest.raises(DatasetError, match=r"exists with other numbers in column .*immutable"):
        publish_random(lake, "a", seed=2)
    with pytest.raises(DatasetError, match=r"config_version 0123456789ab and would be rewritten with ffff"):
        publish_dataset(lake, "a", [random_block(2500, 5, 1)], {**PROVENANCE, "config_version": "ffff"})
    assert verify(lake, "a").checksum == before
    assert [p.name for p in lake.datasets.iterdir()] == ["a"]


def test_a_failing_source_leaves_nothing(lake: Lake) -> None:
    def failing():
        yield random_block(10, 2, 1)
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        publish_dataset(lake, "a", failing(), PROVENANCE)
    assert list(lake.datasets.iterdir()) == []


def test_two_writers_of_one_id_both_end_with_it(lake: Lake) -> None:
    both_ready = threading.Barrier(2)
    seen: list[str] = []

    def write() -> None:
        def blocks():
            both_ready.wait(timeout=30)
            yield from cut(random_block(600, 3, 5), 100)

        seen.append(publish_dataset(lake, "a", blocks(), PROVENANCE).checksum)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert [p.name for p in lake.datasets.iterdir()] == ["a"]


def test_missing_dataset_names_the_place_and_what_is_there(lake: Lake) -> None:
    publish_random(lake, "here", n_bins=5)
    with pytest.raises(DatasetError) as refused:
        Dataset.open(lake, "there")
    assert str(lake.datasets) in str(refused.value)
    assert "here" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dataset_id", ["", "../a", "a/b", ".hidden", "a b", "x" * 300])
def test_an_id_that_cannot_name_a_folder_is_refused(lake: Lake, dataset_id: str) -> None:
    with pytest.raises(DatasetError, match="dataset id was"):
        publish_dataset(lake, dataset_id, [random_block(5, 2, 1)], PROVENANCE)
    with pytest.raises(DatasetError, match="is not in"):
        Dataset.open(lake, dataset_id)


def test_a_flipped_byte_is_found_on_first_load(lake: Lake) -> None:
    folder = publish_random(lake, "a", n_bins=100).folder
    path = folder / "grid_clean.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match=r"a is damaged: grid_clean\.parquet"):
        Dataset.open(lake, "a")
    assert [s.verified for s in list_datasets(lake)] == [False]


def test_files_known_to_be_sound_are_not_hashed_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_random(lake, "a", n_bins=100)
    hashed: list[str] = []
    monkeypatch.setattr(dataset_module, "sha256_file", lambda path: hashed.append(path.name) or "")
    monkeypatch.setattr(dataset_module, "_verified", {})  # as in a fresh process
    Dataset.open(lake, "a")
    assert hashed == []
    os.utime(lake.datasets / "a" / "bins.parquet", ns=(1, 1))
    with pytest.raises(DatasetError, match="damaged"):
        Dataset.open(lake, "a")
    assert hashed == ["bins.parquet"]


@pytest.mark.parametrize("name", ["bins.parquet", "grid_clean.parquet"])
@pytest.mark.parametrize("keep", [0, 4, 2000])
def test_a_table_that_was_cut_after_it_was_opened_is_one_line(lake: Lake, name: str, keep: int) -> None:
    dataset = publish_random(lake, "a", n_bins=100)
    (lake.datasets / "a" / name).chmod(0o644)
    os.truncate(lake.datasets / "a" / name, keep)
    with pytest.raises(DatasetError, match=f"a is damaged: {name} cannot be read") as error:
        dataset.bins() if name == "bins.parquet" else dataset.grid("v_add")
    assert "\n" not in str(error.value)


def test_files_of_the_same_size_and_time_are_hashed_again(lake: Lake) -> None:
    path = lake.datasets / "a" / "bins.parquet"
    publish_random(lake, "a", n_bins=100)
    before = path.stat()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"a is damaged: bins\.parquet has SHA-256"):
        Dataset.open(lake, "a")


def test_gap_in_bin_seq_is_refused(lake: Lake) -> None:
    block = random_block(20, 2, 1)
    with pytest.raises(DatasetError, match=r"it must count 10, 11"):
        publish_dataset(lake, "a", [next(cut(block, 10)), next(cut(block, 10))], PROVENANCE)


def test_no_bins_and_missing_provenance_are_refused(lake: Lake) -> None:
    with pytest.raises(DatasetError, match="would hold no bins"):
        publish_dataset(lake, "a", [], PROVENANCE)
    with pytest.raises(DatasetError, match="lacks config_version"):
        publish_dataset(lake, "a", [random_block(5, 2, 1)], {k: v for k, v in PROVENANCE.items() if k != "config_version"})
    assert list(lake.datasets.iterdir()) == []


def test_unknown_column_names_the_known_ones(lake: Lake) -> None:
    dataset = publish_random(lake, "a", n_bins=5)
    with pytest.raises(DatasetError, match=r"no column v_ad \(nearest: v_add, .*; also there: bin_seq, k, pressure_variant"):
        dataset.columns(["v_ad"])


def test_listing_shows_unusable_folders_with_their_reason(lake: Lake) -> None:
    publish_random(lake, "good", n_bins=5)
    (lake.datasets / "half").mkdir()
    (lake.datasets / "half" / "bins.parquet").write_bytes(b"")
    (lake.datasets / ".left.tmp").mkdir()
    good, half = list_datasets(lake)
    assert (good.dataset_id, good.n_bins, good.verified, good.problem) == ("good", 5, True, "")
    assert half.dataset_id == "half"
    assert "lacks grid_clean.parquet" in half.problem


def test_output_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep.txt").write_text("mine")
    with pytest.raises(DatasetError, match="exists and is not empty"):
        write_dataset_dir(tmp_path / "out", [random_block(5, 2, 1)], PROVENANCE)
    assert (tmp_path / "out" / "keep.txt").read_text() == "mine"


def test_block_of_another_width_is_refused(lake: Lake) -> None:
    narrow = random_block(10, 2, 1)
    wide = random_block(20, 3, 1)
    second = Block(wide.bins[10:], {name: array[10:] for name, array in wide.grid.items()})
    with pytest.raises(DatasetError, match="rows a bin"):
        publish_dataset(lake, "a", [narrow, second], PROVENANCE)


def changed(block: Block, *, field: str = "", column: str = "") -> Block:
    """The same block, the lowest bit of one value of its last bin turned."""
    bins, grid = block.bins.copy(), {name: array.copy() for name, array in block.grid.items()}
    if field:
        bins[field][-1] += 1
    if column:
        grid[column].reshape(-1)[-1:].view(np.uint8)[0] ^= 1
    return Block(bins, grid, block.model_name)


FIELDS = [name for name in BIN_DTYPE.names or () if name not in ("bin_seq", "book_valid") and BIN_DTYPE[name].kind != "b"]


def test_checksum_is_another_for_each_table_that_alone_is_another(tmp_path: Path) -> None:
    block = random_block(20, 2, 1)
    blocks = [block, changed(block, field="best_ask_size"), changed(block, column="ask_depth")]
    sums = {write_dataset_dir(tmp_path / str(i), [one], PROVENANCE).checksum for i, one in enumerate(blocks)}
    assert len(sums) == 3
    again = write_dataset_dir(tmp_path / "again", [block], {**PROVENANCE, "anomalies": {"late_record": 7}})
    assert again.checksum in sums  # of the tables alone


@pytest.mark.parametrize("name", ["bin_start_ns", "best_bid_size", FIELDS[-1]])
def test_one_number_of_one_field_makes_other_content(name: str, lake: Lake) -> None:
    block = random_block(20, 2, 1)
    publish_dataset(lake, "a", [block], PROVENANCE)
    with pytest.raises(DatasetError, match=f"other numbers in column {name}"):
        publish_dataset(lake, "a", [changed(block, field=name)], PROVENANCE)


@pytest.mark.parametrize("name", ["pressure_variant", "bid_depth", "last_event_id"])
def test_one_number_of_one_column_makes_other_content(name: str, lake: Lake) -> None:
    block = random_block(20, 2, 1)
    publish_dataset(lake, "a", [block], PROVENANCE)
    with pytest.raises(DatasetError, match=f"other numbers in column {name}"):
        publish_dataset(lake, "a", [changed(block, column=name)], PROVENANCE)


def test_fewer_bins_or_another_radius_make_other_content(lake: Lake) -> None:
    publish_dataset(lake, "a", [random_block(20, 2, 1)], PROVENANCE)
    with pytest.raises(DatasetError, match="n_bins 20 and would be rewritten with 19"):
        publish_dataset(lake, "a", [random_block(19, 2, 1)], PROVENANCE)
    with pytest.raises(DatasetError, match="grid_radius_ticks 2 and would be rewritten with 3"):
        publish_dataset(lake, "a", [random_block(20, 3, 1)], PROVENANCE)


def test_mapped_column_is_that_of_its_dataset_and_its_name(lake: Lake) -> None:
    """The kept copies of two datasets of one shape, and of two columns of one kind, are kept apart."""
    blocks = {"a": random_block(20, 2, 1), "b": changed(random_block(20, 2, 1), column="ask_depth")}
    datasets = {name: publish_dataset(lake, name, [block], PROVENANCE) for name, block in blocks.items()}
    for _ in range(2):  # made, then found
        for name, block in blocks.items():
            for column in ("bid_depth", "ask_depth", "last_event_id"):
                assert datasets[name].grid(column).tobytes() == block.grid[column].tobytes(), (name, column)
                assert datasets[name].grid(column).dtype == np.dtype(GRID_COLUMNS[column])


@pytest.mark.parametrize("file", ["bins.parquet", "grid_clean.parquet", "manifest.json", "checksums.json"])
@pytest.mark.parametrize("what", ["time", "size", "inode"])
def test_file_that_is_another_by_one_mark_is_not_known_to_be_sound(what: str, file: str, lake: Lake) -> None:
    folder = publish_random(lake, "a", n_bins=5).folder
    assert [s.verified for s in list_datasets(lake)] == [True]
    path, stat = folder / file, (folder / file).stat()
    content = path.read_bytes()
    folder.chmod(0o755)
    path.chmod(0o644)
    if what == "inode":
        other = folder.parent / "other"
        other.write_bytes(content)
        other.replace(path)
    elif what == "size":
        path.write_bytes(content + b" ")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + (what == "time")))
    assert [s.verified for s in list_datasets(lake)] == [False]
