"""The file around a simulated session: metadata by Databento's own encoder, and a name it takes only when it is whole."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import databento_dbn as dbn
import zstandard
from databento_dbn.metadata import MappingInterval

from engine.constants import NS_PER_S
from engine.files import writing
from engine.simulate.queues import Feed


@dataclass
class SymbolInterval:
    """Days on which a symbol has an instrument id, the last one not included.

    The encoder takes any object with these attributes (its own class is a protocol).
    """

    start_date: date
    end_date: date
    symbol: str


@dataclass
class SymbolMapping:
    """A symbol with its instrument ids."""

    raw_symbol: str
    intervals: Sequence[MappingInterval]


class _Sink(Protocol):
    def write(self, data: Any, /) -> int: ...


def session_metadata(symbol: str, feed: Feed) -> dbn.Metadata:
    """Metadata as Databento writes them for one raw symbol; the mapping holds on every UTC day of the session."""
    first_day = datetime.fromtimestamp(feed.start_ns // NS_PER_S, UTC).date()
    last_day = datetime.fromtimestamp((feed.end_ns - 1) // NS_PER_S, UTC).date()
    interval = SymbolInterval(first_day, last_day + timedelta(days=1), str(feed.instrument_id))
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=feed.start_ns,
        end=feed.end_ns,
        schema=dbn.Schema.from_str("mbo"),
        stype_in=dbn.SType.from_str("raw_symbol"),
        stype_out=dbn.SType.from_str("instrument_id"),
        symbols=[symbol],
        mappings=[SymbolMapping(symbol, [interval])],
        version=3,
    )


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[_Sink]:
    """A writer to a temporary file beside ``path`` that takes its name at the end; compressing for ``.zst``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with writing(path), os.fdopen(handle, "wb") as file:
            if path.suffix == ".zst":
                with zstandard.ZstdCompressor(level=1, write_checksum=True).stream_writer(file, closefd=False) as sink:
                    yield sink
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
