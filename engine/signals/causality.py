"""Does anything decided in the past change when the future does? The one question that finds every kind of lookahead.

What is asked is a function from a session's arrays to what is decided bin by bin: a signal's outputs, or a judge's thresholds
and entries. The session is cut at many places, all that lies after the cut is replaced (`engine.signals.futures`), and what
was decided before it must stay. It does not matter how a leak comes about (labels that reach ahead, scalers and folds that saw
the whole session, its length, a bin's own future, what a process keeps from another run): it shows.

What must stay, and how nearly: truth values, integers and all else that is no float, bit for bit. Floats to ``LAST_BITS`` of
their size, or of the usual size of that output where they are smaller: a sum by way of a Fourier transform, or by a block that
ends elsewhere, carries the rounding of what comes later, some 1e-16 times how much larger that is (here up to 1e4 times), and
so ends a hundred times below. A leak that small moves no threshold, and where it does, the entry it moves is no float. A signal
is held to all its bits, which are what its stream must give too.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.signals.fresh import named, run_fresh
from engine.signals.futures import KINDS, LONGER, OTHER, WIDE, Arrays, Futures

Decide = Callable[[Arrays], Arrays]

LAST_BITS: Final = 1e-9
GOLDEN_RATIO: Final = 0.6180339887498949
N_SPREAD: Final = 12
N_IN_A_ROW: Final = 24  # cuts that stand bin by bin, for what happens every few bins
N_RARE: Final = 40
N_TROUBLED: Final = 4
N_FILLS: Final = 4
ROUND: Final = (10, 60, 100, 250, 256, 500, 512, 1000, 1024, 3600, 10_000)
AFTER_OTHERS: Final = "another session, run before this one,"
FRESH: Final = f"in a process that has run nothing before, {WIDE}"
FILLED: Final = "filled before it could be"


@dataclass(frozen=True)
class Accusation:
    """A decision that knew the future: which output, in which bin, and what came after ``cut`` that showed it."""

    output: str
    bin: int
    cut: int
    change: str
    found: Any
    expected: Any

    def __str__(self) -> str:
        if self.change == FILLED:
            return (
                f"{self.output} of bin {self.bin} is {self.found!r} whatever the bins after it hold: it was {FILLED}; fill an "
                "order at a price that comes after what decides it"
            )
        return (
            f"{self.change} from bin {self.cut} on changed the past: {self.output} of bin {self.bin} is {self.found!r}, "
            f"not {self.expected!r}"
        )


def accusations(
    decide: Decide,
    arrays: Arrays,
    *,
    cuts: Sequence[int] | None = None,
    kinds: Sequence[str] = KINDS,
    in_turn: bool = False,
    seed: int = 0,
    known: Mapping[str, int] | None = None,
    fills: Sequence[str] = (),
    tolerance: float = LAST_BITS,
) -> Iterator[Accusation]:
    """Look for lookahead.

    Parameters
    ----------
    decide : callable
        From arrays of shape (n, ...), n of any size from 1 on, to what is decided: arrays of shape (n, ...) too.
    cuts : sequence of int, optional
        First bins of the futures, 1 to n - 1. By default they are spread, stand in a row, at both ends, at round numbers and
        where a bin stands out, and again where bins of zeros and of rare values have been planted.
    kinds : sequence of str
        Of `engine.signals.futures.KINDS`; ``SAME_LENGTH`` for a function to which the length of a session is known beforehand.
    in_turn : bool
        Whether each of the given cuts has one kind, in turn, instead of all.
    known : mapping, optional
        Bits of integer arrays that are known beforehand, and stay.
    fills : sequence of str
        Outputs that are prices at which what a bin decides is filled, NaN or 0 for none: they must come from later bins, so that
        others change them.
    tolerance : float
        Share of a float within which it stays; 0 for all its bits.

    Yields
    ------
    Accusation
        The first bin of each output that differs, future by future; nothing for a causal function.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of futures that are odd on purpose
        session = _Session(decide, arrays, seed, known, fills, tolerance)
        if cuts is not None:
            every = [(cut, kind) for cut in cuts for kind in kinds]
            yield from session.asked([(cut, kinds[i % len(kinds)]) for i, cut in enumerate(cuts)] if in_turn else every)
        else:
            yield from session.asked(_plan(session, spread(session.n, seed, N_SPREAD), kinds, seed))
            yield from _in_trouble(session, kinds, seed)
        yield from session.filled()
        yield from session.again(max(1, session.n // 4))


class _Session:
    """A session, what is decided over it, and what is decided over others that share its beginning."""

    def __init__(
        self,
        decide: Decide,
        arrays: Arrays,
        seed: int,
        known: Mapping[str, int] | None,
        fills: Sequence[str],
        tolerance: float,
    ) -> None:
        self.decide, self.arrays, self.seed, self.known, self.fills, self.tolerance = (
            decide,
            arrays,
            seed,
            known,
            fills,
            tolerance,
        )
        self.futures = Futures(arrays, known)
        self.n = self.futures.n
        self.whole = decide(arrays)

    def asked(self, plan: Sequence[tuple[int, str]]) -> Iterator[Accusation]:
        for cut, kind in plan:
            cut = self.n if kind == LONGER else cut
            yield from self.compared(self.decide(self.futures.after(cut, kind, self.seed)), cut, kind)

    def compared(self, other: Arrays, cut: int, change: str) -> Iterator[Accusation]:
        for name, values in self.whole.items():
            if name in self.fills:
                continue
            at = first_difference(values[:cut], other[name][:cut], self.tolerance)
            if at is not None:
                yield Accusation(name, at, cut, change, other[name][at], values[at])

    def filled(self) -> Iterator[Accusation]:
        """Whether a bin's fill stays whatever comes after the bin."""
        for name in self.fills:
            prices = self.whole[name][: self.n - 1]
            bins = np.flatnonzero(~np.isnan(prices) & (prices != 0))
            for b in bins[:: max(len(bins) // N_FILLS, 1)].tolist():
                others = (self.decide(self.futures.after(b + 1, OTHER, self.seed + i))[name][b] for i in range(N_FILLS))
                if all(other == prices[b] for other in others):  # by chance a market may come back to a price, not so often
                    yield Accusation(name, b, b + 1, FILLED, prices[b], prices[b])
                    break

    def again(self, cut: int) -> Iterator[Accusation]:
        """What the process kept: the session after the others, and others before it where nothing has been kept yet."""
        yield from self.compared(self.decide(self.arrays), self.n, AFTER_OTHERS)
        name = named(self.decide)
        if name is None:
            return
        other, whole = run_fresh(name, [self.futures.after(cut, WIDE, self.seed), self.arrays])
        yield from self.compared(other, cut, FRESH)
        yield from self.compared(whole, self.n, AFTER_OTHERS)


def spread(n: int, seed: int, count: int) -> list[int]:
    """Cuts of a session of n bins: both ends, and by the golden ratio, so that no schedule of fits falls in step with them."""
    share = (np.arange(1, count + 1) * GOLDEN_RATIO + seed * GOLDEN_RATIO**2) % 1.0
    ends = (1, 2, 3, n // 2, n - 2, n - 1)
    return sorted({max(1, min(int(one), n - 1)) for one in (*ends, *(share * n))})


def _plan(session: _Session, places: Sequence[int], kinds: Sequence[str], seed: int) -> list[tuple[int, str]]:
    """Every kind at some cuts; at many more, other values, and another kind in turn."""
    n = session.n
    begin = int((seed + 1) * GOLDEN_RATIO % 1.0 * max(n - N_IN_A_ROW, 1)) + 1
    single = set(range(begin, min(begin + N_IN_A_ROW, n)))
    for base in ROUND:
        for at in {base, base * (n // (2 * base)), base * ((n - 1) // base)}:
            single |= {at - 1, at, at + 1}
    rare = [cut for b in session.futures.rare_bins() for cut in (b + 1, b)]
    if len(rare) > N_RARE:
        rare = [rare[i] for i in np.unique(np.linspace(0, len(rare) - 1, N_RARE).astype(int))]
    cuts = sorted(cut for cut in single | set(rare) if 0 < cut < n)
    plan = [(cut, kind) for cut in places for kind in kinds if kind != LONGER]
    plan += [(cut, OTHER) for cut in cuts if OTHER in kinds]
    plan += [(cut, kinds[i % len(kinds)]) for i, cut in enumerate(rare) if 0 < cut < n]
    return plan + [(n, kind) for kind in kinds if kind == LONGER]


def _in_trouble(session: _Session, kinds: Sequence[str], seed: int) -> Iterator[Accusation]:
    """The same of a session with bins of zeros, of rare values and jumps of its clocks, cut where they stand."""
    n = session.n
    if n < N_TROUBLED * 4:
        return
    bins = sorted({int(n * ((i + 1) * GOLDEN_RATIO + seed * 0.1 % 1.0) % n) for i in range(N_TROUBLED)} - {0})
    troubled = _Session(session.decide, session.futures.troubled(bins), seed, session.known, session.fills, session.tolerance)
    same = [kind for kind in kinds if kind != LONGER]
    plan = [(cut, same[(i + place) % len(same)]) for i, b in enumerate(bins) for place, cut in enumerate((b - 1, b, b + 1))]
    plan += [(cut, OTHER) for b in bins for cut in (b, b + 1) if OTHER in kinds]
    yield from troubled.asked([(cut, kind) for cut, kind in plan if 0 < cut < n])


def first_difference(expected: NDArray[Any], found: NDArray[Any], tolerance: float) -> int | None:
    """The first bin in which two outputs of shape (n, ...) differ; floats by more than a share ``tolerance`` of their size."""
    if len(expected) != len(found):
        return min(len(expected), len(found))
    expected, found = np.ascontiguousarray(expected), np.ascontiguousarray(found)
    if expected.tobytes() == found.tobytes():
        return None
    if expected.dtype.kind == "f" and tolerance > 0:
        sizes = np.abs(expected[np.isfinite(expected) & (expected != 0)])
        usual = float(np.median(sizes)) if len(sizes) else 0.0
        room = tolerance * np.maximum(np.maximum(np.abs(expected), np.abs(found)), usual)
        near = np.isfinite(expected) & np.isfinite(found) & (np.abs(expected - found) <= room)
        stays = near | (expected == found) | (np.isnan(expected) & np.isnan(found))
        differs = ~stays.reshape(len(stays), -1).all(axis=1)
    else:
        width = expected.nbytes // len(expected)
        one, other = (a.view(np.uint8).reshape(len(a), width) for a in (expected, found))
        differs = (one != other).any(axis=1)
    return int(np.argmax(differs)) if differs.any() else None
