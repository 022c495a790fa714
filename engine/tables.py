"""Tables on the screen; each is also there as JSON."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.bench.stages import HOUR_BINS
from engine.constants import NS_PER_S
from engine.dataset.read import DatasetSummary


def _console() -> Console:
    console = Console()
    # A pipe has no width of its own, and a cut table is no use to a script.
    return console if console.is_terminal else Console(width=160)


def _utc(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else "–"


def _counts(values: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in values.items()) or "–"


def print_book(values: dict[str, Any]) -> None:
    """The book as a ladder, asks above bids."""
    table = Table(title=f"{values['symbol']} after {values['n_events']:,} events")
    for name in ("orders", "bid size", "price", "ask size", "orders"):
        table.add_column(name, justify="right")
    for level in reversed(values["levels"]["ask"]):
        table.add_row("", "", f"{level['price']:.2f}", f"{level['size']:,}", str(level["orders"]))
    for level in values["levels"]["bid"]:
        table.add_row(str(level["orders"]), f"{level['size']:,}", f"{level['price']:.2f}", "", "")
    console = _console()
    console.print(table)
    for side in ("bid", "ask"):
        best, size = values[f"best_{side}"], values[f"best_{side}_size"]
        shown = "none" if best is None else f"{best:.2f} ({size:,})"
        console.print(f"best {side} {shown}, {values[f'{side}_levels']:,} levels, {values[f'{side}_orders']:,} orders")
    console.print(f"anomalies: {_counts(values['anomalies'])}")
    for notice in values["notices"]:
        console.print(notice)


def print_check(report: dict[str, Any]) -> None:
    """Raw files, their anomalies, their seams, then datasets, a line each."""
    console = _console()
    raw = Table(title=f"raw files in {report['raw_folder']}" if report["raw_folder"] else "raw files")
    for name in ("file", "bytes", "records", "first (UTC)", "last (UTC)", "opens", "marks", "sides right", "SHA-256", "problem"):
        raw.add_column(name, overflow="fold")
    for one in report["raw"]:
        marks = {name: one.get(name, 0) for name in ("bad_time", "backwards", "doubtful_book", "id_changes")}
        marks["gaps"] = len(one.get("gaps", ()))
        sides = one.get("side_test", {"right": 0, "judged": 0})
        raw.add_row(
            one["file"],
            f"{one['size']:,}",
            f"{one.get('n_records', 0):,}",
            _utc(one.get("first_ns", 0)),
            _utc(one.get("last_ns", 0)),
            one.get("opens", "–"),
            _counts({name: n for name, n in marks.items() if n}),
            f"{sides['right']:,} of {sides['judged']:,}",
            one.get("sha256", "")[:12],
            one["problem"] or "sound",
        )
    console.print(raw)
    _print_anomalies(console, [*report["raw"], *report["datasets"]])
    _print_continuity(console, report["continuity"])
    datasets = Table(title="datasets")
    for name in ("dataset", "bins", "span (UTC)", "marked bins", "anomalies", "sources", "problem"):
        datasets.add_column(name, overflow="fold")
    for one in report["datasets"]:
        datasets.add_row(
            one["dataset_id"],
            f"{one['n_bins']:,}",
            f"{_utc(one.get('start_ns', 0))} – {_utc(one.get('end_ns', 0))[11:]}",
            _counts(one["quality"]),
            _counts(one.get("anomalies", {})),
            ", ".join(source["state"] for source in one.get("sources", ())) or "–",
            one["problem"] or "sound",
        )
    if report["raw_folder"]:
        console.print(datasets)


def _print_anomalies(console: Console, rows: list[dict[str, Any]]) -> None:
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
        console.print(table)


def _print_continuity(console: Console, pairs: list[dict[str, Any]]) -> None:
    """The end of each file against the opening of the next."""
    table = Table(title="the book at a file's end against the next one's snapshot")
    for name in ("file", "next", "orders", "snapshot", "result"):
        table.add_column(name, overflow="fold")
    for one in pairs:
        result = one["problem"] or one["reason"] or "the same ids, prices, sizes and queues"
        table.add_row(one["before"], one["after"], f"{one.get('n_end', 0):,}", f"{one.get('n_opening', 0):,}", result)
    if pairs:
        console.print(table)


def print_campaign(report: dict[str, Any]) -> None:
    """The variants of a campaign, a line each, with the fields in which they differ."""
    changed = [one["overrides"] for one in report["variants"]]
    names = list(dict.fromkeys(name for overrides in changed for name in overrides))
    shown = [name for name in names if len({str(overrides.get(name)) for overrides in changed}) > 1] or names
    table = Table(title=f"campaign {report['name']}: {report['n_built']} built, {report['n_present']} there already")
    table.add_column("dataset", no_wrap=True)
    for name in ("overrides", "bins", "marked bins", "state"):
        table.add_column(name, overflow="fold")
    for one in report["variants"]:
        summary = one["summary"] or {"n_bins": 0, "quality": {}}
        table.add_row(
            one["dataset_id"],
            " ".join(f"{name}={one['overrides'][name]}" for name in shown if name in one["overrides"]) or "defaults",
            f"{summary['n_bins']:,}" if one["summary"] else "–",
            _counts(summary["quality"]),
            one["problem"] or one["state"],
        )
    console = _console()
    console.print(table)
    console.print(f"index: {report['index']}", soft_wrap=True)


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
            f"{_utc(row['start_ns'])} – {_utc(row['end_ns'])[11:]}",
            ", ".join(row["sources"]),
            f"{changed} ({row['config_version']})",
            f"{row['size_bytes'] / 1e6:.1f}",
            row["problem"] or ("yes" if row["verified"] else "not yet"),
        )
    _console().print(table)


def print_bench(result: dict[str, Any]) -> None:
    """One figure a line, with its ratios; the hours of a day below."""
    table = Table(title=f"{result['session_s']:,.0f} s of session, {result['machine']}, load {result['load_before']}")
    for name in ("what", "seconds", "events/s", "x decode", "x real time", "µs per bin", "peak MB", "besides"):
        table.add_column(name, justify="left" if name in ("what", "besides") else "right")
    for one in result["figures"]:
        table.add_row(
            one["what"],
            f"{one['seconds']:.3g}",
            *(_number(one.get(name), digits) for name, digits in (("events_per_s", 0), ("x_decode", 2), ("x_real_time", 0))),
            _number(one.get("us_per_bin"), 1),
            _number(one.get("peak_mb"), 0),
            _besides(one),
        )
    _console().print(table)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _besides(figure: dict[str, Any]) -> str:
    """What only some figures have."""
    parts = []
    if "slots" in figure:
        parts.append(f"{figure['slots']:,} slots in use")
    if "p99_us" in figure:
        parts.append(f"p50 {figure['p50_us']:.0f}, p99 {figure['p99_us']:.0f}, p99.9 {figure['p999_us']:.0f} µs")
    if "column_s" in figure:
        parts.append(f"{figure['bytes'] / 1e6:,.0f} MB, first column read in {figure['column_s'] * 1e3:.0f} ms")
    if "x_without" in figure:
        parts.append(f"{figure['x_without']:.0f} x faster")
    if hours := figure.get("hours"):
        first, last = (f"{hour['seconds'] / HOUR_BINS * 1e6:.0f} µs" for hour in (hours[0], hours[-1]))
        parts.append(f"{figure['n_events']:,} events; per bin {first} in the first hour, {last} in the last")
    return "; ".join(parts)
