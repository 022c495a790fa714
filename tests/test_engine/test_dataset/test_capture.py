"""A replay becomes a dataset that holds its bins bit for bit, and the recipe to make it again."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.config import load_instrument
from engine.dataset.capture import publish_replay, publish_variant, require_whole_book, write_replay
from engine.dataset.publish import write_dataset_dir
from engine.errors import DatasetError, SourceError
from engine.files import sha256_file
from engine.lake import Lake
from engine.run.replay import Replay
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from engine.simulate.session import simulate
from engine.source.records import open_source
from tests.reference import F_LAST, F_SNAPSHOT, Record
from tests.streams import DAY, DAY_START, build_up, record, to_array, write_dbn

START, N_BINS = "09:00", 300


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "sim-20260206.mbo.dbn"
    simulate(path, seed=11, seconds=40.0, rate=300.0, start="2026-02-06T09:00")
    return path


def test_dataset_holds_the_replays_bins_bit_for_bit(session: Path, tmp_path: Path) -> None:
    config = load_instrument()
    seen: list[int] = []
    dataset = publish_replay(Lake(tmp_path), "a", [session], config, start_time=START, n_bins=N_BINS, progress=seen.append)
    blocks = list(Replay(open_source([session], config), config, START, N_BINS, block_bins=7))
    columns, bins = dataset.columns(list(GRID_COLUMNS)), dataset.bins()
    for name in GRID_COLUMNS:
        assert columns[name].tobytes() == np.concatenate([block.grid[name] for block in blocks]).tobytes(), name
    for name in BIN_DTYPE.names or ():
        assert bins[name].tobytes() == np.concatenate([block.bins[name] for block in blocks]).tobytes(), name
    assert seen[-1] == N_BINS


def test_manifest_names_source_and_recipe(session: Path, tmp_path: Path) -> None:
    config = load_instrument(overrides={"tau_velocity": 3.0})
    overrides = {"tau_velocity": 3.0}
    dataset = publish_replay(Lake(tmp_path), "a", [session], config, start_time=START, n_bins=N_BINS, overrides=overrides)
    (source,) = dataset.manifest["source_files"]
    assert source == {"path": str(session), "size": session.stat().st_size, "sha256": sha256_file(session)}
    assert (dataset.manifest["dt"], dataset.manifest["start_time"]) == ("2026-02-06", START)
    assert dataset.manifest["config_version"] == config.config_version
    assert dataset.manifest["config"]["tau_velocity"] == 3.0
    assert dataset.manifest["overrides"] == overrides
    assert dataset.manifest["runtime_model"]["name"] == "perm_derivative"


def test_a_folder_and_the_lake_get_the_same_bytes_and_the_same_recipe(session: Path, tmp_path: Path) -> None:
    config, lake = load_instrument(), Lake(tmp_path)
    published = publish_replay(lake, "a", [session], config, start_time=START, n_bins=N_BINS)
    replay = Replay(open_source([session], config), config, START, N_BINS, block_bins=7)
    folder = write_replay(replay, partial(write_dataset_dir, tmp_path / "a"))
    assert folder.checksum == published.checksum
    of_the_moment = {"created_at"}
    assert {k: v for k, v in folder.manifest.items() if k not in of_the_moment} == {
        k: v for k, v in published.manifest.items() if k not in of_the_moment
    }


def test_a_session_that_gives_one_bin_less_than_all_that_are_needed_is_refused(session: Path, tmp_path: Path) -> None:
    lake, config = Lake(tmp_path), load_instrument()
    n_bins = publish_replay(lake, "whole", [session], config, start_time=START).n_bins
    all_of_them = publish_replay(lake, "a", [session], config, start_time=START, n_bins=n_bins, needs_all_bins=True)
    assert all_of_them.n_bins == n_bins
    with pytest.raises(DatasetError, match=f"gave only {n_bins} of the {n_bins + 1} bins"):
        publish_replay(lake, "b", [session], config, start_time=START, n_bins=n_bins + 1, needs_all_bins=True)
    assert not (lake.datasets / "b").exists()


def test_a_variant_with_nothing_changed_is_the_same_dataset(session: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    base = publish_replay(lake, "a", [session], load_instrument(), start_time=START, n_bins=N_BINS)
    assert publish_variant(lake, "b", base, {}).checksum == base.checksum
    assert publish_variant(lake, "c", base, {"tau_velocity": 9.0}).checksum != base.checksum


@pytest.mark.parametrize(("width_ms", "n_bins"), [(250, 120), (70, 428), (30_000, 1), (30_001, 1)])
def test_a_variant_of_other_width_covers_the_same_span(width_ms: int, n_bins: int, session: Path, tmp_path: Path) -> None:
    """300 bins of 100 ms are 30 s; a bin wider than that is still one."""
    lake = Lake(tmp_path)
    base = publish_replay(lake, "a", [session], load_instrument(), start_time=START, n_bins=N_BINS)
    variant = publish_variant(lake, "b", base, {"cell_width_ms": width_ms})
    assert (variant.n_bins, variant.manifest["overrides"]) == (n_bins, {"cell_width_ms": width_ms})
    assert variant.manifest["start_ns"] == base.manifest["start_ns"]


FLOW = 10**9  # the first bin is at 09:00:01
CLEAR = record("R", 0, side="N", size=0, time=5 * FLOW)
# What comes before a clear in the middle of the bins, and whether the book counts as whole.
OPENINGS = {
    "nothing": ([], True),
    "flow 1 ns before the first bin": ([record("A", 1, time=FLOW - 1)], True),
    "flow with the first bin": ([record("A", 1, time=FLOW)], False),
    "flow 1 ns behind its start": ([record("A", 1, time=FLOW + 1)], False),
    "flow of the day's last ns": ([Record(**{**vars(record("A", 1)), "ts_event": DAY_START + 86_400 * 10**9 - 1})], False),
    "flow of the next day": ([Record(**{**vars(record("A", 1)), "ts_event": DAY_START + 86_400 * 10**9})], True),
    "a snapshot's record": ([record("A", 1, time=FLOW, flags=F_SNAPSHOT | F_LAST)], True),
    "flow, then a snapshot": ([record("A", 1, time=FLOW), *build_up()], False),
}


@pytest.mark.parametrize("chunk", ["together", "apart"])
@pytest.mark.parametrize("case", OPENINGS)
def test_book_is_whole_if_a_clear_comes_before_all_that_flows_in_bins(case: str, chunk: str, tmp_path: Path) -> None:
    before, is_whole = OPENINGS[case]
    streams = [[*before, CLEAR]] if chunk == "together" else [[r] for r in [*before, CLEAR]]
    paths = [write_dbn(tmp_path / f"{i}.dbn", to_array(stream)) for i, stream in enumerate(streams)]
    source = open_source(paths, load_instrument(), DAY)
    if is_whole:
        require_whole_book(source, "09:00:01")
        return
    with pytest.raises(SourceError, match="starts cold"):
        require_whole_book(source, "09:00:01")


def test_source_without_a_clear_is_refused_only_where_something_flows(tmp_path: Path) -> None:
    early = write_dbn(tmp_path / "early.dbn", to_array([record("A", 1, time=FLOW - 1)]))
    require_whole_book(open_source([early], load_instrument(), DAY), "09:00:01")
    with pytest.raises(SourceError, match="starts cold"):
        require_whole_book(open_source([early], load_instrument(), DAY), None)
