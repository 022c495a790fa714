"""Tables that another process makes: made once for all who ask, kept by state, and never with the token in hand."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.lake import Lake
from serve.asides import _AT_ONCE, _WAITING, AsideError, Asides, BadAskError, TooManyError, _environment
from serve.board import read_table, state_of
from tests.blocks import publish_random
from tests.test_tune.small_sweep import DATASET, finished_sweep

GONE = r"^a\.arrow is gone or damaged; delete it in the lake's cache/boards, and it is made again$"


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def words(lake: Lake, *more: str) -> list[str]:
    return ["compare", f"--lake={lake.root}", *more]


def test_all_who_ask_at_once_get_one_table_and_the_next_one_gets_it_from_before(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    async def ask() -> None:
        asides = Asides(tmp_path / "made")
        try:
            paths = await asyncio.gather(*(asides.table(words(lake), "one") for _ in range(5)))
            made = paths[0].stat().st_mtime_ns
            assert set(paths) == {paths[0]}
            assert [path.name for path in (tmp_path / "made").iterdir()] == [paths[0].name]
            assert (await asides.table(words(lake), "one")).stat().st_mtime_ns == made
            older = await asides.table(words(lake), "two", patience_s=0.0)
            assert older == paths[0]  # what there is, while the new one is being made
            newer = await asides.table(words(lake), "two")
            assert (newer != older, newer.name.endswith("-two.arrow")) == (True, True)
            with pytest.raises(BadAskError, match="no run of 'nope'"):
                await asides.table(words(lake, "--dataset=nope"), "one")
            asides._under_way.update({str(i): None for i in range(_AT_ONCE + _WAITING)})  # type: ignore[misc]
            with pytest.raises(TooManyError, match="18 tables are being made"):
                await asides.table(words(lake, "--min-signals=7"), "one")
        finally:
            await asyncio.to_thread(asides.close)
        asides._under_way.clear()

    run(ask())


def test_what_is_being_made_ends_with_the_service(tmp_path: Path) -> None:
    async def ask() -> None:
        asides = Asides(tmp_path / "made")
        task = asyncio.create_task(asides.table(words(Lake(tmp_path / "lake")), "one"))
        async with asyncio.timeout(20):
            while not asides._children:
                await asyncio.sleep(0)
        await asyncio.to_thread(asides.close)
        with pytest.raises(AsideError):
            await task
        with pytest.raises((AsideError, RuntimeError)):
            await asides.table(words(Lake(tmp_path / "lake")), "two")
        assert not asides._children

    run(ask())


def test_the_other_process_does_not_get_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_TOKEN", "correct-horse-battery")
    monkeypatch.setenv("SPYMASTER_LAKE", "here")
    made = _environment()
    assert "correct-horse-battery" not in " ".join(made.values())
    assert (made["SPYMASTER_LAKE"], made["OMP_NUM_THREADS"]) == ("here", "1")
    assert made.keys() >= os.environ.keys() - {"SPYMASTER_TOKEN"}


def test_the_state_of_the_results_changes_with_what_is_ranked_and_with_nothing_else(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    publish_random(lake, DATASET, n_bins=600, radius=5, seed=7)
    empty = state_of(lake)
    assert state_of(lake) == empty
    finished_sweep(lake, eval={"tp_ticks": 2, "sl_ticks": 2, "max_hold_bins": 50, "warmup_bins": 100})
    swept = state_of(lake)
    assert swept != empty
    (lake.root / "models").mkdir()
    (lake.results / "notes.txt").write_text("beside the parts")
    assert state_of(lake) == swept
    for folder in (
        lake.results / "runs.parquet",
        lake.results / "runs_meta.parquet",
        lake.harness / "trials.parquet",
        lake.sweeps,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part-x.parquet").write_bytes(b"")
        assert state_of(lake) != swept
        (folder / "part-x.parquet").unlink()
        assert state_of(lake) == swept


def test_a_table_that_is_cut_or_gone_is_one_line_and_one_read_before_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    rows = pa.table({"x": list(range(100_000))}).replace_schema_metadata({"told": '{"n": 1}'})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as stream:
        stream.write_table(rows)
    read = read_table(path)
    os.truncate(path, 5000)  # under a mapping the next look would end the process
    assert (read.told, sum(read.rows["x"].to_pylist())) == ({"n": 1}, 99_999 * 100_000 // 2)
    with pytest.raises(AsideError, match=GONE):
        read_table(path)
    path.write_bytes(b"")
    with pytest.raises(AsideError, match=GONE):
        read_table(path)
    path.unlink()
    with pytest.raises(AsideError, match=GONE):
        read_table(path)
