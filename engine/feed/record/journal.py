"""What a day's segments begin with, and whether the day is over: one JSON line each, only ever appended.

A segment's line is written before the segment has its name, so a segment without a line there is none; a line without a segment
counts for nothing. A line that a kill cut off is no line, and is cut away at the next start.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engine.constants import MBO_RECORD_BYTES
from engine.feed.follow import Hole

JOURNAL: Final = "journal.jsonl"
_NAME: Final = re.compile(r"(\d{4,})\.dbn")
_PROLOGUE: Final = 8  # "DBN", version, length of the metadata


@dataclass(frozen=True)
class Segment:
    """A segment and its place in the day.

    ``first``: number in the day's order of its first record behind the ``n_made`` ones; holes of the feed have a number too.
    ``n_made``: records at its front that are a snapshot of the recorder's own book, written where what came before is missing;
    they have no number. ``n_opening``: numbered records at its front that are the same, at the start of a day that was gone into.
    ``head_bytes``: where its records begin. ``hole`` lies before it.
    """

    path: Path
    first: int
    n_made: int
    n_opening: int
    hole: Hole | None
    head_bytes: int

    def n_whole(self) -> int:
        """Whole records in the file by now, those made included."""
        return max(0, self.path.stat().st_size - self.head_bytes) // MBO_RECORD_BYTES


@dataclass(frozen=True)
class Over:
    """The day was ended in good order: known up to ``known_until_ns``; ``hole`` is what its end lacks."""

    known_until_ns: int
    hole: Hole | None


@dataclass(frozen=True)
class Journal:
    """A day's ``segments`` in order, ``over`` where nothing follows, the ``next_number`` for a segment."""

    segments: list[Segment]
    over: Over | None
    next_number: int


def read_journal(path: Path) -> Journal:
    """What a journal says, and an empty one where there is none."""
    segments: list[Segment] = []
    over = None
    numbers = [0, *(int(found[1]) for one in path.parent.glob("*.dbn") if (found := _NAME.fullmatch(one.name)))]
    for line in _whole_lines(path):
        values = json.loads(line)
        hole = Hole(**values["hole"]) if values["hole"] else None
        if "over" in values:
            over = Over(values["over"], hole)
            continue
        numbers.append(values["segment"])
        file = path.parent / segment_name(values["segment"])
        head_bytes = _head_bytes(file)
        if head_bytes:
            over = None  # it was gone on with
            segments.append(Segment(file, values["first"], values["n_made"], values["n_opening"], hole, head_bytes))
    return Journal(segments, over, max(numbers) + 1)


def segment_name(number: int) -> str:
    """File name of a segment."""
    return f"{number:04d}.dbn"


def _whole_lines(path: Path) -> list[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].splitlines()


def _head_bytes(path: Path) -> int:
    """Bytes before a segment's first record; 0 where it is not there."""
    try:
        with path.open("rb") as file:
            return _PROLOGUE + int.from_bytes(file.read(_PROLOGUE)[4:], "little")
    except FileNotFoundError:
        return 0


class JournalWriter:
    """Appends to a journal; what a kill cut off is cut away first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._size = sum(len(line) + 1 for line in _whole_lines(path))
        os.ftruncate(self._descriptor, self._size)

    def add_segment(self, number: int, first: int, n_made: int, n_opening: int, hole: Hole | None) -> None:
        """A segment is about to get its name."""
        self._add({"segment": number, "first": first, "n_made": n_made, "n_opening": n_opening, "hole": hole and asdict(hole)})

    def add_over(self, over: Over) -> None:
        """The day is over."""
        self._add({"over": over.known_until_ns, "hole": over.hole and asdict(over.hole)})

    def _add(self, values: dict[str, Any]) -> None:
        """A whole line or, where the disk is full, none."""
        line = json.dumps(values).encode() + b"\n"
        write_whole(self._descriptor, line, self._size)
        self._size += len(line)

    @property
    def descriptor(self) -> int:
        """For syncing."""
        return self._descriptor

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def write_whole(descriptor: int, data: bytes | memoryview, at: int) -> None:
    """Write at a place of a file; where that fails the file ends there again.

    Raises
    ------
    OSError
        As from the system, a full disk among them.
    """
    view = memoryview(data).cast("B")
    done = 0
    try:
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], at + done)
    except OSError:
        os.ftruncate(descriptor, at)
        raise
