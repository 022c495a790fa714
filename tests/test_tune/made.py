"""Runs as the store has them, made up: every column there and no two figures alike, so that none can stand for another."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
import pyarrow as pa

from tests.test_tune.markets import sound_rules
from tune.results import META_SCHEMA, ROWS_SCHEMA
from tune.trial import RunResult

START = 1_770_000_000_000_000_000
HOUR = 3_600_000_000_000
COMMON = ("sweep_id", "experiment_name", "config_hash", "timestamp_utc")
RULES = json.dumps(asdict(sound_rules(fee_per_contract=0.62)), sort_keys=True)


def _filler(schema: pa.Schema, first: int) -> dict[str, Any]:
    """A value a column: 1.001, 1.002 and so on for figures, names for texts."""
    found: dict[str, Any] = {}
    for place, column in enumerate(schema):
        if pa.types.is_string(column.type):
            found[column.name] = column.name
        elif pa.types.is_integer(column.type):
            found[column.name] = first + place
        elif pa.types.is_list(column.type):
            found[column.name] = [0.0] * (48 if column.name.startswith("block") else 5)
        else:
            found[column.name] = first + place / 1000
    return found


def made(run_id: str, threshold: float, **changes: Any) -> dict[str, Any]:
    """One row of `ResultStore.rows`; sound unless told otherwise."""
    values = {**_filler(META_SCHEMA, 1000), **_filler(ROWS_SCHEMA, 2000)}
    values |= {
        "dataset_id": "d",
        "signal_name": "s",
        "signal_params_json": '{"a": 1}',
        "resolved_params_json": '{"a": 1, "b": 2}',
        "rules_json": RULES,
        "lookahead": "",
        "sources_json": '["f1"]',
        "fill_model": "touch to touch",
        "start_ns": START,
        "end_ns": START + HOUR,
        "n_bins": 36_000,
        "warmup_bins": 300,
        "n_signals": 50,
    }
    unknown = set(changes) - set(values)
    assert not unknown, unknown
    return {**values, "run_id": run_id, "threshold": threshold, **changes}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows as the store would give them."""
    return pl.DataFrame(list(rows), infer_schema_length=None)


def run_of(rows: Sequence[dict[str, Any]]) -> RunResult:
    """One run, as it is handed to the store; ``rows`` differ in their thresholds."""
    meta = {name: rows[0][name] for name in META_SCHEMA.names if name not in COMMON}
    return RunResult(meta, [{name: row[name] for name in ROWS_SCHEMA.names} for row in rows])
