"""The ring: what a reader gets, what he is told when he was too slow, and what damage does to him."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import WorkError
from engine.feed.follow import Hole
from engine.feed.record.ring import Damaged, Overrun, RingReader, RingWriter, head_left
from tests.full_disk import room_for
from tests.recordings import feed_rows

CAPACITY = 64  # slots; 4 more than needed are claimed at once
ROWS = feed_rows(400)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.ring"


@pytest.fixture
def writer(path: Path) -> Iterator[RingWriter]:
    one = RingWriter(path, CAPACITY, 0)
    yield one
    one.close()


def put(writer: RingWriter, first: int, last: int) -> None:
    for i in range(first, last):
        writer.put(ROWS[i : i + 1], 1_000 + i)


def test_a_reader_gets_what_was_written_and_up_to_when_it_is_known(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    assert len(reader.read(0, 10).records) == 0
    writer.put(ROWS[:10], 77)
    piece = reader.read(0, 100)
    assert piece.records.tobytes() == ROWS[:10].tobytes()
    assert (piece.hole, piece.is_newest, piece.known_until_ns, piece.is_over) == (None, True, 77, False)
    assert not reader.read(0, 9).is_newest
    assert reader.read(3, 4).records.tobytes() == ROWS[3:7].tobytes()
    writer.know(50)
    assert reader.read(10, 9).known_until_ns == 77  # it never falls
    writer.know(78)
    assert reader.read(10, 9).known_until_ns == 78
    assert not reader.read(11, 9).is_newest  # ahead of the ring: what it knows is not meant for this place


def test_what_goes_around_the_end_is_read_in_one_piece(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    for start in range(0, 120, 3):
        writer.put(ROWS[start : start + 3], start)
    assert reader.read(70, 100).records.tobytes() == ROWS[70:120].tobytes()


def test_a_batch_larger_than_the_ring_goes_in_piece_by_piece(writer: RingWriter, path: Path) -> None:
    writer.put(ROWS[:200], 5)
    assert writer.head == 200
    assert RingReader(path).read(150, 100).records.tobytes() == ROWS[150:200].tobytes()


def test_one_slot_before_the_oldest_is_overrun_and_the_oldest_is_not(writer: RingWriter, path: Path) -> None:
    # Claimed is what is written and a sixteenth of the capacity more, whenever it runs out: 1+4, 6+4, … = every fifth.
    put(writer, 0, 66)
    reader = RingReader(path)
    claimed = 70  # at record 65 until 66, and 4 more
    assert reader.read(claimed - CAPACITY, 1).records.tobytes() == ROWS[6:7].tobytes()
    with pytest.raises(Overrun):
        reader.read(claimed - CAPACITY - 1, 1)


def test_a_ring_that_begins_later_has_nothing_before(path: Path) -> None:
    writer = RingWriter(path, CAPACITY, 30)
    writer.put(ROWS[30:33], 1)
    reader = RingReader(path)
    assert reader.read(30, 9).records.tobytes() == ROWS[30:33].tobytes()
    with pytest.raises(Overrun):
        reader.read(29, 9)
    writer.close()


def test_a_hole_stands_between_its_records_with_its_reason(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    writer.put(ROWS[:2], 5)
    writer.put_hole(Hole(5, 9, "the vendor's replay had aged out"), 2)
    writer.put(ROWS[2:4], 9)
    before = reader.read(0, 9)
    assert (before.records.tobytes(), before.hole, before.is_newest) == (ROWS[:2].tobytes(), None, False)
    at = reader.read(2, 9)
    assert (len(at.records), at.hole) == (0, Hole(5, 9, "the vendor's replay had aged out"))
    assert reader.read(3, 9).records.tobytes() == ROWS[2:4].tobytes()


def test_twenty_holes_each_have_the_newest_sixteen_reasons(writer: RingWriter, path: Path) -> None:
    for i in range(20):
        writer.put_hole(Hole(i, i + 1, f"reason {i}"), i)
    reader = RingReader(path)
    assert [reader.read(i, 1).hole for i in range(4, 20)] == [Hole(i, i + 1, f"reason {i}") for i in range(4, 20)]


def test_a_hole_that_leaves_numbers_out_overruns_whoever_waits_for_them(writer: RingWriter, path: Path) -> None:
    writer.put(ROWS[:2], 5)
    writer.put_hole(Hole(5, 9, "lost"), 10)
    writer.put(ROWS[2:3], 9)
    reader = RingReader(path)
    for number in (0, 2, 9):
        with pytest.raises(Overrun):
            reader.read(number, 9)
    assert reader.read(10, 9).hole == Hole(5, 9, "lost")
    assert reader.read(11, 9).records.tobytes() == ROWS[2:3].tobytes()


def test_the_end_is_told_with_the_last_record_and_not_before(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    writer.put(ROWS[:4], 5)
    writer.end()
    assert not reader.read(0, 3).is_over
    assert reader.read(3, 3).is_over
    assert reader.read(4, 3).is_over


def test_records_are_the_readers_own(writer: RingWriter, path: Path) -> None:
    writer.put(ROWS[:4], 5)
    records = RingReader(path).read(0, 4).records
    put(writer, 4, 300)
    assert records.tobytes() == ROWS[:4].tobytes()
    records["size"] = 9


@pytest.mark.parametrize("at", [0, 8, 20, 60])
def test_a_header_that_was_written_to_is_no_ring(at: int, writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    writer.put(ROWS[:4], 5)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x99")
    with pytest.raises(Damaged):
        reader.read(0, 4)
    with pytest.raises(Damaged):
        RingReader(path)
    assert head_left(path) == 0


def test_a_slot_of_another_round_is_seen(writer: RingWriter, path: Path) -> None:
    put(writer, 0, 80)
    data = path.read_bytes()
    slot = 8192 + (75 % CAPACITY) * 64
    with path.open("r+b") as file:
        file.seek(slot)
        file.write((11).to_bytes(8, "little"))
    reader = RingReader(path)
    assert len(reader.read(74, 1).records) == 1
    with pytest.raises(Damaged):
        reader.read(74, 2)
    assert int.from_bytes(data[slot : slot + 8], "little") == 75


@pytest.mark.parametrize("size", [0, 4000, 8192 + 64])
def test_a_ring_cut_short_under_a_reader_and_the_writer_ends_neither(size: int, writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    put(writer, 0, 10)
    os.truncate(path, size)
    with pytest.raises(Damaged):
        reader.read(2, 5)
    put(writer, 10, 80)


def test_waiting_for_a_ring_without_its_first_page_ends(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    reader.read(0, 1)
    os.truncate(path, 0)
    with pytest.raises(Damaged):
        reader.wait(5.0)


def test_what_came_before_the_waiting_ends_it_at_once(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    reader.read(0, 1)
    writer.put(ROWS[:1], 5)
    reader.wait(3600.0)
    assert len(reader.read(0, 1).records) == 1


def test_a_new_ring_sends_the_readers_of_the_old_one_away(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    writer.put(ROWS[:3], 5)
    assert reader.is_current()
    assert head_left(path) == 3
    reader.read(3, 1)
    new = RingWriter(path, CAPACITY, 3)
    reader.wait(3600.0)
    assert not reader.is_current()
    with pytest.raises(Damaged):
        reader.read(0, 1)
    assert len(RingReader(path).read(3, 1).records) == 0
    new.close()


def test_a_ring_that_was_taken_away_is_not_current(writer: RingWriter, path: Path) -> None:
    reader = RingReader(path)
    path.unlink()
    assert not reader.is_current()
    writer.put(ROWS[:1], 5)
    assert len(reader.read(0, 1).records) == 1
    with pytest.raises(FileNotFoundError):
        RingReader(path)


def test_shared_memory_without_room_is_one_line_and_leaves_nothing(path: Path) -> None:
    with room_for(1 << 20), pytest.raises(WorkError, match=r"has no room for a ring of 8 MiB; .*--ring-mb$"):
        RingWriter(path, 1 << 17, 0)
    assert list(path.parent.iterdir()) == []


def test_all_of_it_is_there_from_the_start(writer: RingWriter, path: Path) -> None:
    found = path.stat()
    assert found.st_size == 8192 + CAPACITY * 64
    assert found.st_blocks * 512 >= found.st_size
    assert found.st_mode & 0o777 == 0o600
    assert np.all(ROWS["length"] == 14)
