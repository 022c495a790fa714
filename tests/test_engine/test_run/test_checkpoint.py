"""The book kept at the warm-up's start: a second start gives the same bins, a damaged or foreign file is made anew."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from engine.config import load_instrument
from engine.run.replay import Replay
from engine.schema import MboRecords
from engine.simulate.session import simulate
from engine.source.records import Place, open_source
from tests.sessions import join

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


def test_a_file_of_the_same_size_and_time_does_not_take_it(session: Path, tmp_path: Path) -> None:
    file = tmp_path / session.name
    shutil.copyfile(session, file)
    folder = tmp_path / "of_its_own"
    started(file, folder)
    before = file.stat()
    rows = bytearray(file.read_bytes())
    rows[-56 * 40 + 8] ^= 1  # a nanosecond of the fortieth record from the end
    file.write_bytes(rows)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    started(file, folder)
    assert len(list(folder.iterdir())) == 2
