"""Tables that never cut a value: what identifies a row stands whole at any width, the rest as far as there is room."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP: Final = 2  # spaces between columns
INDENT: Final = 4  # of what stands under its row
FOLDED_WIDTH: Final = 30  # a column of several parts is at least so wide, where its parts need less

Cell = str | Sequence[str]  # a text is never broken; of several parts each stands whole and the next may begin a line


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    name : str
        Its head; no two columns have the same.
    cells : sequence
        A value for each row.
    kept : bool
        Whether it identifies a row and so is shown at any width.
    stacks : bool
        A kept column that stands under its rows before any other is left out; the last of them first.
    """

    name: str
    cells: Sequence[Cell]
    right: bool = False
    kept: bool = False
    stacks: bool = False

    @property
    def whole_width(self) -> int:
        """Characters that take every cell on one line."""
        return max([len(self.name), *(len(_joined(cell)) for cell in self.cells)])

    @property
    def least_width(self) -> int:
        """Characters below which a value would break."""
        longest = max([len(self.name), *(len(part) for cell in self.cells for part in _parts(cell))])
        return max(longest, min(FOLDED_WIDTH, self.whole_width))


@dataclass(frozen=True)
class Layout:
    """Which columns stand side by side, how wide each is, which stand under their rows, and which are not shown."""

    across: list[Column]
    widths: list[int]
    below: list[Column]
    left_out: list[Column]


@dataclass(frozen=True)
class Fitted:
    """A table as wide as the console it is printed on.

    Parameters
    ----------
    columns : sequence of Column
        In the order in which they are shown.
    telling : sequence of str
        The columns that may be left out, most telling first: each is shown if there is room beside those before it.
    more : str
        Where the left-out columns can be found.
    fits_height : bool
        Whether rows that are lower than the console's last line are left out, and counted.
    """

    title: str
    columns: Sequence[Column]
    telling: Sequence[str] = ()
    more: str = "--json has all"
    fits_height: bool = False

    def layout(self, width: int) -> Layout:
        """Choose the columns for a width in characters.

        All stand side by side where they can; else the kept columns that stack go under their rows, then the less telling ones
        are left out, and where even that is too wide the other kept columns go under their rows too, the last of them first.
        """
        across, below = list(self.columns), list[Column]()
        stacking = [column for column in self.columns if column.stacks]
        while _least(across) > width and stacking:
            below.insert(0, stacking.pop())
            across.remove(below[0])
        optional = {column.name: column for column in across if not column.kept}
        shown = [column for column in across if column.kept]
        for name in self.telling:
            if _least([*shown, optional[name]]) <= width:
                shown.append(optional[name])
        across = [column for column in across if column in shown]
        while _least(across) > width and len(across) > 1:
            below.insert(0, across.pop())
        widths = [column.least_width for column in across]
        for i, column in enumerate(across):  # what is over goes to the columns that fold
            spare = max(0, width - sum(widths) - GAP * (len(widths) - 1))
            widths[i] += min(spare, column.whole_width - widths[i])
        left_out = [column for column in self.columns if column not in across and column not in below]
        return Layout(across, [min(one, width) for one in widths], below, left_out)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        layout = self.layout(width)
        head = [*_wrapped(self.title.split(" "), width), *_side_by_side(layout, [column.name for column in layout.across])]
        foot = self._foot(layout, width)
        room = (
            console.size.height - len(head) - 1 - len(foot) - 2 if self.fits_height else None
        )  # a line above, one for the count
        n_rows = len(self.columns[0].cells)
        rows = list[str]()
        for i in range(n_rows):
            row = _row(layout, i, width)
            if room is not None and i and len(rows) + len(row) > room:
                foot = [f"{n_rows - i} more are not shown", *foot]
                break
            rows += row
        for line in head:
            yield Text(line, style="bold", no_wrap=True, overflow="ignore")
        yield Text("─" * width, no_wrap=True, overflow="ignore")
        for line in [*rows, *foot]:
            yield Text(line, no_wrap=True, overflow="ignore")

    def _foot(self, layout: Layout, width: int) -> list[str]:
        if not layout.left_out:
            return []
        names = ", ".join(column.name for column in layout.left_out)
        return _wrapped(f"not shown at {width} columns: {names}; {self.more}".split(" "), width)


def _least(columns: Sequence[Column]) -> int:
    return sum(column.least_width for column in columns) + GAP * (len(columns) - 1)


def _parts(cell: Cell) -> Sequence[str]:
    return [cell] if isinstance(cell, str) else cell


def _joined(cell: Cell) -> str:
    return " ".join(_parts(cell))


def _wrapped(parts: Sequence[str], width: int) -> list[str]:
    """Lines of whole parts; one that is longer than a line is broken, at its spaces where it has any."""
    lines = list[str]()
    for part in parts:
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines += textwrap.wrap(part, width, break_on_hyphens=False) or [""]
    return lines


def _side_by_side(layout: Layout, cells: Sequence[Cell]) -> list[str]:
    columns = [_wrapped(_parts(cell), width) for cell, width in zip(cells, layout.widths, strict=True)]
    lines = []
    for i in range(max(len(column) for column in columns)):
        texts = [column[i] if i < len(column) else "" for column in columns]
        padded = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, column, width in zip(texts, layout.across, layout.widths, strict=True)
        ]
        lines.append((" " * GAP).join(padded).rstrip())
    return lines


def _row(layout: Layout, i: int, width: int) -> list[str]:
    lines = _side_by_side(layout, [column.cells[i] for column in layout.across])
    indent = min(INDENT, width // 4)
    for column in layout.below:
        parts = _parts(column.cells[i])
        if any(len(part) + indent > width for part in parts):
            # Longer than an indented line: it gets the whole one.
            lines += _wrapped([column.name, *parts] if column.name else parts, width)
        else:
            lines += [" " * indent + line for line in _wrapped([column.name, *parts], width - indent)]
    return lines
