"""The contract every signal must pass, one check a function; `yield_checks` gives those that hold for a signal.

Each check takes a way to make the signal afresh and some bins, and raises `ContractError` saying what broke and at which bin.
Source: style.md section 7.
"""

import datetime as dt
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.schema import Outputs
from engine.signals.base import SignalLike
from engine.signals.causality import accusations, spread
from engine.signals.futures import Futures
from engine.signals.mirror import Bins, MirrorError, mirrored

Make = Callable[[], SignalLike]
Check = Callable[[Make, Bins], None]

MIRROR_TOLERANCE: Final = 1e-9  # of a score, or of 1; also of a memory
N_CUTS: Final = 12  # beside those at both ends
GROWTH: Final = 1.05  # of a state that does not grow
CLOCKS: Final = ("time", "time_ns", "perf_counter", "perf_counter_ns", "process_time", "thread_time")
CLOCK_SHIFT_S: Final = 40_000_000.5  # another year, month, weekday, hour and part of a second


class ContractError(EngineError):
    """A signal that breaks its contract."""


def part(bins: Bins, first: int, last: int) -> dict[str, NDArray[Any]]:
    """Bins ``first`` to ``last`` (exclusive)."""
    return {name: column[first:last] for name, column in bins.items()}


def length(bins: Bins) -> int:
    """How many bins."""
    return len(next(iter(bins.values())))


def check_outputs(make: Make, bins: Bins) -> None:
    """A run gives an array of the signal's ``output_dtype``, a row a bin; an update gives one row."""
    signal = make()
    _require_shape(signal, "run", signal.run(bins), (length(bins),))
    _require_shape(signal, "update", make().update({name: column[0] for name, column in bins.items()}), ())


