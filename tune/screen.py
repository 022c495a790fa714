"""What a sweep shows while it runs: a live table on a terminal, plain lines elsewhere. All of it on stderr."""

import sys
import time
from types import TracebackType
from typing import Final, Self

import polars as pl
from rich.console import Group
from rich.live import Live
from rich.text import Text

from engine.tables import console
from tune.leaderboard import describe, render

LIVE_ROWS: Final = 10
LINE_SECONDS: Final = 1.0


class Screen:
    """Progress of one sweep; use it as a context."""

    def __init__(self) -> None:
        self._console = console(sys.stderr)
        self._is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live: Live | None = None
        self._said_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._live is not None:
            self._live.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def progress(self, done: int, failed: int, total: int, best: pl.DataFrame | None) -> None:
        """Where the sweep stands; on a terminal the table is redrawn, elsewhere a line comes at most every second."""
        state = f"{done}/{total} points" + (f", {failed} failed" if failed else "")
        if self._live is None and self._is_live:
            # Not before: the making of datasets has a bar of its own, and a terminal bears one at a time.
            self._live = Live(console=self._console, refresh_per_second=4, transient=True, vertical_overflow="crop")
            self._live.start()
        if self._live is not None:
            parts = (
                [Text(state)]
                if best is None
                else [Text(state), render(best, "so far, each session for itself", LIVE_ROWS, fits_height=True)]
            )
            self._live.update(Group(*parts))
            return
        now = time.monotonic()
        if now - self._said_at < LINE_SECONDS and done + failed < total:
            return
        self._said_at = now
        leader = f"; best so far: {describe(best.row(0, named=True))}" if best is not None and len(best) else ""
        print(state + leader, file=sys.stderr, flush=True)
