"""A simulated file is written whole or not at all."""

from pathlib import Path

import pytest
import zstandard

from engine.simulate.file import whole_or_nothing
from tests.synced import syncs


@pytest.mark.parametrize("name", ["a.dbn", "a.dbn.zst"])
def test_a_file_is_on_the_disk_whole_before_it_gets_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with syncs() as seen, whole_or_nothing(path) as sink:
        sink.write(b"0123456789" * 100)
        assert not path.exists()
    data = path.read_bytes()
    (of_file,) = seen
    assert of_file.size == len(data)
    assert of_file.path != path
    whole = data if name == "a.dbn" else zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert whole == b"0123456789" * 100
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with whole_or_nothing(tmp_path / "a.dbn") as sink:
            sink.write(b"x")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_half()
    assert list(tmp_path.iterdir()) == []
