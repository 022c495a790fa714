"""Other futures of a session: all that lies after a cut replaced, by values such as each column may have.

What a column is, is read off its values, and off its name where the schema knows it. An *axis* (``k``) is the same in every
bin and stays. A *clock* (a time, a running count) only rises, and goes on at another pace. A *label* has few values, and takes
another of them in every bin. *Counts* keep their step (a tick), their sign and their mark for a missing value; *floats* their
sign and their NaN.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from engine.constants import QUALITY_NAMES
from engine.schema import Floats
from engine.signals.example import example_market
from engine.signals.mirror import FIELDS, GRID

Arrays = Mapping[str, NDArray[Any]]
Rows = NDArray[Any]

# Each reads: "... from bin 155 on changed the past".
OTHER: Final = "other values"
WIDE: Final = "a wider range"
STILL: Final = "a future that stands still"
ZEROS: Final = "a future of zeros"
AGAIN: Final = "bins drawn from the session"
RARE: Final = "a gap and rare values"
ENDS: Final = "a session that ends"
LONGER: Final = "a longer session"
SAME_LENGTH: Final = (OTHER, WIDE, STILL, ZEROS, AGAIN, RARE)
KINDS: Final = (*SAME_LENGTH, ENDS, LONGER)

MAX_LABELS: Final = 16  # values up to which a column of integers is one of labels
FEW: Final = 400  # a value is rare where it is seen in one bin of so many, or once
WIDER: Final = 30.0  # deviations
GAP_BINS: Final = 3  # bins of rare values after the cut
GAP_STEPS: Final = 500  # of a clock that jumps
N_DRAWS: Final = 3  # sets of other values, used in turn
_EXAMPLE_BINS: Final = 256

Kind = Literal["axis", "clock", "label", "count", "float"]


@dataclass(frozen=True)
class Column:
    """What a column may hold: ``values`` those of a label, ``step`` what whole counts and clocks are multiples of apart."""

    kind: Kind
    values: Rows
    step: int
    spread: float
    is_positive: bool
    missing_share: float
    rarest: Any

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.rarest, np.integer)


def column_of(name: str, x: Rows) -> Column:
    """What the values and the name of a column, shape (n, ...), say of it."""
    there = x[~is_missing(x)]
    if not len(there):
        return Column("label", np.unique(x), 1, 1.0, False, 0.0, x.flat[0] if x.size else 0)
    if x.ndim == 2 and (x == x[:1]).all() and (np.diff(x[0]) > 0).all():
        return Column("axis", there[:0], 1, 0.0, False, 0.0, there[0])
    values, counts = np.unique(there, return_counts=True)
    share = 1.0 - len(there) / x.size
    is_positive = bool(values[0] >= 0)
    rarest = values[np.argmin(counts)]
    spread = float(np.std(there.astype(np.float64))) or 1.0
    if x.dtype.kind == "f":
        is_clock = x.ndim == 1 and len(x) > MAX_LABELS and len(there) == len(x) and bool((np.diff(x) > 0).all())
        return Column("clock" if is_clock else "float", values[:0], 1, spread, is_positive, share, rarest)
    known = _values_known(name, x)
    if x.dtype.kind == "b" or len(known) or len(values) <= MAX_LABELS:
        allowed = np.union1d(values, known).astype(x.dtype)
        if len(allowed) == 1:
            allowed = np.array([True, False] if x.dtype.kind == "b" else [allowed[0], allowed[0] + 1], x.dtype)
        if len(known):
            rarest = min(allowed.tolist(), key=lambda v: counts[values == v].sum())
        return Column("label", allowed, 1, spread, is_positive, share, rarest)
    step = int(np.gcd.reduce(np.diff(values).astype(np.int64)))
    is_clock = x.ndim == 1 and len(there) == len(x) and bool((np.diff(x.astype(np.int64)) >= 0).all())
    return Column("clock" if is_clock else "count", values[:0], max(step, 1), spread, is_positive, share, rarest)


def is_missing(x: Rows) -> NDArray[np.bool_]:
    """Where a column holds no value: NaN, or the feed's mark for no price."""
    if x.dtype.kind == "f":
        return np.isnan(x)
    return x == np.iinfo(x.dtype).max if x.dtype == np.int64 else np.zeros(x.shape, np.bool_)


