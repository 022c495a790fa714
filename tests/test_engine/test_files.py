"""Files and folders that appear whole or not at all, and their checksums."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.files import seal_folder, sha256_file, write_atomic, write_kept, write_new, writing
from tests.full_disk import room_for
from tests.synced import syncs


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_checksum_is_sha256_over_all_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    long = bytes(range(256)) * 4096 + b"one more than the chunks"
    (tmp_path / "long").write_bytes(long)
    assert sha256_file(tmp_path / "long") == hashlib.sha256(long).hexdigest()


def test_atomic_file_may_be_written_again_and_a_new_one_may_not(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "again", b"x")
    write_new(tmp_path / "b" / "once", b"x")
    assert (mode(tmp_path / "a" / "again"), mode(tmp_path / "b" / "once")) == (0o644, 0o444)
    write_atomic(tmp_path / "secret", b"x", 0o600)
    write_new(tmp_path / "open", b"x", 0o640)
    assert (mode(tmp_path / "secret"), mode(tmp_path / "open")) == (0o600, 0o640)


def test_what_cannot_be_put_in_place_leaves_no_temporary(tmp_path: Path) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", b"x")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "folder", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_sealed_folder_is_read_only_and_bears_its_name(tmp_path: Path) -> None:
    temporary, final = tmp_path / ".a.tmp", tmp_path / "a"
    temporary.mkdir()
    (temporary / "x").write_bytes(b"1")
    seal_folder(temporary, final)
    assert (mode(final), mode(final / "x")) == (0o555, 0o444)
    assert os.listdir(tmp_path) == ["a"]


def test_folder_is_not_sealed_over_another_one(tmp_path: Path) -> None:
    temporary, final = tmp_path / ".a.tmp", tmp_path / "a"
    for folder in (temporary, final):
        folder.mkdir()
        (folder / "x").write_bytes(folder.name.encode())
    with pytest.raises(OSError, match="a"):
        seal_folder(temporary, final)
    assert (final / "x").read_bytes() == b"a"


def test_what_a_full_disk_stops_names_the_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    with room_for(100):
        for write in (write_atomic, write_new):
            with pytest.raises(OSError, match="too large") as error:
                write(tmp_path / "a", bytes(101))
            assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(tmp_path / "a"))
        write_atomic(tmp_path / "b", bytes(100))
        assert write_kept(tmp_path / "folder" / "c", bytes(100))
        assert not write_kept(tmp_path / "a", bytes(101))
    assert {path.name: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()} == {"a": 3, "b": 100, "c": 100}


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, "full"), "a"),
        (OSError(errno.ENOSPC, "full", "b"), "b"),
        (OSError(errno.EIO, "of what is read meanwhile"), None),
        (OSError("in words only"), None),
    ],
)
def test_only_a_full_disk_is_said_of_the_file_that_is_written(error: OSError, named: str | None) -> None:
    before = str(error)
    with pytest.raises(OSError) as told, writing(Path("a")):  # noqa: PT011
        raise error
    assert told.value is error
    assert error.filename == named
    assert named is not None or str(error) == before


def test_what_can_be_made_anew_is_not_kept_where_it_cannot_be_and_only_there(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_kept(tmp_path / "a", b"x")


# What a crash of the machine leaves: bytes before their name, and the name in its folder


@pytest.mark.parametrize("write", [write_atomic, write_new])
def test_a_file_is_on_the_disk_whole_before_it_gets_its_name(write: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with syncs() as seen:
        write(path, b"x" * 1000)
    of_file, of_folder = seen
    assert of_file.size == 1000
    assert of_file.path.parent == tmp_path
    assert of_file.path.name.startswith(".a.json.")  # not under its name yet
    assert (of_folder.path, of_folder.names) == (tmp_path, ("a.json",))


def test_a_folder_is_on_the_disk_file_by_file_before_it_gets_its_name(tmp_path: Path) -> None:
    made = tmp_path / ".making"
    made.mkdir()
    for name in ("b", "a"):
        (made / name).write_bytes(name.encode() * 10)
    with syncs() as seen:
        seal_folder(made, tmp_path / "done")
    assert [(one.path, one.size, one.names) for one in seen] == [
        (made / "a", 10, ()),
        (made / "b", 10, ()),
        (made, -1, ("a", "b")),
        (tmp_path, -1, ("done",)),
    ]
    assert {oct((tmp_path / "done" / name).stat().st_mode & 0o777) for name in "ab"} == {"0o444"}
