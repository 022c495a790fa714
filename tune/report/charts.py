"""Drawings as SVG text that need no script: axes, bars, dots, lines, heat maps. Every text that goes in is escaped here."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, isfinite, log10
from typing import Final

import numpy as np

from engine.schema import Floats

WIDTH: Final = 720
HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 44
_SERIES: Final = 8  # colours the style sheet has
_WHOLE: Final = 0.25  # share whose bar is as long as the column where none is larger, so that nothing small looks large


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about as many as wanted."""
    span = high - low
    if not span > 0 or not isfinite(span):
        return [low]
    raw = span / wanted
    unit = 10.0 ** floor(log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw * 0.999)
    first = int(np.ceil(low / step - 1e-9))
    return [i * step for i in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def number(value: float) -> str:
    """A figure short enough for an axis."""
    return f"{value + 0.0:.4g}"


@dataclass(frozen=True)
class Axes:
    """A rectangle of values and where it lies on the drawing; values outside are drawn at its edge."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str = ""
    y_label: str = ""
    height: int = HEIGHT

    @classmethod
    def around(cls, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, x_label: str, y_label: str) -> "Axes":
        """Room for all finite points, with a margin above and below."""
        return cls(_span(xs, 0.02), _span(ys, 0.06), x_label, y_label)

    def at_x(self, value: float) -> float:
        return _LEFT + _share(value, self.x) * (WIDTH - _LEFT - _RIGHT)

    def at_y(self, value: float) -> float:
        return self.height - _BOTTOM - _share(value, self.y) * (self.height - _TOP - _BOTTOM)

    def drawn(self, body: str, name: str) -> str:
        """The drawing: grid, labels and what is on them; ``name`` is read out in its place."""
        right, low = WIDTH - _RIGHT, self.height - _BOTTOM
        parts = []
        for value in ticks(*self.x, 7):
            x = self.at_x(value)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{low}"/>')
            parts.append(f'<text x="{x:.1f}" y="{low + 16}" text-anchor="middle">{number(value)}</text>')
        for value in ticks(*self.y):
            y = self.at_y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>')
        place = f'x="{(_LEFT + right) / 2}" y="{self.height - 6}"'
        parts.append(f'<text class="label" {place} text-anchor="middle">{escape(self.x_label)}</text>')
        middle = (_TOP + low) / 2
        parts.append(
            f'<text class="label" x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">'
            f"{escape(self.y_label)}</text>"
        )
        return svg("".join(parts) + body, name, self.height)

    def line(self, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, kind: str, told: str = "") -> str:
        """A line through the finite points."""
        known = [(x, y) for x, y in zip(xs, ys, strict=True) if isfinite(x) and isfinite(y)]
        points = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in known)
        return f'<polyline class="{kind}" points="{points}"><title>{escape(told)}</title></polyline>' if known else ""

    def dots(self, xs: Floats, ys: Floats, kind: str) -> str:
        """Many points as one path, so that ten thousand stay small."""
        known = np.isfinite(xs) & np.isfinite(ys)
        places = dict.fromkeys(f"{self.at_x(x):.0f} {self.at_y(y):.0f}" for x, y in zip(xs[known], ys[known], strict=True))
        return f'<path class="{kind}" d="{"".join(f"M{place}h0" for place in places)}"/>' if places else ""

    def upright(self, value: float, kind: str, told: str) -> str:
        """A vertical line with its name beside it; nothing where the value is not known."""
        if not isfinite(value):
            return ""
        x = self.at_x(value)
        side = ("end", -5) if x > WIDTH / 2 else ("start", 5)
        return (
            f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{self.height - _BOTTOM}"/>'
            f'<text class="note" x="{x + side[1]:.1f}" y="{_TOP + 12}" text-anchor="{side[0]}">{escape(told)}</text>'
        )


def svg(body: str, name: str, height: float = HEIGHT, width: float = WIDTH) -> str:
    """A drawing of its own, scaled to its column."""
    return f'<svg role="img" aria-label="{escape(name)}" viewBox="0 0 {width:g} {height:g}">{body}</svg>'


def histogram(values: Floats, x_label: str, mark: float, told: str, name: str) -> str:
    """How often each value is there, and a marked one among them."""
    values = values[np.isfinite(values)]
    low, high = _span([*values, *([mark] if isfinite(mark) else [])], 0.04)
    counts, edges = np.histogram(values, bins=min(40, max(5, int(np.sqrt(len(values))))), range=(low, high))
    axes = Axes((low, high), (0.0, float(max(counts.max(), 1)) * 1.08), x_label, "runs")
    bars = []
    for count, first, last in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, y = axes.at_x(first), axes.at_y(count)
            size = f'width="{axes.at_x(last) - x - 1:.1f}" height="{axes.at_y(0) - y:.1f}"'
            title = f"<title>{number(first)} to {number(last)}: {count}</title>"
            bars.append(f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" {size}>{title}</rect>')
    return axes.drawn("".join(bars) + axes.upright(mark, "luck", told), name)


def bars(names: Sequence[str], values: Sequence[float], shown: Sequence[str], name: str) -> str:
    """Lying bars of shares, the longest as long as the column unless all are small; ``shown`` stands behind each."""
    most = max([_WHOLE, *(value for value in values if isfinite(value))])
    rows = []
    for i, (label, value, text) in enumerate(zip(names, values, shown, strict=True)):
        y, length = 8 + 26 * i, 320 * value / most if isfinite(value) else 0.0
        rows.append(f'<text x="236" y="{y + 14}" text-anchor="end">{escape(shortened(label, 34))}</text>')
        rows.append(f'<rect class="bar" x="244" y="{y}" width="{max(length, 1):.1f}" height="18"/>')
        rows.append(f'<text x="{252 + length:.1f}" y="{y + 14}">{escape(text)}</text>')
    return svg("".join(rows), name, 16 + 26 * len(names))


def heat(columns: Sequence[str], rows: Sequence[str], cells: Floats, labels: tuple[str, str], name: str) -> str:
    """A map of cells (n_rows, n_columns), blue above 0 and red below, stronger the further from 0; NaN stays empty.

    Where all lie on one side of 0 the nearest is the faintest.
    """
    left, top, bottom = 116, 8, 46
    wide, high = min((WIDTH / 2 - left - 8) / len(columns), 90.0), 30.0
    known = cells[np.isfinite(cells)]
    least, most = (float(np.abs(known).min()), float(np.abs(known).max())) if len(known) else (0.0, 0.0)
    least = least if len({value >= 0 for value in known.tolist()}) == 1 else 0.0
    parts = []
    for i, row in enumerate(rows):
        y = top + high * i
        parts.append(f'<text x="{left - 6}" y="{y + 19:.1f}" text-anchor="end">{escape(shortened(row, 14))}</text>')
        for j in range(len(columns)):
            value, x = float(cells[i, j]), left + wide * j
            if not isfinite(value):
                parts.append(f'<rect class="none" x="{x:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" height="{high - 1}"/>')
                continue
            strength = 0.12 + 0.88 * (abs(value) - least) / (most - least) if most > least else 0.5
            kind = "above" if value >= 0 else "below"
            told = f"<title>{escape(f'{labels[0]} {columns[j]}, {labels[1]} {row}: {value:+.3f}')}</title>"
            place = f'x="{x:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" height="{high - 1}"'
            parts.append(f'<rect class="{kind}" fill-opacity="{strength:.2f}" {place}>{told}</rect>')
            if wide >= 40:
                text = f'<text class="cell" x="{x + wide / 2:.1f}" y="{y + 19:.1f}" text-anchor="middle">{value:+.2f}</text>'
                parts.append(text)
    low = top + high * len(rows)
    for j, column in enumerate(columns):
        if wide >= 26 or j % 3 == 0:
            x = left + wide * (j + 0.5)
            parts.append(f'<text x="{x:.1f}" y="{low + 15:.1f}" text-anchor="middle">{escape(shortened(column, 9))}</text>')
    x = left + wide * len(columns) / 2
    label = shortened(f"{labels[0]} across, {labels[1]} down", 52)
    parts.append(f'<text class="label" x="{max(x, 170):.1f}" y="{low + 36:.1f}" text-anchor="middle">{escape(label)}</text>')
    return svg("".join(parts), name, low + bottom, WIDTH / 2)


def parallel(names: Sequence[str], scales: Sequence[Sequence[str]], lines: Floats, strength: Floats, name: str) -> str:
    """Parallel coordinates.

    Parameters
    ----------
    scales : sequence of sequence of str
        What stands along each axis, from bottom to top at equal steps.
    lines : NDArray[np.float64], shape (n, n_axes)
        Place of each run on each axis, 0 at the bottom to 1 at the top; NaN where it has none.
    strength : NDArray[np.float64], shape (n,)
        0 for the worst run to 1 for the best: its colour. Better ones lie above.
    """
    left, right, top, low = 60, WIDTH - 60, 34, HEIGHT - 14
    xs = [left + (right - left) * i / max(len(names) - 1, 1) for i in range(len(names))]
    parts = []
    for i in np.argsort(strength, kind="stable"):
        at = [f"{x:.0f},{low - (low - top) * y:.0f}" for x, y in zip(xs, lines[i], strict=True) if isfinite(y)]
        if len(at) > 1:
            parts.append(f'<polyline class="way q{min(int(strength[i] * 4), 3)}" points="{" ".join(at)}"/>')
    for i, (x, label, scale) in enumerate(zip(xs, names, scales, strict=True)):
        y = 12 + 12 * (i % 2)
        parts.append(f'<line class="axis" x1="{x:.0f}" x2="{x:.0f}" y1="{top}" y2="{low}"/>')
        parts.append(f'<text class="label" x="{x:.0f}" y="{y}" text-anchor="middle">{escape(shortened(label, 26))}</text>')
        for step, text in enumerate(scale):
            at_y = low - (low - top) * (step / (len(scale) - 1) if len(scale) > 1 else 0.5)
            parts.append(f'<text class="halo" x="{x + 4:.0f}" y="{at_y + 4:.0f}">{escape(shortened(text, 12))}</text>')
    return svg("".join(parts), name)


def shortened(text: str, most: int) -> str:
    """A text that fits, its end cut where it does not."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def colour(place: int) -> str:
    """Class of a line's colour."""
    return f"s{place % _SERIES}"


def _share(value: float, span: tuple[float, float]) -> float:
    width = span[1] - span[0]
    return min(max((value - span[0]) / width, 0.0), 1.0) if width > 0 else 0.5


def _span(values: Sequence[float] | Floats, margin: float) -> tuple[float, float]:
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    spare = (high - low) * margin or max(abs(low) * 0.1, 0.5)
    return low - spare, high + spare
