"""`bench`: how fast this machine is at it."""

import argparse
import sys
from typing import Any

from rich.table import Table

from engine.bench.stages import HOUR_BINS
from engine.bench.suite import bench, keep
from engine.door import print_json
from engine.tables import console


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    result = bench(args.seconds, args.day, lambda text: print(text, file=sys.stderr))
    if args.keep is not None:
        keep(result, args.keep)
    if args.json:
        print_json(result)
    else:
        print_bench(result)
    return 0


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
    console().print(table)


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
