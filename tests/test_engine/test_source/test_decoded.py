"""Compressed sources decoded once: which copy is whose, and where it ends."""

import os
from pathlib import Path

import numpy as np
import pytest
import zstandard

from engine.config import load_instrument
from engine.source.decoded import DecodedSource, decode_once, forget_decoded
from engine.source.records import Place, Source, open_source
from tests.full_disk import room_for
from tests.reference import F_LAST, F_SNAPSHOT, Record
from tests.streams import DAY, DAY_START, INSTRUMENT_ID, OPEN, build_up, record, to_array, write_dbn

CONFIG = load_instrument()
NEVER = 2**62
IDS = {"MNQH6": INSTRUMENT_ID, "MNQM6": 7}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = to_array([*build_up(), *(record("A", i, tick=-1, time=i) for i in range(1, 9))])
    rows["instrument_id"][-3:] = 7
    return write_dbn(tmp_path / "day.dbn.zst", rows, IDS)


def decoded(path: Path, folder: Path, until: int = NEVER, symbol: str = "MNQH6", day: object = DAY) -> Source:
    return decode_once(open_source([path], load_instrument(overrides={"symbol": symbol}), day), folder, until)  # type: ignore[arg-type]


def copies(folder: Path) -> int:
    return len(list(folder.glob("*.mbo")))


def ids(source: Source) -> list[int]:
    return [int(i) for block in source.records() for i in block["order_id"]]


def test_copy_is_made_once_and_kept_apart_by_all_that_shapes_it(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    assert len(ids(decoded(file, folder))) == 13 + 5
    assert len(ids(decoded(file, folder))) == 13 + 5
    assert copies(folder) == 1
    assert ids(decoded(file, folder, symbol="MNQM6")) == [6, 7, 8]
    assert copies(folder) == 2
    decoded(file, folder, until=OPEN + 3)
    assert copies(folder) == 3
    decoded(file, folder, day=DAY.replace(day=5))
    assert copies(folder) == 4
    times = file.stat()
    other = file.with_name("other.dbn.zst")
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    decoded(other, folder)
    assert copies(folder) == 5
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    decoded(other, folder)
    assert copies(folder) == 6
    write_dbn(other, to_array(build_up()), IDS)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert len(ids(decoded(other, folder))) == 13
    assert copies(folder) == 7


def test_only_compressed_sources_are_decoded_and_none_twice(file: Path, tmp_path: Path) -> None:
    plain = open_source([write_dbn(tmp_path / "plain.dbn", to_array(build_up()))], CONFIG, DAY)
    assert decode_once(plain, tmp_path / "records", NEVER) is plain
    once = decoded(file, tmp_path / "records")
    assert isinstance(once, DecodedSource)
    assert decode_once(once, tmp_path / "records", NEVER) is once
    mixed = decode_once(Source([*plain.files, *once.files], DAY), tmp_path / "records", NEVER)
    assert len(ids(mixed)) == 13 + 13 + 5


@pytest.mark.parametrize(("until", "last"), [(OPEN + 4, 4), (OPEN + 5, 5), (OPEN + 6, 6), (0, 1)])
def test_copy_ends_with_the_first_record_of_that_time_or_later(until: int, last: int, tmp_path: Path) -> None:
    """Snapshots, clears and what lies outside the session tell no time; the first that flows inside it does."""
    stream = [
        *build_up(),
        Record(**{**vars(record("A", 90)), "ts_event": DAY_START - 1}),
        Record(**{**vars(record("A", 91)), "ts_event": DAY_START + 86_400 * 10**9}),
        record("R", 92, time=100),
        record("A", 93, time=100, flags=F_SNAPSHOT | F_LAST),
        *(record("A", i, tick=-1, time=i) for i in range(1, 9)),
    ]
    path = write_dbn(tmp_path / "day.dbn.zst", to_array(stream))
    assert ids(decoded(path, tmp_path / "records", until))[13:] == [90, 91, 92, 93, *range(1, last + 1)]


def test_copy_says_of_the_files_what_they_said_and_may_be_entered_anywhere(file: Path, tmp_path: Path) -> None:
    content = zstandard.ZstdDecompressor().decompress(file.read_bytes())
    file.write_bytes(zstandard.compress(content[: -3 * 56 - 4]))  # the five of this contract lose one
    told = []
    for _ in range(2):
        source = decoded(file, tmp_path / "records")
        told.append((source.damage, source.end_ns, source.notices))
    assert told[0] == told[1]
    assert "breaks off 52 bytes into a record" in told[0][0][0]
    whole = ids(source)
    assert len(whole) == 13 + 4
    places = []
    for block in source.records(5):
        places.append((source.place, int(block["order_id"][0])))
    assert [place[:3] for place, _ in places] == [(0, i, i) for i in range(0, len(whole), 5)]
    for place, first in places:
        assert ids_from(source, place) == whole[place.n_before :]
        assert first == whole[place.n_before]


def ids_from(source: Source, place: Place) -> list[int]:
    return np.concatenate([block["order_id"] for block in source.records(3, place)]).tolist()


def test_forgetting_takes_the_copies_and_nothing_else(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    decoded(file, folder)
    (folder / "mine.txt").write_text("keep")
    (folder / "left.part").write_text("broken off")
    forget_decoded(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("room", [0, 100])
def test_without_room_the_source_itself_is_read(room: int, file: Path, tmp_path: Path) -> None:
    expected = ids(decoded(file, tmp_path / "before"))
    with room_for(room):
        source = decoded(file, tmp_path / "records")
        assert not isinstance(source, DecodedSource)
        assert ids(source) == expected
    assert copies(tmp_path / "records") == 0
    assert isinstance(decoded(file, tmp_path / "records"), DecodedSource)


def test_a_folder_that_cannot_be_is_an_error(file: Path, tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file")
    with pytest.raises(FileExistsError):
        decoded(file, tmp_path / "records")
