"""Where recordings lie.

``lake/recordings/<SYMBOL>/<DAY>/NNNN.dbn`` are the segments of a UTC day of capture, in the order of their numbers;
``journal.jsonl`` beside them says what each begins with. ``lake/recordings/<SYMBOL>/lock`` is held by the one recorder. What only
those need who follow it now lies in shared memory: a ring for each day, and the recorder's state.
"""

import hashlib
import os
import re
import tempfile
from datetime import date
from pathlib import Path
from typing import Final

from engine.errors import ConfigError
from engine.feed.follow import Hole
from engine.feed.record.journal import JOURNAL, Segment, read_journal
from engine.lake import Lake

_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MEMORY: Final = Path("/dev/shm")  # else the folder for temporary files


def symbol_folder(lake: Lake, symbol: str) -> Path:
    """Folder of a contract's recordings; it need not exist.

    Raises
    ------
    ConfigError
        The symbol cannot be the name of a folder.
    """
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"symbol was {symbol!r}; give one contract, like MNQH6")
    return lake.root / "recordings" / symbol


def day_folder(lake: Lake, symbol: str, day: date) -> Path:
    """Folder of a day's segments; it need not exist."""
    return symbol_folder(lake, symbol) / day.isoformat()


def recorded_days(lake: Lake, symbol: str) -> list[date]:
    """Days of which there are segments, ascending."""
    folders = symbol_folder(lake, symbol).glob("????-??-??")
    return sorted(date.fromisoformat(one.name) for one in folders if any(one.glob("*.dbn")))


def recording_files(lake: Lake, symbol: str, day: date) -> list[Path]:
    """A day's segments in the order in which `engine.source.open_source` plays them; empty where nothing was recorded.

    The last one grows while it is being recorded, which a source refuses: read a day under way with a follower.
    """
    return [one.path for one in recorded_segments(lake, symbol, day)]


def recorded_segments(lake: Lake, symbol: str, day: date) -> list[Segment]:
    """The same with what each begins with."""
    return read_journal(day_folder(lake, symbol, day) / JOURNAL).segments


def recording_holes(lake: Lake, symbol: str, day: date) -> list[Hole]:
    """Spans of which a day's segments have nothing, in order, the one at its end included."""
    journal = read_journal(day_folder(lake, symbol, day) / JOURNAL)
    holes = [one.hole for one in journal.segments]
    return [hole for hole in (*holes, journal.over.hole if journal.over else None) if hole is not None]


def _memory_name(lake: Lake, symbol: str) -> str:
    whose = hashlib.sha256(str(lake.root.resolve()).encode()).hexdigest()[:12]
    return f"spymaster-{os.getuid()}-{whose}-{symbol}"


def _memory_folder() -> Path:
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def ring_path(lake: Lake, symbol: str, day: date) -> Path:
    """The ring of a day, there while it is recorded."""
    return _memory_folder() / f"{_memory_name(lake, symbol)}-{day.isoformat()}.ring"


def rings(lake: Lake, symbol: str) -> list[Path]:
    """Every ring of a contract that is there, also those that a killed recorder left."""
    return sorted(_memory_folder().glob(f"{_memory_name(lake, symbol)}-????-??-??.ring"))


def state_path(lake: Lake, symbol: str) -> Path:
    """The state of a recorder that runs, as JSON, replaced whole: in memory, since a full disk is a thing it tells of."""
    return _memory_folder() / f"{_memory_name(lake, symbol)}.state"


def last_state_path(lake: Lake, symbol: str) -> Path:
    """The same of a recorder that has ended."""
    return symbol_folder(lake, symbol) / "state.json"
