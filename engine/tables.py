"""What every command shows with: a console of known width, how times and counts are written, and the progress of long work."""

import os
import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from engine.constants import NS_PER_S

LINE_EVERY_S: Final = 5.0  # between two plain lines of progress
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


class Progress:
    """One piece of work, a bar on a terminal and plain lines elsewhere; written to stderr so that stdout stays the result's.

    Parameters
    ----------
    what
        A word for the work, as in "replaying".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._next_line = time.monotonic() + LINE_EVERY_S
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(what, total=1.0, note="")

    def update(self, done: float | None, note: str) -> None:
        """``done`` in 0..1, None where the end is not known; ``note`` says where the work is."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done or 0.0, total=None if done is None else 1.0, note=note)
        elif time.monotonic() >= self._next_line:
            share = "" if done is None else f" {done:.0%}"
            print(f"{self._what}{share} {note}".rstrip(), file=sys.stderr, flush=True)
            self._next_line = time.monotonic() + LINE_EVERY_S

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
