"""A leaderboard, and the trades of a run, as Arrow IPC streams: what a service shows of them, made here and only read there."""

import json
from typing import Any, Final

import polars as pl
import pyarrow as pa

from tune.leaderboard import caption
from tune.notebook import Standings
from tune.strictness import places
from tune.walked import Walked

TOLD: Final = "told"  # key of the schema's metadata: JSON
# What a run's row holds beside the ranking's columns, of the session that names it.
ORIGIN: Final = (
    "sweep_id",
    "timestamp_utc",
    "config_hash",
    "dataset_checksum",
    "grid_variant_id",
    "resolved_params_json",
    "rules_json",
    "lookahead",
    "code_version",
    "eval_max_hold_bins",
    "tick_size",
    "n_bins",
    "start_ns",
    "end_ns",
    "median_time_to_outcome_ms",
)
_BATCH_ROWS: Final = 4096


def board_file(found: Standings) -> bytes:
    """A leaderboard: rows and columns of ``compare``, best first, each with its ``ORIGIN`` and its ``place`` among its rules.

    The schema's metadata say under ``told`` how many rows there are, how many runs were left out for loose rules, and what
    stands under the table.
    """
    ranking = found.beside.ranking
    own = found.rows.select("run_id", "threshold", *ORIGIN).unique(["run_id", "threshold"], keep="first", maintain_order=True)
    frame = ranking.join(own, on=["run_id", "threshold"], how="left", maintain_order="left")
    shown = places(ranking)
    frame = frame.with_columns(pl.Series("place", [None if one == "loose" else int(one) for one in shown], pl.Int64))
    told = {
        "n_rows": len(frame),
        "n_loose": found.n_loose,
        "lines": list(found.beside.lines),
        "caption": caption(ranking) if len(ranking) else "",
    }
    return _stream(frame, told)


def trades_file(walked: Walked) -> bytes:
    """The trades of a run; ``told`` says what they are of."""
    return _stream(walked.trades, walked.told)


def _stream(frame: pl.DataFrame, told: dict[str, Any]) -> bytes:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        plain = _plain(field.type)
        values = column.cast(plain)
        if pa.types.is_string(plain):  # few values, each many times
            values = values.combine_chunks().dictionary_encode()
        fields.append(pa.field(field.name, values.type))
        columns.append(values)
    schema = pa.schema(fields, metadata={TOLD: json.dumps(told, allow_nan=False)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in pa.Table.from_arrays(columns, schema=schema).to_batches(max_chunksize=_BATCH_ROWS):
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that every Arrow reader knows: offsets of 32 bits."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(one.name, _plain(one.type)) for one in kind])
    return kind
