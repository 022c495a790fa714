"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

LINE_EVERY_S: Final = 5.0


class Progress:
    """One piece of work, written to stderr so that stdout stays the result's.

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
