"""`datasets`: what the lake holds."""

import argparse
from dataclasses import asdict
from typing import Any

from rich.table import Table

from engine.dataset.read import DatasetSummary, list_datasets
from engine.door import print_json
from engine.lake import Lake
from engine.tables import console, utc


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    rows = [dataset_row(one) for one in list_datasets(Lake.open(args.lake))]
    if args.json:
        print_json(rows)
    else:
        print_datasets(rows)
    return 0


def dataset_row(summary: DatasetSummary) -> dict[str, Any]:
    """A listing's row as JSON."""
    return asdict(summary)


def print_datasets(rows: list[dict[str, Any]]) -> None:
    """What the lake holds, a line each."""
    table = Table(title="datasets")
    for name in ("id", "bins", "span (UTC)", "source", "parameters", "MB", "verified"):
        table.add_column(name, overflow="fold")
    for row in rows:
        changed = ", ".join(f"{key}={value}" for key, value in row["overrides"].items()) or "defaults"
        table.add_row(
            row["dataset_id"],
            f"{row['n_bins']:,}",
            f"{utc(row['start_ns'])} – {utc(row['end_ns'])[11:]}",
            ", ".join(row["sources"]),
            f"{changed} ({row['config_version']})",
            f"{row['size_bytes'] / 1e6:.1f}",
            row["problem"] or ("sealed" if row["is_sealed"] else "yes" if row["verified"] else "not yet"),
        )
    console().print(table)
