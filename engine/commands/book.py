"""`book`: the order book at a moment of one or more files."""

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from engine.book.owner import view_book
from engine.config import load_instrument
from engine.constants import NS_PER_S, UNDEF_TIMESTAMP
from engine.door import print_json
from engine.errors import ConfigError
from engine.run.runner import ALL_TIME, Runner
from engine.source.records import open_source
from engine.tables import Progress, console, counts


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    values = book_at(args.files, at=args.at, depth=args.depth, assumes_symbol=args.assume_symbol)
    if args.json:
        print_json(values)
        return 0
    print_book(values, load_instrument().price_decimals)
    return 0


def book_at(files: Sequence[Path], at: str | None, depth: int, assumes_symbol: bool = False) -> dict[str, Any]:
    """The book after the last record at or before ``at``: levels, sizes, orders, anomalies; prices in dollars.

    Raises
    ------
    EngineError
        One line, for a bad file, moment or depth.
    """
    if depth < 1:
        raise ConfigError(f"--depth was {depth}; it must be at least 1")
    config = load_instrument()
    source = open_source(files, config, assumes_symbol=assumes_symbol)
    moment = _moment(at)
    runner = Runner(config, ALL_TIME)  # nothing but the book is wanted: no bins, hence no day to keep to
    with Progress("reading") as progress:
        for records in source.records():
            captured = records["ts_recv"]
            # A record without a time of capture stands with the one before it.
            is_late = np.zeros(len(records), np.bool_) if moment is None else (captured > moment) & (captured != UNDEF_TIMESTAMP)
            late = np.flatnonzero(is_late).tolist()
            for _ in runner.feed(records[: late[0]] if late else records, 1):
                pass
            progress.update(None, f"{runner.n_events} events")
            if late:
                break
    values = view_book(runner.engine.book, config.tick_int, depth).to_json()
    return {
        "symbol": config.symbol,
        "files": [str(path) for path in files],
        **values,
        "n_events": runner.n_events,
        "anomalies": runner.anomalies,
        "notices": source.notices,
    }


def _moment(at: str | None) -> int | None:
    if at is None:
        return None
    # datetime knows microseconds only; the nanoseconds behind them are kept by hand.
    fraction = re.search(r"\.(\d{1,9})", at)
    try:
        when = datetime.fromisoformat(at if fraction is None else at.replace(fraction.group(0), ""))
    except ValueError:
        raise ConfigError(f"--at was {at!r}; give an ISO time such as 2026-02-06T14:30:00, UTC without an offset") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * NS_PER_S + (int(fraction.group(1).ljust(9, "0")) if fraction else 0)


def print_book(values: dict[str, Any], decimals: int) -> None:
    """The book as a ladder, asks above bids; prices with the instrument's ``decimals``."""
    table = Table(title=f"{values['symbol']} after {values['n_events']:,} events")
    for name in ("orders", "bid size", "price", "ask size", "orders"):
        table.add_column(name, justify="right")
    for level in reversed(values["levels"]["ask"]):
        table.add_row("", "", f"{level['price']:.{decimals}f}", f"{level['size']:,}", str(level["orders"]))
    for level in values["levels"]["bid"]:
        table.add_row(str(level["orders"]), f"{level['size']:,}", f"{level['price']:.{decimals}f}", "", "")
    out = console()
    out.print(table)
    for side in ("bid", "ask"):
        best, size = values[f"best_{side}"], values[f"best_{side}_size"]
        shown = "none" if best is None else f"{best:.{decimals}f} ({size:,})"
        out.print(f"best {side} {shown}, {values[f'{side}_levels']:,} levels, {values[f'{side}_orders']:,} orders")
    out.print(f"anomalies: {counts(values['anomalies'])}")
    for notice in values["notices"]:
        out.print(notice)
