import logging
import multiprocessing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.lake import Lake
from tests.test_tune.made import made, run_of
from tests.test_tune.small_sweep import COMMON, evaluated, points_of
from tune.parts import compact, write_part
from tune.results import META_SCHEMA, ROWS_SCHEMA, ResultStore


def test_what_was_added_comes_back_with_every_column(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake))
    store = ResultStore(lake)
    assert len(store.meta()) == 0
    assert len(store.rows()) == 0
    store.append(results[:3], sweep_id="s", **COMMON)
    store.append(results[3:], sweep_id="s", **COMMON)
    assert store.meta().get_column("run_id").to_list() == [r.meta["run_id"] for r in results]
    rows = store.rows()
    assert len(rows) == 8 * 6
    assert set(rows.columns) == set(META_SCHEMA.names) | set(ROWS_SCHEMA.names)
    assert store.run_ids() == {r.meta["run_id"] for r in results}
    assert all(rows.get_column(name).null_count() == 0 for name in rows.columns)


def test_every_field_of_a_result_has_its_column_and_no_other(lake: Lake) -> None:
    (result,) = evaluated(lake, points_of(lake)[:1])
    assert set(result.meta) | {"sweep_id", *COMMON} == set(META_SCHEMA.names)
    assert set(result.rows[0]) == set(ROWS_SCHEMA.names)


def test_a_run_written_twice_is_read_once(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake)[:2])
    store = ResultStore(lake)
    store.append(results, sweep_id="first", **COMMON)
    store.append(results, sweep_id="second", **COMMON)
    assert store.meta().get_column("sweep_id").to_list() == ["first", "first"]
    assert len(store.rows()) == 2 * 6


def test_rows_without_their_meta_are_not_seen(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake)[:2])
    store = ResultStore(lake)
    store.append(results, sweep_id="s", **COMMON)
    for part in store.meta_dir.iterdir():
        part.unlink()  # as if the writer had died between the two files
    assert len(store.rows()) == 0
    store.append(results, sweep_id="again", **COMMON)
    assert len(store.rows()) == 2 * 6


def test_part_files_are_never_touched_again(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake)[:2])
    store = ResultStore(lake)
    store.append(results[:1], sweep_id="s", **COMMON)
    (first,) = store.meta_dir.iterdir()
    stamp = first.stat()
    store.append(results[1:], sweep_id="s", **COMMON)
    assert first.stat() == stamp
    assert stamp.st_mode & 0o222 == 0
    assert pq.read_schema(first).equals(META_SCHEMA)


def _append_all(root: Path, first: int) -> None:
    lake = Lake(root)
    for result in evaluated(lake, points_of(lake))[first : first + 4]:
        ResultStore(lake).append([result], sweep_id=f"from {first}", **COMMON)


