"""The book kept at the warm-up's start: a second start gives the same bins, a damaged or foreign file is made anew."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard

from engine.config import load_instrument
from engine.run.checkpoint import Checkpoint
from engine.run.replay import Replay
from engine.run.runner import Runner, Span
from engine.schema import MboRecords
from engine.simulate.session import simulate
from engine.source.records import Place, open_source
from tests.reference import Record
from tests.sessions import DAY_NS, join
from tests.streams import DAY, DAY_START, build_up, harmless, record, to_array, write_dbn

START = "09:31:10"  # the warm-up begins 70 s into a session that opens at 09:00
CONFIG = load_instrument()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=1900, rate=40.0)
    return path


def started(path: Path, folder: Path | None, start: str = START) -> tuple[bytes, Replay]:
    replay = Replay(open_source([path], CONFIG), CONFIG, start, n_bins=60, checkpoints=folder)
    return join(replay).to_bytes(), replay


@pytest.fixture
def kept(session: Path, tmp_path: Path) -> Path:
    started(session, tmp_path / "books")
    (file,) = (tmp_path / "books").glob("*.book")
    return file


def test_a_start_from_a_kept_book_gives_the_same_bits(session: Path, kept: Path) -> None:
    plain, _ = started(session, None)
    before = kept.stat().st_mtime_ns
    resumed, replay = started(session, kept.parent)
    assert resumed == plain
    assert replay.notices == []
    assert kept.stat().st_mtime_ns == before  # it was used, not written again


def test_a_damaged_checkpoint_is_made_anew_with_a_notice(session: Path, kept: Path) -> None:
    plain, _ = started(session, None)
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    again, replay = started(session, kept.parent)
    assert again == plain
    assert "made anew" in replay.notices[0]
    assert started(session, kept.parent)[1].notices == []


def test_another_file_or_start_does_not_take_it(session: Path, kept: Path, tmp_path: Path) -> None:
    other = tmp_path / session.name
    shutil.copyfile(session, other)
    assert started(other, kept.parent)[0] == started(session, None)[0]
    assert started(session, kept.parent, "09:31:20")[0] == started(session, None, "09:31:20")[0]
    assert len(list(kept.parent.iterdir())) == 3


def test_a_compressed_file_is_entered_in_its_middle(session: Path, tmp_path: Path) -> None:
    packed = tmp_path / f"{session.name}.zst"
    packed.write_bytes(zstandard.compress(session.read_bytes()))
    plain, _ = started(packed, None)
    for _ in range(2):
        resumed, replay = started(packed, tmp_path / "books")
        assert resumed == plain
        assert replay.notices == []
    assert replay.source.place.n_before > 0
    assert len(list((tmp_path / "books" / "records").glob("*.mbo"))) == 1


def test_reading_begins_where_the_book_ends(session: Path, tmp_path: Path) -> None:
    for _ in range(2):
        source = open_source([session], CONFIG)
        replay = Replay(source, CONFIG, START, n_bins=1, chunk_records=256, checkpoints=tmp_path)
        places = []
        inner = source.records

        def watched(chunk: int, start: Place) -> Iterator[MboRecords]:
            for records in inner(chunk, start):  # noqa: B023  # used up within the turn
                places.append(source.place.n_before)  # noqa: B023
                yield records

        source.records = watched  # type: ignore[method-assign]
        join(replay)
    assert places[0] > 70 * 20  # 70 s at about 40 records a second lie before the warm-up
    assert places == list(range(places[0], places[-1] + 1, 256))


def test_a_start_within_the_warm_up_keeps_nothing(session: Path, tmp_path: Path) -> None:
    started(session, tmp_path / "books", "09:05")
    assert not (tmp_path / "books").exists()


# What a kept book is bound to, and what it is not


def key_of(
    paths: list[Path], span: tuple[int, int, int] = (DAY_START, DAY_START + DAY_NS, 5 * 10**18), **overrides: object
) -> str:
    """The key in the name of a checkpoint of these files."""
    config = load_instrument(overrides=overrides)
    path = Checkpoint(Path(), open_source(paths, config, DAY), Runner(config, Span(*span))).path
    return path.stem.rsplit("_", 1)[1]


@pytest.fixture
def two_files(tmp_path: Path) -> list[Path]:
    """Two files of one time stamp."""
    ids = {"MNQH6": 42_004_000, "MNQM6": 42_004_001}
    paths = [write_dbn(tmp_path / name, to_array(build_up()), ids) for name in ("a.dbn", "b.dbn")]
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    return paths


def test_book_is_bound_to_all_that_shaped_it(two_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = two_files
    start, end, first = DAY_START, DAY_START + DAY_NS, 5 * 10**18
    keys = {
        "as it is": key_of([a]),
        "path": key_of([b]),
        "both": key_of([a, b]),
        "order": key_of([b, a]),
        "symbol": key_of([a], symbol="MNQM6"),
        "tick": key_of([a], tick_size=0.5),
        "slots": key_of([a], n_absolute_ticks=4096),
        "radius": key_of([a], grid_radius_ticks=49),
        "warm-up": key_of([a], (start, end, first + 1)),
        "day's start": key_of([a], (start + 1, end, first)),
        "day's end": key_of([a], (start, end + 1, first)),
    }
    os.utime(a, ns=(10**18 + 1, 10**18 + 1))
    keys["time"] = key_of([a])
    a.write_bytes(a.read_bytes() + bytes(56))
    os.utime(a, ns=(10**18, 10**18))
    keys["size"] = key_of([a])
    monkeypatch.setattr("engine.run.checkpoint.source_hash", lambda: "other code")
    keys["code"] = key_of([a])
    assert len(set(keys.values())) == len(keys)


def test_book_is_shared_by_what_did_not_shape_it(two_files: list[Path]) -> None:
    assert key_of(two_files, tau_velocity=9.0, cell_width_ms=50, zscore_window_bins=99) == key_of(two_files)


def test_key_itself_is_checked_and_not_the_name_alone(session: Path, kept: Path) -> None:
    """The name holds 16 digits of it: a foreign book under that name is made anew."""
    data = kept.read_bytes()
    started(session, kept.parent, "09:31:20")
    (other,) = set(kept.parent.glob("*.book")) - {kept}
    other.write_bytes(data)
    again, replay = started(session, kept.parent, "09:31:20")
    assert again == started(session, None, "09:31:20")[0]
    assert "made anew" in replay.notices[0]


def test_book_kept_under_other_settings_of_the_run_serves(session: Path, tmp_path: Path) -> None:
    """How many bins are wanted, how wide they are, and what scores them is the run's own."""
    source = open_source([session], CONFIG)
    assert len(join(Replay(source, CONFIG, START, n_bins=2, checkpoints=tmp_path)).fields) == 2
    (kept,) = tmp_path.glob("*.book")
    before = kept.stat().st_mtime_ns
    for n_bins, overrides in (
        (5, {}),
        (3, {"cell_width_ms": 250}),
        (4, {"tau_velocity": 7.0}),
        (1, {"perm_runtime_enabled": False}),
    ):
        config = load_instrument(overrides=overrides)
        plain, resumed = (
            join(Replay(open_source([session], config), config, START, n_bins=n_bins, checkpoints=folder))
            for folder in (None, tmp_path)
        )
        assert len(resumed.fields) == n_bins
        assert resumed.to_bytes() == plain.to_bytes()
    without_end = Replay(open_source([session], CONFIG), CONFIG, START, checkpoints=tmp_path)
    assert len(join(without_end).fields) > 100
    assert kept.stat().st_mtime_ns == before


