"""The book kept at the warm-up's start: a second start gives the same bins, a damaged or foreign file is made anew."""

import shutil
from pathlib import Path

import pytest

from engine.config import load_instrument
from engine.replay import Replay
from engine.simulate import simulate
from engine.source import open_source
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
    (file,) = (tmp_path / "books").iterdir()
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


def test_a_start_within_the_warm_up_keeps_nothing(session: Path, tmp_path: Path) -> None:
    started(session, tmp_path / "books", "09:05")
    assert not (tmp_path / "books").exists()
