"""How a signal that joins a session late comes to stand where it would stand, had it been there from the first bin: bit for bit.

Most signals forget: after ``memory_bins`` bins nothing is left of where they began, so they are shown as many. Averages that
fade forget to within their own rounding only, and two that differ in the last bit may do so for a while: they are shown some
more. A learned signal walks forward by a schedule that stands at fixed bins of the session; the model in effect is the last fit
that succeeded, and it saw nothing that lies further back than its memory. So earlier fits are not made at all, and two at most
are: the one in effect and the one under way. Where that fit had too little to learn from, or where each fit builds upon the one
before (``lsvm_der``), the session is walked from its first bin, which takes as long as it takes; the signal before serves on
meanwhile.
"""

from collections.abc import Callable, Iterable
from typing import Final

from engine.signals.base import Columns, SignalLike
from engine.signals.carried import NEVER, Carried, own_of
from engine.signals.learned.labelled import LabelledSignal
from engine.signals.learned.schedule import ScheduledSignal

Past = Callable[[int], Iterable[Columns]]  # what a signal reads of a session's bins, from one on, in blocks of any size

# Of these nothing at all is left outside their windows; whatever is not known to be such is shown more.
_WINDOWED: Final = frozenset(
    {
        "ads",
        "erd",
        "iirc",
        "jad",
        "msd",
        "multi_level_ofi",
        "order_flow_imbalance",
        "perm_derivative",
        "queue_imbalance",
        "reversal",
        "weighted_mid",
    }
)
_MEMORIES: Final = 4  # that an average is shown
_BUILDS_ON_BEFORE: Final = frozenset({"lsvm_der"})  # when such a fit starts anew depends on the first one of the session


def bins_to_see(signal: SignalLike, n_seen: int) -> int:
    """Of a session's first ``n_seen`` bins, how many of the last a fresh signal must see."""
    own = own_of(signal)
    if own.name in _BUILDS_ON_BEFORE:
        return n_seen
    is_exact = own.name in _WINDOWED or isinstance(own, ScheduledSignal)
    return min(n_seen, own.memory_bins * (1 if is_exact else _MEMORIES))


def catch_up(make: Callable[[], SignalLike], past: Past, n_seen: int) -> tuple[SignalLike, int]:
    """A signal that has seen a session so far.

    Parameters
    ----------
    make : callable
        Makes a fresh one.
    past : callable
        From a bin on, the session's bins to at least ``n_seen``; it decides itself where it ends.
    n_seen : int
        Bins of the session so far.

    Returns
    -------
    (SignalLike, int)
        The signal, and how many of the session's bins it stands behind.
    """
    signal = make()
    first = n_seen - bins_to_see(signal, n_seen)
    own = own_of(signal)
    fit_at = _fit_in_effect(own, n_seen)
    if not isinstance(own, ScheduledSignal) or (first == 0 and fit_at is None):
        return signal, _show(signal, past, first)
    seen = _show(signal, past, first) if fit_at is None else _show_from_fit(signal, past, first, fit_at)
    if own._clock.fits[0] == 0 and not (first == 0 and fit_at is None):
        signal = make()  # what is in effect was fitted earlier than all this
        seen = _show(signal, past, 0)
    return signal, seen


def _fit_in_effect(own: SignalLike, n_seen: int) -> int | None:
    """The bin at which the data of the scheduled fit end that scored bin ``n_seen - 1``; None where all fits are to be made."""
    if not isinstance(own, LabelledSignal) or own.name in _BUILDS_ON_BEFORE:
        return None
    p = own.params
    since = n_seen - 1 - p.refit_delay_bins - p.min_train_bins
    if since < 0:
        return None
    return int(p.min_train_bins + since // p.refit_interval_bins * p.refit_interval_bins)


def _show(signal: SignalLike, past: Past, first: int) -> int:
    at = first
    for columns in past(first):
        at += len(signal.run(columns))
    return at


def _show_from_fit(signal: SignalLike, past: Past, first: int, fit_at: int) -> int:
    """Let a learned signal see the bins, but fit nothing before bin ``fit_at``."""
    own = own_of(signal)
    assert isinstance(own, ScheduledSignal)
    own._clock.last_fit[0] = NEVER
    at = first
    for columns in past(first):
        n = len(next(iter(columns.values())))
        cut = min(max(fit_at - at, 0), n)
        if cut:
            own.run({name: column[:cut] for name, column in columns.items()})
        if cut < n:
            if own._clock.last_fit[0] == NEVER:
                own._clock.last_fit[0] = 0  # from here on where the schedule says
            own.run({name: column[cut:] for name, column in columns.items()})
        at += n
    if isinstance(signal, Carried) and own._clock.fits[0]:
        signal.let_go()
    return at
