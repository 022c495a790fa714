"""A file that becomes another one while it is read: its own bytes to the end, or one line; never a mixture, never a signal."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

import engine
from engine.audit.raw_file import check_raw
from engine.config import load_instrument
from engine.dataset.capture import publish_replay
from engine.door import run_door
from engine.errors import SourceChangedError, SourceError
from engine.files import sha256_file
from engine.lake import Lake
from engine.source.decoded import decode_once
from engine.source.held_file import HeldFile
from engine.source.records import START, Place, Source, open_source
from tests.streams import DAY, build_up, record, to_array, write_dbn

CONFIG = load_instrument()
FORMS = ["day.dbn", "day.dbn.zst"]


def rows_of(seed: int) -> NDArray[np.void]:
    """A session of 400 bins whose ids do not compress away: both forms are read in many pieces."""
    rows = to_array([*build_up(), *(record("A", i, tick=-1 - i % 5, time=i * 100_000_000) for i in range(400))])
    rows["order_id"][13:] = np.random.default_rng(seed).integers(2**20, 2**60, len(rows) - 13)
    return rows


OLD, NEW = rows_of(1), rows_of(2)


def written(path: Path, rows: NDArray[np.void]) -> Path:
    """A file of them; a compressed one in many frames, since a frame comes out as a whole."""
    write_dbn(path, rows)
    if path.suffix == ".zst":
        plain = write_dbn(path.with_suffix(""), rows)
        content = plain.read_bytes()
        path.write_bytes(b"".join(zstandard.compress(content[i : i + 560]) for i in range(0, len(content), 560)))
        plain.unlink()
    return path


@pytest.fixture(autouse=True)
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in pieces of a few records, so that a small one has many."""
    monkeypatch.setattr("engine.source.dbn_file.WINDOW_RECORDS", 16)
    monkeypatch.setattr("engine.source.decoded.WINDOW_RECORDS", 16)
    monkeypatch.setattr("engine.source.held_file.READ_BYTES", 256)


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return written(tmp_path / "raw" / request.param, OLD)


def swap(path: Path) -> None:
    """Another file takes the name, as a download does that is renamed when it is whole."""
    new = written(path.with_name(f"new-{path.name}"), NEW)
    new.rename(path)


def shorten(path: Path) -> None:
    os.truncate(path, 300)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def rewrite(path: Path) -> None:
    """The same length in place; what is read from here on is new."""
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content[:200] + bytes(len(content) - 200))


def rewrite_and_set_the_time_back(path: Path) -> None:
    before = path.stat()
    rewrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path)


CHANGES = [shorten, lengthen, rewrite, rewrite_and_set_the_time_back, touch]


def read_with(source: Source, act: Callable[[], None]) -> Iterator[bytes]:
    """The records, something happening behind the first array."""
    for i, part in enumerate(source.records(16)):
        if i == 1:
            act()
        yield part.tobytes()


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_changed_in_place_while_it_is_read_is_one_line(change: Callable[[Path], None], path: Path) -> None:
    source = open_source([path], CONFIG, DAY)
    with pytest.raises(SourceChangedError) as error:
        list(read_with(source, lambda: change(path)))
    assert str(error.value).startswith(f"{path} was changed while it was read (")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("change", [*CHANGES, swap, Path.unlink])
def test_what_was_changed_behind_the_last_record_is_not_vouched_for(change: Callable[[Path], None], path: Path) -> None:
    source = open_source([path], CONFIG, DAY)
    assert b"".join(part.tobytes() for part in source.records()) == OLD.tobytes()
    change(path)
    with pytest.raises(SourceChangedError, match=str(path)):
        source.provenance()


@pytest.mark.parametrize("change", [*CHANGES, swap, Path.unlink])
def test_what_was_changed_after_it_was_hashed_is_not_vouched_for_again(change: Callable[[Path], None], path: Path) -> None:
    source = open_source([path], CONFIG, DAY)
    assert source.provenance()[0]["sha256"] == sha256_file(path)
    change(path)
    with pytest.raises(SourceChangedError, match=str(path)):
        source.provenance()


