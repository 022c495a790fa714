"""What the tables of every command share: a console of known width, and how times and counts are written."""

from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from engine.constants import NS_PER_S

UNKNOWN_WIDTH: Final = 120  # columns where nobody says how wide the reader is


def console() -> Console:
    """Where tables go: stdout, as wide as its terminal.

    A pipe and a terminal that does not say have no width of their own; a cut table is no use to either.
    """
    out = Console()
    return out if out.is_terminal and not out.is_dumb_terminal else Console(width=UNKNOWN_WIDTH)


def utc(ns: int) -> str:
    """A moment to the second, UTC; a dash for 0."""
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else "–"


def counts(values: dict[str, int]) -> str:
    """Numbers by kind in one line; a dash without any."""
    return ", ".join(f"{name} {n:,}" for name, n in values.items()) or "–"
