"""Tables that only grow: a folder of immutable part files, one for each write."""

import io
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.files import write_new


def part_name() -> str:
    """A name no other writer takes; names sort by time."""
    return f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.parquet"


def write_part(folder: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema, name: str | None = None) -> None:
    """Add rows as one new file, whole or not at all."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), buffer, compression="zstd")
    write_new(folder / (name or part_name()), buffer.getvalue())


def read_parts(folder: Path, schema: pa.Schema) -> pl.DataFrame:
    """All rows, in the order they were added; columns that older parts lack are null."""
    parts = sorted(folder.glob("part-*.parquet")) if folder.is_dir() else []
    empty = pl.DataFrame(schema=pl.from_arrow(schema.empty_table()).schema)  # type: ignore[union-attr]
    if not parts:
        return empty
    return pl.scan_parquet(parts, schema=empty.schema, missing_columns="insert", extra_columns="ignore", glob=False).collect()
