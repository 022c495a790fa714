"""`check`: raw files and datasets of the lake, their anomalies and their seams."""

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.audit.lake import check_lake
from engine.door import FAILED, print_json
from engine.lake import Lake
from engine.tables import console, counts, utc


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    report = check_lake(Lake.open(args.lake), args.dt, args.files, args.continuity, args.assume_symbol)
    if args.json:
        print_json(report)
    else:
        print_check(report)
    return 0 if report["sound"] else FAILED


def print_check(report: dict[str, Any]) -> None:
    """Raw files, their anomalies, their seams, then datasets, a line each."""
    out = console()
    raw = Table(title=f"raw files in {report['raw_folder']}" if report["raw_folder"] else "raw files")
    for name in ("file", "bytes", "records", "first (UTC)", "last (UTC)", "opens", "marks", "sides right", "SHA-256", "problem"):
        raw.add_column(name, overflow="fold")
    for one in report["raw"]:
        marks = {name: one.get(name, 0) for name in ("bad_time", "backwards", "doubtful_book", "id_changes")}
        marks |= {"gaps": len(one.get("gaps", ())), **one.get("silences", {})}
        marks.pop("holes", None)  # the same, before what lies outside trading is taken off
        sides = one.get("side_test", {"right": 0, "judged": 0})
        raw.add_row(
            one["file"],
            f"{one['size']:,}",
            f"{one.get('n_records', 0):,}",
            utc(one.get("first_ns", 0)),
            utc(one.get("last_ns", 0)),
            one.get("opens", "–"),
            counts({name: n for name, n in marks.items() if n}),
            f"{sides['right']:,} of {sides['judged']:,}",
            one.get("sha256", "")[:12],
            one["problem"] or "sound",
        )
    out.print(raw)
    for one in report["raw"]:
        for remark in one.get("remarks", ()):
            out.print(remark, soft_wrap=True)
    _print_anomalies(out, [*report["raw"], *report["datasets"]])
    _print_continuity(out, report["continuity"])
    datasets = Table(title="datasets")
    for name in ("dataset", "bins", "span (UTC)", "marked bins", "anomalies", "sources", "problem"):
        datasets.add_column(name, overflow="fold")
    for one in report["datasets"]:
        datasets.add_row(
            one["dataset_id"],
            f"{one['n_bins']:,}",
            f"{utc(one.get('start_ns', 0))} – {utc(one.get('end_ns', 0))[11:]}",
            counts(one["quality"]),
            counts(one.get("anomalies", {})),
            ", ".join(source["state"] for source in one.get("sources", ())) or "–",
            one["problem"] or one.get("stale") or ("sealed, not read" if one["sealed"] else "sound"),
        )
    if report["raw_folder"]:
        out.print(datasets)


def _print_anomalies(out: Console, rows: list[dict[str, Any]]) -> None:
    """Every kind that occurred, with its first occurrence."""
    table = Table(title="anomalies")
    for name in ("in", "kind", "count", "first order_id", "sequence", "ts_event"):
        table.add_column(name, overflow="fold", justify="left" if name in ("in", "kind") else "right")
    for one in rows:
        where = one.get("file") or one["dataset_id"]
        for kind, n in one.get("anomalies", {}).items():
            first = one["first_anomalies"].get(kind, dict.fromkeys(("order_id", "sequence", "ts_event"), "–"))
            table.add_row(where, kind, f"{n:,}", *(str(first[name]) for name in ("order_id", "sequence", "ts_event")))
    if table.row_count:
        out.print(table)


def _print_continuity(out: Console, pairs: list[dict[str, Any]]) -> None:
    """The end of each file against the opening of the next."""
    table = Table(title="the book at a file's end against the next one's snapshot")
    for name in ("file", "next", "orders", "snapshot", "result"):
        table.add_column(name, overflow="fold")
    for one in pairs:
        result = one["problem"] or one["reason"] or "the same ids, prices, sizes and queues"
        table.add_row(one["before"], one["after"], f"{one.get('n_end', 0):,}", f"{one.get('n_opening', 0):,}", result)
    if pairs:
        out.print(table)