def _require_shape(signal: SignalLike, what: str, found: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(found, np.ndarray) or found.dtype != signal.output_dtype or found.shape != shape:
        kind = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise ContractError(f"{signal.name}: {what} gave {kind}; it must give {signal.output_dtype} of shape {shape}")


def check_repeats(make: Make, bins: Bins) -> None:
    """Two fresh signals over the same bins say the same: no unseeded draw, no clock, nothing kept outside the object."""
    first = make().run(bins)
    for _ in range(2):
        _same(first, make().run(bins), "a second fresh signal over the same bins differs (a draw, a clock, or something kept)")


def check_shares_nothing(make: Make, bins: Bins) -> None:
    """Signals of one class that run side by side do not meddle with each other: no state in the module or the class."""
    n = length(bins)
    alone = make().run(bins)
    signal, other = make(), make()
    begun = signal.run(part(bins, 0, n // 2))
    other.run(part(bins, n // 3, n))
    found = np.concatenate([begun, signal.run(part(bins, n // 2, n))])
    _same(alone, found, "another signal of the class that ran meanwhile changed this one (state in the module or the class)")


def check_clock(make: Make, bins: Bins) -> None:
    """The time of day at which a signal runs has no part in what it says; the bins bear their own."""
    now = make().run(bins)
    with _another_time(type(make())):
        then = make().run(bins)
    _same(now, then, "what it says depends on the clock on the wall; read bin_start_ns or bin_seq instead")


class _Later(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "_Later":
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> "_Later":
        return cls.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> "_Later":
        return cls.fromtimestamp(time.time())


class _LaterDay(dt.date):
    @classmethod
    def today(cls) -> "_LaterDay":
        return cls.fromtimestamp(time.time())


@contextmanager
def _another_time(cls: type[Any]) -> Iterator[None]:
    """The clocks as a signal's modules see them, set on by a year and more."""
    real = {name: getattr(time, name) for name in CLOCKS}

    def shifted(name: str) -> Callable[[], float]:
        unit = 1_000_000_000 if name.endswith("_ns") else 1
        shift = int(CLOCK_SHIFT_S * unit) if name.endswith("_ns") else CLOCK_SHIFT_S
        return lambda: real[name]() + shift

    fakes: dict[Any, Any] = {real[name]: shifted(name) for name in CLOCKS}
    fakes |= {dt.datetime: _Later, dt.date: _LaterDay}
    spaces = [vars(time), vars(dt)]
    spaces += [vars(sys.modules[base.__module__]) for base in cls.__mro__ if base.__module__ in sys.modules]
    changed = []
    for space in spaces:
        for name, value in list(space.items()):
            if callable(value) and getattr(value, "__hash__", None) and value in fakes:
                changed.append((space, name, value))
    try:
        for space, name, value in changed:
            space[name] = fakes[value]
        yield
    finally:
        for space, name, value in changed:
            space[name] = value


@dataclass(frozen=True)
class _Said:
    """What fresh signals say of a session, field by field."""

    make: Make

    def __call__(self, bins: Bins) -> dict[str, NDArray[Any]]:
        out = self.make().run(bins)
        return {name: out[name] for name in out.dtype.names or ()}


def check_causality(make: Make, bins: Bins) -> None:
    """What comes after a bin, or that nothing does, never changes what was said up to it.

    Asked of the bins with some of zeros, of rare values and behind a gap among them: bin by bin, so that each is once the last
    one, and by `engine.signals.causality` with other futures, here and in a process that has run nothing before.
    """
    n = length(bins)
    futures = Futures(bins)
    cuts = spread(n, 0, N_CUTS)
    troubled = futures.troubled(cut for cut in cuts[2::4] if cut > 1)
    signal = make()
    if not signal.lookahead:  # which scores a session in one piece only, and is caught by what follows
        one_by_one = np.concatenate([signal.run(part(troubled, i, i + 1)) for i in range(n)])
        _same(make().run(troubled), one_by_one, "a session that ends, from each bin on, changed the past")
    for one in accusations(_Said(make), troubled, cuts=cuts, in_turn=True, tolerance=0.0):
        raise ContractError(str(one))


def check_update_equals_run(make: Make, bins: Bins) -> None:
    """Bin by bin is, bit by bit, what the whole session gives."""
    signal = make()
    one_by_one = np.array(
        [signal.update({name: column[i] for name, column in bins.items()}) for i in range(length(bins))], signal.output_dtype
    )
    _same(make().run(bins), one_by_one, "update differs from run")


def check_any_pieces(make: Make, bins: Bins) -> None:
    """A session in pieces, empty ones among them, is the session whole."""
    n = length(bins)
    signal = make()
    edges = [0, 1, 2, n // 3, n // 3, n // 2 + 1, n]
    pieces = [signal.run(part(bins, a, b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    _same(make().run(bins), np.concatenate(pieces), "a session in pieces differs from the whole")


def check_snapshot(make: Make, bins: Bins) -> None:
    """A signal restored from a snapshot goes on as the one it was taken of, which does not notice."""
    n = length(bins)
    whole = make().run(bins)
    for cut in (0, 1, n // 2, n - 1):
        first, second = make(), make()
        first.run(part(bins, 0, cut))
        second.restore(first.snapshot())
        for signal, what in ((second, "restored"), (first, "snapshotted")):
            _same(whole[cut:], signal.run(part(bins, cut, n)), f"the signal {what} at bin {cut} goes on differently")


def check_pickling(make: Make, bins: Bins) -> None:
    """A pickled signal goes on as the one it was made of."""
    n = length(bins)
    signal = make()
    signal.run(part(bins, 0, n // 2))
    again: SignalLike = pickle.loads(pickle.dumps(signal))
    _same(signal.run(part(bins, n // 2, n)), again.run(part(bins, n // 2, n)), "the pickled signal goes on differently")


def check_bounded_memory(make: Make, bins: Bins) -> None:
    """The state of a long run is no larger than that of a shorter one: what it keeps does not grow with the session."""
    n = length(bins)
    signal = make()
    sizes: dict[str, list[int]] = {"snapshot": [], "signal pickled": []}
    for _ in range(3):
        signal.run(bins)
        sizes["snapshot"].append(len(signal.snapshot()))
        sizes["signal pickled"].append(len(pickle.dumps(signal)))
    for what, grown in sizes.items():
        if grown[-1] > GROWTH * max(grown[:-1]):
            raise ContractError(f"{signal.name}: the state grows: a {what} has {grown} bytes after {n}, {2 * n} and {3 * n} bins")


def check_memory(make: Make, bins: Bins) -> None:
    """After ``memory_bins`` bins the score no longer depends on where the signal began: a stream warms it on no more than these.

    Said of memories that fit twice into the bins; scores may differ in their last digits.
    """
    n = length(bins)
    signal = make()
    memory = signal.memory_bins
    if not isinstance(memory, int | np.integer) or isinstance(memory, bool) or memory < 0:
        raise ContractError(f"{signal.name}: memory_bins was {memory!r}; it must be a whole number of bins, 0 or more")
    if memory > n // 2:
        return
    whole = signal.run(bins)
    for cut in (1, n // 4, n // 2 - 1):
        late = make().run(part(bins, cut, n))[memory:]
        early = whole[cut + memory :]
        gap = np.abs(early["score"] - late["score"]) > MIRROR_TOLERANCE * np.maximum(1.0, np.abs(early["score"]))
        differs = gap | (early["ready"] != late["ready"])
        if differs.any():
            at = cut + memory + int(np.argmax(differs))
            raise ContractError(
                f"{signal.name}: begun at bin {cut} it still says something else at bin {at}, though memory_bins is {memory}"
            )


def check_numbers_are_finite(make: Make, bins: Bins) -> None:
    """Scores are numbers from the first bin on, bins are counted, and a signal is not ready at once and never again."""
    signal = make()
    out = signal.run(bins)
    _refuse(signal, ~np.isfinite(out["score"]), "the score is no number")
    _refuse(signal, out["sample_count"] != np.arange(1, len(out) + 1), "bins are counted wrongly")
    if not out["ready"].any():
        raise ContractError(f"{signal.name}: is never ready in {len(out)} bins")


def check_holes(make: Make, bins: Bins) -> None:
    """A cell that is no number spoils neither the state nor the scores, and its bin is not ready where the cell was read."""
    n = length(bins)
    at = [n // 4, n // 2, n // 2 + 1, n - 2]
    for value in (np.nan, np.inf, -np.inf):
        holed = {name: column.copy() for name, column in bins.items()}
        for column in holed.values():
            if column.ndim == 2 and column.dtype.kind == "f":
                column[at] = value
        signal = make()
        out = signal.run(holed)
        _refuse(signal, ~np.isfinite(out["score"]), f"a cell of {value} made a score that is no number")
        if any(c.ndim == 2 and c.dtype.kind == "f" for c in bins.values()) and out["ready"][at].any():
            raise ContractError(f"{signal.name}: is ready at a bin of which every cell is {value}")


def check_no_bins(make: Make, bins: Bins) -> None:
    """No bins give no outputs and change nothing."""
    signal = make()
    before = signal.snapshot()
    out = signal.run(part(bins, 0, 0))
    if len(out) or out.dtype != signal.output_dtype or signal.snapshot() != before:
        raise ContractError(f"{signal.name}: a run over no bins gave {len(out)} outputs or changed the state")


def check_short_sessions(make: Make, bins: Bins) -> None:
    """Sessions shorter than any window are scored by the same rules, and have thresholds and metadata."""
    whole = make().run(bins)
    for n in (1, 2, 5):
        signal = make()
        out = signal.run(part(bins, 0, n))
        _same(whole[:n], out, f"a session of {n} bins differs from the beginning of a longer one")
        signal.metadata(out)
        levels = signal.thresholds(np.ascontiguousarray(out["score"]))
        if not levels or list(levels) != sorted(set(levels)) or not np.all(np.isfinite(levels)):
            raise ContractError(f"{signal.name}: thresholds of a session of {n} bins were {levels}")


def check_inputs_stay(make: Make, bins: Bins) -> None:
    """Columns may be read-only and strided, and are left as they are; outputs are the caller's."""
    strided = {name: np.stack([column, column], axis=1)[:, 1] for name, column in bins.items()}
    for column in strided.values():
        column.setflags(write=False)
    before = {name: column.tobytes() for name, column in strided.items()}
    signal = make()
    n = length(bins)
    try:
        out = signal.run(part(strided, 0, n // 2))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ContractError(f"{signal.name}: wrote into its inputs, which are not its own ({error})") from error
    kept = out.tobytes()
    signal.run(part(strided, n // 2, n))
    if out.tobytes() != kept or any(strided[name].tobytes() != data for name, data in before.items()):
        raise ContractError(f"{signal.name}: wrote into its inputs or into an output it had handed out")
    _same(make().run(bins)[: n // 2], out, "strided columns are scored differently")


def check_mirror(make: Make, bins: Bins) -> None:
    """A mirrored market negates the score; beside a column by side ``bins`` must hold the other one, as `example_inputs` do."""
    signal = make()
    try:
        image = mirrored(bins)
    except MirrorError as error:
        raise ContractError(f"{signal.name}: {error}") from error
    straight, turned = signal.run(bins)["score"], make().run(image)["score"]
    if not np.any(straight):
        raise ContractError(f"{signal.name}: the score is 0 throughout, so its mirror image says nothing")
    largest = np.maximum(1.0, np.abs(straight))
    _refuse(signal, np.abs(straight + turned) > MIRROR_TOLERANCE * largest, "the mirrored market does not negate the score")


def check_warm_up_leaves_the_state(make: Make, bins: Bins) -> None:
    """Compiling changes nothing."""
    signal = make()
    signal.run(part(bins, 0, length(bins) // 2))
    before = signal.snapshot()
    signal.warmup()
    if signal.snapshot() != before:
        raise ContractError(f"{signal.name}: warming up changed the state")


def yield_checks(signal: type[SignalLike]) -> Iterator[Check]:
    """The checks that a signal of this class must pass."""
    yield check_outputs
    yield check_inputs_stay
    yield check_repeats
    yield check_shares_nothing
    yield check_clock
    yield check_causality
    yield check_update_equals_run
    yield check_any_pieces
    yield check_snapshot
    yield check_pickling
    yield check_bounded_memory
    yield check_memory
    yield check_numbers_are_finite
    yield check_holes
    yield check_no_bins
    yield check_short_sessions
    yield check_warm_up_leaves_the_state
    if signal.is_odd:
        yield check_mirror


def _same(expected: Outputs, found: Outputs, what: str) -> None:
    if expected.tobytes() == found.tobytes():
        return
    for name in expected.dtype.names or ():
        differs = np.array([a.tobytes() != b.tobytes() for a, b in zip(expected[name], found[name], strict=True)])
        if differs.any():
            at = int(np.argmax(differs))
            raise ContractError(f"{what}: {name} of bin {at} is {found[name][at]!r}, not {expected[name][at]!r}")


def _refuse(signal: SignalLike, is_wrong: NDArray[np.bool_], what: str) -> None:
    if is_wrong.any():
        raise ContractError(f"{signal.name}: {what}, first at bin {int(np.argmax(is_wrong))}, in {int(is_wrong.sum())} bins")