def _values_known(name: str, x: Rows) -> Rows:
    """All that a label of the engine's schema may be; nothing where the name says nothing."""
    if name == "quality":
        return np.array([0, *QUALITY_NAMES], np.int64)
    schema = GRID if x.ndim == 2 else FIELDS
    return _example_values(name, x.ndim) if name in schema and schema[name].itemsize == 1 else np.zeros(0, np.int64)


@cache
def _example_values(name: str, ndim: int) -> Rows:
    grid, fields = example_market(_EXAMPLE_BINS, 5, seed=1)
    return np.unique(grid[name] if ndim == 2 else fields[name])


class Futures:
    """The futures of one session.

    Parameters
    ----------
    arrays
        By name, each of shape (n, ...).
    known
        Bits of integer columns that everybody knows beforehand, by name (the hours of a market in ``quality``): they stay.
    """

    def __init__(self, arrays: Arrays, known: Mapping[str, int] | None = None) -> None:
        self._arrays = arrays
        self._known = known or {}
        self._columns = {name: column_of(name, x) for name, x in arrays.items()}
        self._drawn: dict[tuple[str, int], dict[str, Rows]] = {}
        self.n = len(next(iter(arrays.values())))

    def after(self, cut: int, kind: str, seed: int = 0) -> dict[str, Rows]:
        """The session with bins from ``cut`` on replaced; ``ENDS`` has ``cut`` bins, ``LONGER`` a third more than the session."""
        if kind == ENDS:
            return {name: x[:cut] for name, x in self._arrays.items()}
        drawn = self._drawn_for(kind, N_DRAWS * seed + cut % N_DRAWS)
        at, take = (self.n, slice(0, max(self.n // 3, 1))) if kind == LONGER else (cut, slice(cut, None))
        found = {}
        for name, x in self._arrays.items():
            one, rows = self._columns[name], drawn[name][take]
            if one.kind == "clock":
                rows = _paced(x[at - 1], rows, kind)
            elif kind == STILL:
                rows = np.repeat(x[at - 1 : at], len(rows), axis=0)
            elif kind == RARE and one.kind != "axis":
                rows = np.concatenate([np.full_like(rows[:GAP_BINS], one.rarest), rows[GAP_BINS:]])
            if name in self._known and kind != LONGER:
                bits = x.dtype.type(self._known[name])
                rows = (rows & ~bits) | (x[take] & bits)
            found[name] = np.concatenate([x[:at], rows])
        return found

    def troubled(self, bins: Iterable[int]) -> dict[str, Rows]:
        """The session with some bins, each with the one before it, turned to zeros, or to the rarest value and a gap in time."""
        found = {name: x.copy() for name, x in self._arrays.items()}
        for i, b in enumerate(bins):
            for name, x in found.items():
                one = self._columns[name]
                if one.kind == "clock":
                    x[b:] += np.asarray(_pace(x) * GAP_STEPS, x.dtype)
                elif one.kind != "axis":
                    x[max(b - 1, 0) : b + 1] = one.rarest if i % 2 and one.kind == "label" else _nought(one)
        return found

    def rare_bins(self) -> list[int]:
        """Bins that stand out: values seen nearly never, extremes, first zeros and holes, jumps of a clock; ascending."""
        found: set[int] = set()
        for name, x in self._arrays.items():
            one = self._columns[name]
            if one.kind == "axis" or self.n < 3:
                continue
            if one.kind == "clock":
                steps = np.diff(x)
                found.update((np.flatnonzero(steps > 5 * np.median(steps)) + 1).tolist()[:4])
                continue
            line = x if x.ndim == 1 else x.reshape(self.n, -1).sum(axis=1)
            if one.kind == "label" and x.ndim == 1:
                _, first, counts = np.unique(line, return_index=True, return_counts=True)
                found.update(first[counts <= max(1, self.n // FEW)].tolist())
            gone = is_missing(line)
            for holds in (gone, ~gone & (line == 0)):
                if 0 < holds.sum() <= max(1, self.n // 4):
                    found.update(np.flatnonzero(holds)[[0, -1]].tolist())
            if not gone.all():
                shown = np.where(gone, line[~gone][0], line)
                found.update((int(np.argmin(shown)), int(np.argmax(shown))))
        return sorted(found)

    def _drawn_for(self, kind: str, draw: int) -> dict[str, Rows]:
        """For each column n other rows, of a clock n steps; drawn once for many cuts."""
        if (kind, draw) not in self._drawn:
            rng = np.random.default_rng((draw, KINDS.index(kind)))
            places = rng.integers(0, self.n, self.n)
            self._drawn[kind, draw] = {name: self._others(name, kind, places, rng) for name in self._arrays}
        return self._drawn[kind, draw]

    def _others(self, name: str, kind: str, places: NDArray[np.int64], rng: np.random.Generator) -> Rows:
        x, one = self._arrays[name], self._columns[name]
        if one.kind == "axis" or (kind == STILL and one.kind != "clock"):
            return x
        if one.kind == "clock":
            return _steps(self.n, _pace(x), kind, one, rng)
        if kind == ZEROS:
            return np.full_like(x, _nought(one))
        if kind in (AGAIN, RARE):
            return x[places]
        if one.kind == "label":
            return _other_labels(x, one.values, rng)
        return _other_numbers(x, one, WIDER if kind == WIDE else 1.0, rng)


def _pace(x: Rows) -> float:
    """The usual step of a clock."""
    steps = np.diff(x)
    return max(float(np.median(steps)), 1.0) if x.dtype.kind in "iu" else float(np.median(steps))


def _nought(one: Column) -> Any:
    """0, or the least value of labels that have none."""
    return one.values[0] if one.kind == "label" and 0 not in one.values else 0


def _steps(n: int, pace: float, kind: str, one: Column, rng: np.random.Generator) -> Floats:
    """Steps of a clock that goes on steadily, or at another pace."""
    steps = np.full(n, pace)
    if kind not in (STILL, ZEROS, AGAIN):
        steps *= rng.integers(2, 40 if kind == WIDE else 6, n)
    return np.maximum(np.rint(steps / one.step), 1.0) * one.step if one.is_whole else steps


def _paced(last: Any, steps: Floats, kind: str) -> Rows:
    """A clock that goes on from ``last`` by some steps, after a jump where there is a gap."""
    if kind == RARE:
        steps = np.concatenate([steps[:1] * GAP_STEPS, steps[1:]])
    if isinstance(last, np.floating):
        return last + np.cumsum(steps)
    return (np.int64(last) + np.cumsum(steps.astype(np.int64))).astype(last.dtype)


def _other_labels(old: Rows, values: Rows, rng: np.random.Generator) -> Rows:
    """Of the values, another one in every place."""
    place = np.searchsorted(values, old)
    return values[(place + rng.integers(1, len(values), old.shape)) % len(values)]


def _other_numbers(old: Rows, one: Column, reach: float, rng: np.random.Generator) -> Rows:
    """Numbers about the old ones, another one in every place; as often missing as the column's are, and never again there."""
    gone = is_missing(old)
    moved = reach * one.spread * rng.standard_normal(old.shape)
    if one.kind == "float":
        new = np.where(gone, float(one.rarest), old) + moved
        new = np.where(new == old, new + one.spread, new)
    else:
        whole = np.rint(moved / one.step).astype(np.int64)
        new = np.where(gone, one.rarest, old).astype(np.int64) + np.where(whole == 0, 1, whole) * one.step
    if one.is_positive:
        new = np.where(new < 0, 2 * np.where(gone, one.rarest, old) - new, new)
    if one.kind == "count":
        room = np.iinfo(old.dtype)
        new = np.clip(new, int(room.min) // 2, int(room.max) // 2)
    new = new.astype(old.dtype)
    if one.missing_share > 0:
        lost = ~gone & (rng.random(old.shape) < one.missing_share)
        new[lost] = np.nan if one.kind == "float" else np.iinfo(old.dtype).max
    return new