# A change of the contract's id before the warm-up, which begins 70 s behind 09:00


def of_id(instrument_id: int, *records: Record) -> np.ndarray:  # type: ignore[type-arg]
    rows = to_array(records)
    rows["instrument_id"] = instrument_id
    return rows


@pytest.fixture
def changing(tmp_path: Path) -> list[Path]:
    """Id 100's book and one order more, then id 200's: no snapshot of its own, two records before the warm-up, two in bins."""
    quotes = [record("A", 1, side="B", tick=-9, size=2, time=10**9), record("A", 2, side="A", tick=9, size=3, time=10**9)]
    later = [harmless(ms) for ms in (30_000, 60_000, 1_870_050, 1_870_150)]
    return [
        write_dbn(tmp_path / "a-20260206.dbn", of_id(100, *build_up(), harmless(50)), {}),
        write_dbn(tmp_path / "b-20260206.dbn", of_id(200, *quotes, *later), {}),
    ]


def started_behind(paths: list[Path], folder: Path | None, chunk: int) -> tuple[list[int], bytes, list[str], int | None]:
    """Event ids, bits, notices, and until when the data reach."""
    replay = Replay(open_source(paths, CONFIG, DAY), CONFIG, START, checkpoints=folder, chunk_records=chunk)
    bins = join(replay)
    return bins.fields["event_id"].tolist(), bins.to_bytes(), replay.notices, replay.source.end_ns


@pytest.mark.parametrize("chunk", [1, 2, 3, 4096])
def test_start_behind_a_change_of_id_counts_and_tells_it_as_a_cold_one_does(
    chunk: int, changing: list[Path], tmp_path: Path
) -> None:
    cold = started_behind(changing, None, chunk)
    # 14 of the old id, the clear between the two, 4 of the new one; then one in each bin.
    assert cold[0] == [20, 21]
    place = f"first from 100 to 200 at {build_up()[0].ts_recv + 10**9} ns, sequence 1"
    assert cold[2] == [f"changes of the contract's instrument id: 1, {place}; what rested before was cleared"]
    for _ in range(2):  # the first one keeps the book, the second starts from it
        assert started_behind(changing, tmp_path / "books", chunk) == cold


@pytest.mark.parametrize("chunk", [2, 4096])
def test_start_from_a_kept_book_still_tells_that_an_earlier_file_is_broken(
    chunk: int, changing: list[Path], tmp_path: Path
) -> None:
    """And its end is not vouched for: no empty bins follow up to the end that the last file declares."""
    changing[0].write_bytes(changing[0].read_bytes()[:-3])
    end = DAY_START + 14 * 3600 * 10**9 + 1_880 * 10**9
    quotes = [record("A", 1, side="B", tick=-9, time=10**9), harmless(60_000), harmless(1_870_050)]
    changing[1] = write_dbn(changing[1], of_id(200, *quotes), {}, end_ns=end)
    cold = started_behind(changing, None, chunk)
    assert (len(cold[0]), cold[3]) == (1, None)
    assert cold[2][0] == f"{changing[0]} breaks off 53 bytes into a record; read up to the last whole one"
    for _ in range(2):
        assert started_behind(changing, tmp_path / "books", chunk) == cold