@pytest.mark.parametrize("act", [swap, Path.unlink])
def test_a_file_that_lost_its_name_is_read_to_its_end_as_it_was(act: Callable[[Path], None], path: Path) -> None:
    source = open_source([path], CONFIG, DAY)
    assert b"".join(read_with(source, lambda: act(path))) == OLD.tobytes()
    with pytest.raises(SourceChangedError, match="replaced by another file" if act is swap else "removed"):
        source.provenance()


def test_a_file_that_got_a_second_name_is_the_same(path: Path) -> None:
    source = open_source([path], CONFIG, DAY)
    digest = sha256_file(path)
    assert b"".join(read_with(source, lambda: path.with_name("backup").hardlink_to(path))) == OLD.tobytes()
    assert source.provenance()[0]["sha256"] == digest


def test_a_changed_file_is_failed_work_and_no_bad_input(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    def call() -> int:
        list(read_with(open_source([path], CONFIG, DAY), lambda: shorten(path)))
        return 0

    assert run_door("python -m engine", call) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("change", [shorten, rewrite, rewrite_and_set_the_time_back, swap, Path.unlink])
def test_nothing_is_published_of_a_file_that_changed(change: Callable[[Path], None], path: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    done: list[int] = []

    def once(made: int) -> None:
        if not done:
            change(path)
        done.append(made)

    with pytest.raises(SourceChangedError, match=str(path)):
        publish_replay(lake, "a", [path], CONFIG, dt=DAY, progress=once)
    assert done  # bins had been made of it
    assert list(lake.datasets.iterdir()) == []


def test_two_looks_at_a_replayed_file_are_of_one_file(path: Path) -> None:
    replay = engine.replay(path, dt=DAY)
    looks = [[block.n for block in replay] for _ in range(2)]
    assert looks[0] == looks[1] != []
    swap(path)
    with pytest.raises(SourceChangedError, match="replaced by another file"):
        next(iter(replay))


def test_a_held_file_that_was_let_go_is_opened_again_only_as_it_was(path: Path) -> None:
    held = HeldFile(path)
    before = held.read(100, 0)
    held.let_go()
    assert held.read(100, 0) == before
    held.let_go()
    swap(path)
    with pytest.raises(SourceChangedError, match="no longer the file that was read before"):
        held.read(100, 0)


def test_check_holds_no_file_open(path: Path) -> None:
    check = check_raw(path, CONFIG, keeps_book=True)
    assert check.report["problem"] == ""
    assert str(path) not in {os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")}
    assert check.source is not None
    assert sum(len(part) for part in check.source.records()) == len(OLD)  # and reads it again where it must


def test_a_file_is_closed_with_its_source(path: Path) -> None:
    source = open_source([path], CONFIG, DAY)
    del source
    assert str(path) not in {os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")}


# What is kept of a compressed file


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return written(tmp_path / "day.dbn.zst", OLD)


def decoded(path: Path, folder: Path) -> bytes:
    return b"".join(part.tobytes() for part in decode_once(open_source([path], CONFIG, DAY), folder, 2**62).records(7))


def test_decoded_records_of_a_file_are_not_anothers_of_the_same_size_and_time(packed: Path, tmp_path: Path) -> None:
    assert decoded(packed, tmp_path / "kept") == OLD.tobytes()
    before = packed.stat()
    others = ((rows, written(tmp_path / "other.dbn.zst", rows)) for rows in map(rows_of, range(2, 1000)))
    new = next(rows for rows, other in others if other.stat().st_size == before.st_size)
    shutil.copyfile(tmp_path / "other.dbn.zst", packed)
    os.utime(packed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (packed.stat().st_size, packed.stat().st_mtime_ns, packed.stat().st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert decoded(packed, tmp_path / "kept") == new.tobytes()


def cut(data: Path, facts: Path) -> None:
    os.truncate(data, 10 * 56)


def overwrite(data: Path, facts: Path) -> None:
    data.write_bytes(bytes(data.stat().st_size))


def cut_the_facts(data: Path, facts: Path) -> None:
    os.truncate(facts, 20)


def lose(data: Path, facts: Path) -> None:
    data.unlink()


@pytest.mark.parametrize("damage", [cut, overwrite, cut_the_facts, lose])
def test_damaged_decoded_records_are_made_anew(damage: Callable[[Path, Path], None], packed: Path, tmp_path: Path) -> None:
    decoded(packed, tmp_path / "kept")
    (data,), (facts,) = (tmp_path / "kept").glob("*.mbo"), (tmp_path / "kept").glob("*.json")
    damage(data, facts)
    assert decoded(packed, tmp_path / "kept") == OLD.tobytes()


@pytest.mark.parametrize("start", [0, 40])
def test_where_decoded_records_are_cut_while_they_are_read_the_rest_comes_from_the_file(
    start: int, packed: Path, tmp_path: Path
) -> None:
    source = decode_once(open_source([packed], CONFIG, DAY), tmp_path / "kept", 2**62)
    (data,) = (tmp_path / "kept").glob("*.mbo")
    place = START._replace(n_before=start)
    assert b"".join(source_records_cut(source, data, place)) == OLD[start:].tobytes()
    assert len(source.notices) == 1
    assert source.notices[0].startswith("the decoded records were lost, the rest is read from the files themselves: ")
    assert source.end_ns == open_source([packed], CONFIG, DAY).end_ns  # nothing is wrong with those
    assert decoded(packed, tmp_path / "kept") == OLD.tobytes()


def test_where_the_file_has_changed_too_it_is_one_line(packed: Path, tmp_path: Path) -> None:
    source = decode_once(open_source([packed], CONFIG, DAY), tmp_path / "kept", 2**62)
    (data,) = (tmp_path / "kept").glob("*.mbo")
    shorten(packed)
    with pytest.raises(SourceChangedError, match=str(packed)):
        list(source_records_cut(source, data))


def test_the_rest_ends_where_the_decoded_records_did(packed: Path, tmp_path: Path) -> None:
    """They were decoded up to the record that shows 100 ms to be over, the third behind the book's 13."""
    source = decode_once(open_source([packed], CONFIG, DAY), tmp_path / "kept", int(OLD["ts_event"][14]))
    (data,) = (tmp_path / "kept").glob("*.mbo")
    os.truncate(data, 1)
    assert b"".join(part.tobytes() for part in source.records(4)) == OLD[:15].tobytes()


def source_records_cut(source: Source, data: Path, start: Place = START) -> Iterator[bytes]:
    for part in source.records(16, start):
        yield part.tobytes()
        if data.stat().st_size > 1000:
            os.truncate(data, 1000)


def test_decoded_records_outlive_their_name(packed: Path, tmp_path: Path) -> None:
    source = decode_once(open_source([packed], CONFIG, DAY), tmp_path / "kept", 2**62)
    shutil.rmtree(tmp_path / "kept")
    assert b"".join(part.tobytes() for part in source.records(16)) == OLD.tobytes()


def test_a_file_that_changes_while_it_is_decoded_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    source = open_source([packed], CONFIG, DAY)
    shorten(packed)
    with pytest.raises(SourceChangedError):
        decode_once(source, tmp_path / "kept", 2**62)
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".lock"]


def test_a_decoded_copy_vouches_for_the_file_it_was_made_of(packed: Path, tmp_path: Path) -> None:
    source = decode_once(open_source([packed], CONFIG, DAY), tmp_path / "kept", 2**62)
    swap(packed)
    with pytest.raises(SourceChangedError, match="replaced"):
        source.provenance()


def test_what_was_decoded_on_trust_is_not_taken_without_it(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn.zst", OLD, {})
    trusted = decode_once(open_source([path], CONFIG, DAY, assumes_symbol=True), tmp_path / "kept", 2**62)
    assert sum(len(part) for part in trusted.records()) == len(OLD)
    assert "says nowhere" in trusted.notices[0]
    with pytest.raises(SourceError, match="nowhere"):
        decode_once(open_source([path], CONFIG, DAY), tmp_path / "kept", 2**62)
