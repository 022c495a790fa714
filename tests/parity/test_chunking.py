"""The same bins to the last bit however the records come: whole, in chunks, compressed or not, bin by bin."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.run.replay import Replay
from engine.source.records import open_source
from tests.sessions import Bins, join, replay_file
from tests.streams import DAY, SYMBOL, write_dbn

SMALL_GRID = load_instrument(overrides={"grid_radius_ticks": 12})


def written(path: Path, rows: NDArray[np.void], end_ns: int | None = None) -> Path:
    return write_dbn(path, rows, {SYMBOL: int(rows["instrument_id"][0])}, end_ns=end_ns)


@pytest.fixture(scope="module")
def both_forms(simulated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The simulated session as .dbn and as .dbn.zst, record for record the same."""
    source = open_source([simulated_file], SMALL_GRID, DAY)
    rows = np.concatenate(list(source.records()))
    folder = tmp_path_factory.mktemp("forms")
    return {name: written(folder / f"day.{name}", rows, source.end_ns) for name in ("dbn", "dbn.zst")}


@pytest.fixture(scope="module")
def whole(simulated_file: Path) -> Bins:
    return replay_file(simulated_file, SMALL_GRID, block_bins=100_000, chunk_records=10**9)


def test_session_is_long_enough_to_tell(whole: Bins) -> None:
    assert len(whole.fields) >= 300
    assert np.count_nonzero(whole.grid["spectrum_score"]) > 1000
    assert np.count_nonzero(whole.fields["runtime_model_score"]) > 100


@pytest.mark.parametrize("form", ["dbn", "dbn.zst"])
@pytest.mark.parametrize("chunk_records", [1, 7, 4096])
def test_chunks_give_the_same_bins(form: str, chunk_records: int, both_forms: dict[str, Path], whole: Bins) -> None:
    chunked = replay_file(both_forms[form], SMALL_GRID, chunk_records=chunk_records)
    assert chunked.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("block_bins", [1, 7, 256])
def test_blocks_of_any_size_give_the_same_bins(block_bins: int, simulated_file: Path, whole: Bins) -> None:
    assert replay_file(simulated_file, SMALL_GRID, block_bins=block_bins).to_bytes() == whole.to_bytes()


def test_a_file_cut_in_two_gives_the_same_bins(both_forms: dict[str, Path], whole: Bins, tmp_path: Path) -> None:
    source = open_source([both_forms["dbn"]], SMALL_GRID, DAY)
    rows = np.concatenate(list(source.records()))
    middle = len(rows) // 2
    parts = [written(tmp_path / "a.dbn", rows[:middle]), written(tmp_path / "b.dbn.zst", rows[middle:], source.end_ns)]
    assert join(Replay(open_source(parts, SMALL_GRID, DAY), SMALL_GRID)).to_bytes() == whole.to_bytes()
