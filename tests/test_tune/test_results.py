import multiprocessing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.lake import Lake
from tests.test_tune.small_sweep import COMMON, evaluated, points_of
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
