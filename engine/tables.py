"""What the tables of every command share: a console of known width, and how times and counts are written."""

from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from engine.constants import NS_PER_S

UNKNOWN_WIDTH: Final = 120  # columns where nobody says how wide the reader is


def console() -> Console:
    """Where tables go: stdout, as wide as its terminal.

    A pipe, a dumb terminal and one without a size do not say; a cut table is no use to any of them.
    """
    out = Console()
    if out.is_terminal and not out.is_dumb_terminal:
        return out
    # A dumb terminal heeds a width only together with a height.
    return Console(width=UNKNOWN_WIDTH, height=out.size.height)


def utc(ns: int) -> str:
    """A moment to the second, UTC; a dash for 0."""
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else "–"


def counts(values: dict[str, int]) -> str:
    """Numbers by kind in one line; a dash without any."""
    return ", ".join(f"{name} {n:,}" for name, n in values.items()) or "–"
