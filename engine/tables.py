"""What the tables of every command share: a console of known width, and how times and counts are written."""

import os
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from rich.console import Console

from engine.constants import NS_PER_S

UNKNOWN_WIDTH: Final = 120  # columns where nobody says how wide the reader is


def console(file: TextIO | None = None) -> Console:
    """Where tables go: stdout or ``file``, as wide as its terminal or as the environment's COLUMNS.

    A pipe, a dumb terminal and one without a size (a container's, a submitted job's) do not say; they get ``UNKNOWN_WIDTH``.
    """
    file = file or sys.stdout
    out = Console(file=file)
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said) > 0:
        width = int(said)
    elif not out.is_dumb_terminal and _terminal_columns(file) > 0:
        return out  # follows a window that is resized
    else:
        width = UNKNOWN_WIDTH
    # A dumb terminal heeds a width only together with a height.
    return Console(file=file, width=width, height=out.size.height)


def _terminal_columns(file: TextIO) -> int:
    """Width of the terminal behind a file; 0 where there is none or it does not know."""
    try:
        return os.get_terminal_size(file.fileno()).columns
    except (OSError, ValueError):  # not a terminal; closed, or without a descriptor
        return 0


def utc(ns: int) -> str:
    """A moment to the second, UTC; a dash for 0."""
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else "–"


def counts(values: dict[str, int]) -> str:
    """Numbers by kind in one line; a dash without any."""
    return ", ".join(f"{name} {n:,}" for name, n in values.items()) or "–"
