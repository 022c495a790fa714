"""Tables that only grow: a folder of immutable part files, one for each write, and now and then many of them made one.

Any parquet reader may read a folder at any time: a part appears whole, and what lies in two parts for a moment, while they are
made one, is told apart by its key. A part that is damaged is named on stderr and stepped over; the file is left where it lies.
"""

import io
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.files import write_new

MERGED_BYTES: Final = 64 << 20  # of the parts that become one
_logger = logging.getLogger(__name__)
_named: set[Path] = set()  # damaged parts that this process has told of


def part_name() -> str:
    """A name no other writer takes; names sort by time."""
    return f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.parquet"


def write_part(folder: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema, name: str | None = None) -> None:
    """Add rows as one new file, whole or not at all."""
    write_new(folder / (name or part_name()), _parquet(pa.Table.from_pylist(list(rows), schema=schema)))


def read_parts(folder: Path, schema: pa.Schema) -> pl.DataFrame:
    """All rows, in the order they were added; columns that older parts lack are null.

    Rows of a damaged part are left out, and the part is named.
    """
    empty = pl.DataFrame(schema=pl.from_arrow(schema.empty_table()).schema)  # type: ignore[union-attr]
    while True:
        parts = _parts(folder)
        try:
            return _read(parts, empty)
        except (pl.exceptions.PolarsError, OSError):
            if (found := _sound(parts, empty)) is not None:
                return found
            # One was gone: it has been made one with others meanwhile, so that the folder is read anew.


def compact(folder: Path, most_bytes: int = MERGED_BYTES) -> int:
    """Make one file of neighbouring small parts; how many files fewer there are.

    The new file is complete before the old ones go, so that a reader or a crash in between finds rows twice and never too few.
    Order and columns stay. Damaged parts stay where they are.
    """
    fewer = 0
    chosen: list[Path] = []
    size = 0
    for part in _parts(folder):
        try:
            n_bytes = part.stat().st_size
            pq.read_metadata(part)
        except (pa.ArrowException, OSError):
            fewer += _merge(chosen)
            chosen, size = [], 0
            continue
        if size + n_bytes > most_bytes:
            fewer += _merge(chosen)
            chosen, size = [], 0
        chosen.append(part)
        size += n_bytes
    return fewer + _merge(chosen)


def _merge(parts: Sequence[Path]) -> int:
    if len(parts) < 2:
        return 0
    try:
        whole = pa.concat_tables([pq.ParquetFile(part).read() for part in parts], promote_options="default")
    except (pa.ArrowException, OSError):
        return 0  # damaged inside, of another type, or made one by somebody else: whoever reads them says so
    first = parts[0].name.split("-")[1]  # its place in the order of time
    write_new(parts[0].parent / f"part-{first}-{uuid.uuid4().hex[:12]}.parquet", _parquet(whole))
    for part in parts:
        part.unlink(missing_ok=True)
    return len(parts) - 1


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet")) if folder.is_dir() else []


def _read(parts: Sequence[Path], empty: pl.DataFrame) -> pl.DataFrame:
    if not parts:
        return empty
    scan = pl.scan_parquet(list(parts), schema=empty.schema, missing_columns="insert", extra_columns="ignore", glob=False)
    return scan.collect()


def _sound(parts: Sequence[Path], empty: pl.DataFrame) -> pl.DataFrame | None:
    """What can be read, the rest named; None where a part has gone."""
    found = [empty]
    for part in parts:
        try:
            found.append(_read([part], empty))
        except (pl.exceptions.PolarsError, OSError) as error:
            if not part.exists():
                return None
            if part not in _named:
                _named.add(part)
                _logger.warning("%s is damaged and left out: %s", part, " ".join(str(error).split())[:200])
    return pl.concat(found)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