@pytest.mark.timeout(120)
def test_two_writers_at_once_lose_nothing(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_all, args=(lake.root, first)) for first in (0, 4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(ResultStore(lake).meta()) == 8
    assert len(ResultStore(lake).rows()) == 8 * 6


# --- what is read, and what is not ---


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(Lake(tmp_path / "empty"))


def test_every_figure_comes_back_under_its_own_name(store: ResultStore) -> None:
    row = made("a", 0.1, block_n=list(range(48)), fold_sum=[1.0, 2.0, 3.0, 4.0, 5.0])
    told = {"sweep_id": "sw", "experiment_name": "ex", "config_hash": "ha", "timestamp_utc": "ti"}
    store.append([run_of([row])], **told)
    (found,) = store.rows().to_dicts()
    assert found == {**row, **told}
    (meta,) = store.meta().to_dicts()
    assert meta == {name: {**row, **told}[name] for name in META_SCHEMA.names}


def test_a_row_is_a_run_at_a_threshold_and_the_first_written_stands(store: ResultStore) -> None:
    store.append([run_of([made("b", 0.2, sharpe=1.0)])], sweep_id="1", **COMMON)
    store.append([run_of([made("a", 0.2, sharpe=2.0), made("a", 0.1, sharpe=3.0)])], sweep_id="2", **COMMON)
    store.append([run_of([made("b", 0.2, sharpe=4.0)])], sweep_id="3", **COMMON)
    assert store.rows().select("run_id", "threshold", "sharpe", "sweep_id").rows() == [
        ("b", 0.2, 1.0, "1"),
        ("a", 0.2, 2.0, "2"),
        ("a", 0.1, 3.0, "2"),
    ]
    assert store.meta().select("run_id", "sweep_id").rows() == [("b", "1"), ("a", "2")]


def test_rows_are_of_the_runs_that_are_asked_for(store: ResultStore) -> None:
    for run_id in ("a", "b", "c"):
        store.append([run_of([made(run_id, 0.1)])], sweep_id="s", **COMMON)
    assert store.rows(["c", "a", "gone"]).get_column("run_id").to_list() == ["a", "c"]
    assert store.rows([]).is_empty()
    assert store.rows().height == 3


def test_the_cooldown_of_a_row_is_its_own(store: ResultStore) -> None:
    one = run_of([made("a", 0.1, cooldown_bins=30)])
    one.meta["cooldown_bins"] = 99
    store.append([one], sweep_id="s", **COMMON)
    assert store.rows().item(0, "cooldown_bins") == 30


def test_rows_are_written_before_the_run_counts_as_done(store: ResultStore) -> None:
    store.meta_dir.parent.mkdir(parents=True)
    store.meta_dir.write_text("in the way")
    with pytest.raises(OSError, match="runs_meta"):
        store.append([run_of([made("a", 0.1)])], sweep_id="s", **COMMON)
    assert len(list(store.rows_dir.iterdir())) == 1
    store.meta_dir.unlink()
    assert store.run_ids() == set()
    assert store.rows().is_empty()


def test_nothing_is_written_of_no_run(store: ResultStore) -> None:
    store.append([], sweep_id="s", **COMMON)
    assert not store.rows_dir.exists()


def test_parts_of_an_older_version_lack_columns_and_are_read_with_nulls(store: ResultStore) -> None:
    store.append([run_of([made("new", 0.1)])], sweep_id="s", **COMMON)
    old = pa.schema([field for field in ROWS_SCHEMA if field.name not in ("fill_model", "n_through_gap")])
    old = old.append(pa.field("n_left_out", pa.int64()))  # which is gone
    row = {**made("old", 0.1), "n_left_out": 3}
    write_part(store.rows_dir, [{name: row[name] for name in old.names}], old)
    row.pop("n_left_out")
    write_part(store.meta_dir, [{**run_of([row]).meta, "sweep_id": "s", **COMMON}], META_SCHEMA)
    n = made("new", 0.1)["n_through_gap"]
    rows = store.rows()
    assert rows.select("run_id", "fill_model", "n_through_gap").rows() == [("new", "touch to touch", n), ("old", None, None)]
    assert set(rows.columns) == set(META_SCHEMA.names) | set(ROWS_SCHEMA.names)


# --- parts made one, and damaged ones ---


def _parts_of(store: ResultStore, *run_ids: str) -> None:
    for run_id in run_ids:
        store.append([run_of([made(run_id, 0.1), made(run_id, 0.2)])], sweep_id=f"of {run_id}", **COMMON)


def test_parts_made_one_read_as_before_and_in_the_same_order(store: ResultStore) -> None:
    _parts_of(store, "c", "a", "b")
    _parts_of(store, "a")
    before, meta = store.rows(), store.meta()
    store.compact()
    assert [len(list(folder.iterdir())) for folder in (store.rows_dir, store.meta_dir)] == [1, 1]
    assert store.rows().equals(before)
    assert store.meta().equals(meta)
    assert before.get_column("run_id").to_list() == ["c", "c", "a", "a", "b", "b"]
    _parts_of(store, "d")
    assert store.meta().get_column("run_id").to_list() == ["c", "a", "b", "d"]
    (first, _) = sorted(store.rows_dir.iterdir())
    assert first.stat().st_mode & 0o222 == 0
    assert pq.read_table(first).num_rows == 8  # by another reader, doubled rows included


def test_large_parts_stay_for_themselves(store: ResultStore) -> None:
    _parts_of(store, "a", "b", "c", "d")
    sizes = [part.stat().st_size for part in sorted(store.meta_dir.iterdir())]
    assert compact(store.meta_dir, sum(sizes[:2])) == 2  # two and two, the limit itself allowed
    assert len(list(store.meta_dir.iterdir())) == 2
    assert compact(store.rows_dir, 1) == 0
    assert len(list(store.rows_dir.iterdir())) == 4


def test_a_crash_between_the_new_file_and_the_old_ones_loses_and_doubles_nothing(store: ResultStore) -> None:
    _parts_of(store, "b", "a")
    kept = {part: part.read_bytes() for part in store.rows_dir.iterdir()}
    before = store.rows()
    store.compact()
    for part, data in kept.items():
        part.write_bytes(data)
    assert len(list(store.rows_dir.iterdir())) == 3
    assert store.rows().equals(before)
    store.compact()
    assert store.rows().equals(before)


def test_columns_of_an_older_version_outlive_it(store: ResultStore) -> None:
    old = ROWS_SCHEMA.append(pa.field("n_left_out", pa.int64()))
    write_part(store.rows_dir, [{**{n: made("a", 0.1)[n] for n in ROWS_SCHEMA.names}, "n_left_out": 3}], old)
    _parts_of(store, "b")
    compact(store.rows_dir)
    (part,) = store.rows_dir.iterdir()
    assert pq.read_table(part, columns=["n_left_out"]).to_pydict() == {"n_left_out": [3, None, None]}


@pytest.mark.parametrize("how", ["empty", "cut", "no parquet", "page"])
def test_a_damaged_part_is_named_and_stepped_over(store: ResultStore, caplog: pytest.LogCaptureFixture, how: str) -> None:
    _parts_of(store, "a", "b", "c")
    victim = sorted(store.rows_dir.iterdir())[1]
    data = victim.read_bytes()
    victim.chmod(0o644)
    broken = {
        "empty": b"",
        "cut": data[: len(data) // 2],
        "no parquet": b"x" * 500,
        "page": data[:4] + b"\xff" * 400 + data[404:],
    }
    victim.write_bytes(broken[how])
    with caplog.at_level(logging.WARNING):
        assert store.rows().get_column("run_id").to_list() == ["a", "a", "c", "c"]
        assert store.run_ids() == {"a", "c"}  # so that b is computed again
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    assert str(victim) in caplog.text
    store.compact()
    assert victim.read_bytes() == broken[how]
    assert store.rows().get_column("run_id").to_list() == ["a", "a", "c", "c"]
    _parts_of(store, "b")
    assert store.run_ids() == {"a", "b", "c"}


def test_a_damaged_part_of_runs_is_computed_again_and_stands_once(store: ResultStore) -> None:
    _parts_of(store, "a", "b")
    victim = sorted(store.meta_dir.iterdir())[0]
    victim.chmod(0o644)
    victim.write_bytes(b"")
    assert store.run_ids() == {"b"}
    _parts_of(store, "a")
    assert store.rows().select("run_id", "threshold").rows() == [("a", 0.1), ("a", 0.2), ("b", 0.1), ("b", 0.2)]


def _compact_over_and_over(root: Path) -> None:
    store = ResultStore(Lake(root))
    for i in range(30):
        _parts_of(store, f"n{i}", f"m{i}")
        store.compact()


@pytest.mark.timeout(120)
def test_rows_are_read_whole_while_parts_are_made_one(tmp_path: Path) -> None:
    root = tmp_path / "busy"
    store = ResultStore(Lake(root))
    _parts_of(store, *(f"s{i}" for i in range(20)))
    writer = multiprocessing.get_context("spawn").Process(target=_compact_over_and_over, args=(root,))
    writer.start()
    n_read = 0
    while writer.is_alive():
        rows = store.rows()
        assert rows.filter(rows.get_column("run_id").str.starts_with("s")).height == 40
        assert rows.height == rows.unique(["run_id", "threshold"]).height
        n_read += 1
    writer.join()
    assert writer.exitcode == 0
    assert n_read > 3
    assert store.rows().height == 40 + 120
