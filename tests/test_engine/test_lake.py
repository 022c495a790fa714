from pathlib import Path

import pytest

from engine.errors import ConfigError, DatasetError
from engine.files import write_atomic, write_new
from engine.lake import Lake, raw_file


def test_lake_is_the_argument_then_the_environment_then_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPYMASTER_LAKE", raising=False)
    assert Lake.open().root == tmp_path / "lake"
    monkeypatch.setenv("SPYMASTER_LAKE", str(tmp_path / "other"))
    assert Lake.open().root == tmp_path / "other"
    assert Lake.open(str(tmp_path / "third")).root == tmp_path / "third"


def test_uri_and_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only a folder"):
        Lake.open("s3://bucket/lake")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="which is a file"):
        Lake.open(tmp_path / "file")


def test_raw_file_of_a_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    folder = lake.raw_dir("MNQ")
    with pytest.raises(DatasetError, match=r"no file of that day \(there: nothing\)"):
        raw_file(lake, "MNQ", "2026-02-06")
    folder.mkdir(parents=True)
    (folder / "glbx-mdp3-20260206.mbo.dbn.zst").write_bytes(b"")
    assert raw_file(lake, "MNQ", "2026-02-06").name == "glbx-mdp3-20260206.mbo.dbn.zst"
    (folder / "glbx-mdp3-20260206.mbo.dbn").write_bytes(b"")
    assert raw_file(lake, "MNQ", "2026-02-06").name == "glbx-mdp3-20260206.mbo.dbn"
    (folder / "again-20260206.dbn").write_bytes(b"")
    with pytest.raises(DatasetError, match="2 files of that day|3 files of that day"):
        raw_file(lake, "MNQ", "2026-02-06")
    with pytest.raises(DatasetError, match="no file of that day"):
        raw_file(lake, "MNQ", "2026-02-07")


def test_atomic_write_replaces_whole_and_leaves_no_temporary(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"old")
    write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_write_new_never_overwrites(tmp_path: Path) -> None:
    write_new(tmp_path / "x", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "x", b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
