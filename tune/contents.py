"""Which datasets were made of the same records: a table beside the trial ledger, which only grows.

A trial is kept with the name of its dataset's records. Here stands which minutes a name is over, so that two cuts of one market, or a
part of it, count as the same data wherever they share a whole minute.
"""

from collections.abc import Iterable
from typing import Final

import polars as pl
import pyarrow as pa

from engine.dataset.lineage import chunks_of, content_id
from engine.dataset.read import Dataset
from engine.lake import Lake
from tune.parts import read_parts, write_part

SCHEMA: Final = pa.schema(
    [
        ("content", pa.string()),  # as `engine.dataset.lineage.content_id` names it
        ("chunks", pa.list_(pa.string())),  # hashes of its whole minutes
    ]
)


class Contents:
    """The records that were ever tried on in a lake."""

    def __init__(self, lake: Lake) -> None:
        self.folder = lake.harness / "contents.parquet"

    def note(self, datasets: Iterable[Dataset]) -> None:
        """Write down what datasets were made of; those without hashes of records have nothing to write."""
        known = set(self.table().get_column("content"))
        new = {content_id(one.manifest): chunks_of(one.manifest) for one in datasets}
        rows = [{"content": name, "chunks": sorted(chunks)} for name, chunks in new.items() if name and name not in known]
        if rows:
            write_part(self.folder, rows, SCHEMA)

    def table(self) -> pl.DataFrame:
        """One row per content, in the order they were first tried on."""
        return read_parts(self.folder, SCHEMA).unique("content", keep="first", maintain_order=True)

    def overlaps(self) -> dict[str, list[str]]:
        """Content to all that share a minute with it, itself among them, in order of name."""
        table = self.table()
        holders: dict[str, list[str]] = {}
        for name, chunks in table.iter_rows():
            for chunk in chunks:
                holders.setdefault(chunk, []).append(name)
        return {name: sorted({other for chunk in chunks for other in holders[chunk]}) for name, chunks in table.iter_rows()}

    def widened(self, trials: pl.DataFrame) -> pl.DataFrame:
        """Trials whose ``sources`` name, beside their own records and files, all contents that share a minute with them."""
        overlaps = self.overlaps()
        if all(len(found) == 1 for found in overlaps.values()):
            return trials
        own = trials.get_column("sources").unique(maintain_order=True)
        wide = [list(dict.fromkeys(name for one in names for name in (one, *overlaps.get(one, ())))) for names in own]
        table = pl.DataFrame({"sources": own, "wide": pl.Series(wide, dtype=pl.List(pl.String))})
        joined = trials.join(table, on="sources", how="left", maintain_order="left", nulls_equal=True)
        return joined.with_columns(pl.col("wide").alias("sources")).drop("wide")
