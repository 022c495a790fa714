"""How far a promise still stands: an e-value over the trades that came after it, valid at every moment one looks.

A bet against the promise: a stake starts at 1, and each trade multiplies it by ``1 + b * (promised - net)``. As long as a trade
is worth what was promised, given all that was known when it was entered, no bet gains on the average, so the chance that the
stake *ever* reaches 20 is at most 1 in 20 (Ville), however long the record and however often it is looked at. The stake is spread
over bets of ten sizes, each half the one before, so that small and large shortfalls are found without knowing which it will be.

Assumed there: that a trade's *conditional* mean is at least what was promised. Trades counted do not overlap, so what is known at
an entry includes all earlier results. But where good and bad times follow one another, a promise may be kept on the whole and not
at each trade, and bets made trade by trade would take a bad hour for many pieces of evidence. So a second stake bets on the sums
of half hours, ``exp(b * short - (b * short)**2 / 2)``: whatever lies within a half hour is one piece, and weighs as much as such
pieces have been seen to vary. That one assumes only that half hours are worth what was promised, given those before, and that
their sums lie evenly about their mean. The e-value is the smaller of the two: both have to speak against the promise.

A gain beyond twice the room from the promise to the full profit counts as that much; a loss counts in full, whatever it is.
Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", section 4; de la Pena 1999, "A
general class of exponential inequalities for martingales and ratios", for the sums; Robbins 1970 for the mixture over bets.
"""

import math
from typing import Any, Final

import numpy as np

from engine.champion import Promise
from engine.constants import NS_PER_S
from engine.schema import Floats

E_LEVEL: Final = 20.0  # at or above it the promise is taken to be broken; reached by a true one with a chance of 5 % at most
N_BETS: Final = 10
BLOCK_NS: Final = 1800 * NS_PER_S  # what lies within counts as one piece of evidence
_LARGEST: Final = 0.9  # of the largest bet that no trade can ruin
_LEAST_ROOM: Final = 1.0  # ticks, where the promise lies next to the full profit
_LARGEST_LOG: Final = 300.0  # what is told stays a number


def shortfall(net_ticks: Floats | float, promise_ticks: float, best_ticks: float) -> Floats:
    """How far results fall short of the promise, ticks; what a gain counts is bounded.

    Parameters
    ----------
    net_ticks : NDArray[np.float64], shape (...)
        Results.
    promise_ticks, best_ticks : float
        What was promised, and what a trade gains that takes its profit.
    """
    short: Floats = np.asarray(
        promise_ticks - np.minimum(net_ticks, promise_ticks + _room(promise_ticks, best_ticks)), np.float64
    )
    return short


def bets(promise_ticks: float, best_ticks: float) -> Floats:
    """The sizes of the bets a tick, shape (N_BETS,), the largest first."""
    sizes: Floats = _LARGEST / _room(promise_ticks, best_ticks) * np.exp2(-np.arange(N_BETS, dtype=np.float64))
    return sizes


def trade_growth(short: Floats | float, sizes: Floats) -> Floats:
    """By how much the logarithm of each stake grows with a trade, shape (..., N_BETS)."""
    grown: Floats = np.log1p(np.asarray(short)[..., None] * sizes)
    return grown


def block_growth(short: Floats | float, sizes: Floats) -> Floats:
    """By how much it grows with a half hour whose trades fall short by so much in all, shape (..., N_BETS)."""
    bet = np.asarray(short)[..., None] * sizes
    grown: Floats = bet - 0.5 * bet * bet
    return grown


def _room(promise_ticks: float, best_ticks: float) -> float:
    return 2.0 * max(best_ticks - promise_ticks, _LEAST_ROOM)


def log_e(stakes: Floats) -> Floats:
    """Logarithm of the e-value, from the bets' summed growths, shape (..., N_BETS)."""
    top = stakes.max(axis=-1)
    mean: Floats = top + np.log(np.exp(stakes - top[..., None]).mean(axis=-1))
    return mean


class Evidence:
    """What the record of one champion says of its promise so far.

    Entries come in the order of the record. A trade counts if its session began after the data that the champion was chosen on,
    and if it was entered after the one counted before it had ended: so nothing counts twice, however many streams show the same
    hours, and time only goes forward. Whether it counts is settled when it is entered, before anybody knows how it ends.
    """

    def __init__(self, promise: Promise) -> None:
        self._promise = promise
        self._sizes = bets(promise.at_least_ticks, promise.best_ticks)
        self._by_trade, self._by_block = np.zeros(N_BETS), np.zeros(N_BETS)
        self._block = 0  # half hours since 1970 of the trades in _short
        self._short = 0.0
        self._waiting: tuple[str, int, int] | None = None  # session, bin and time of entry of the trade whose end will count
        self._free_ns = 0  # until then nothing is entered
        self._sum = 0.0
        self._first_ns = self._last_ns = 0
        self.n_trades = 0
        self.peak_log_e = 0.0
        self.broken_after: int | None = None

    def take(self, entry: dict[str, Any]) -> None:
        """Take in one entry of the record."""
        if entry["kind"] == "open":
            self._opened(entry)
        elif self._waiting is not None and self._waiting[:2] == (entry["session"], entry["bin"]):
            block = self._waiting[2] // BLOCK_NS
            self._waiting = None
            self._free_ns = int(entry["exit_ns"])
            self._counted(float(entry["net_ticks"]), block, self._free_ns)

    def _opened(self, entry: dict[str, Any]) -> None:
        at = int(entry["entry_ns"])
        if entry["session_start_ns"] < self._promise.data_end_ns or at < self._free_ns:
            return
        if self._waiting is not None:
            # It waits for its end; long after its time limit that will not come any more: the stream was killed.
            session, _, since = self._waiting
            if entry["session"] == session or at <= since + 2 * self._promise.longest_ns:
                return
        self._waiting = entry["session"], entry["bin"], at
        self._first_ns = self._first_ns or at

    def _counted(self, net_ticks: float, block: int, at_ns: int) -> None:
        promise = self._promise
        if block != self._block:  # the one before is over
            self._by_block += block_growth(self._short, self._sizes)
            self._block, self._short = block, 0.0
        short = shortfall(net_ticks, promise.at_least_ticks, promise.best_ticks)
        self._by_trade += trade_growth(short, self._sizes)
        self._short += float(short)
        self._sum += net_ticks
        self._last_ns = at_ns
        self.n_trades += 1
        self.peak_log_e = max(self.peak_log_e, self._log_e())
        if self.broken_after is None and self.peak_log_e >= math.log(E_LEVEL):
            self.broken_after = self.n_trades

    def _log_e(self) -> float:
        return float(min(log_e(self._by_trade), log_e(self._by_block)))

    @property
    def net_mean(self) -> float | None:
        """Net ticks a trade; None before the first."""
        return self._sum / self.n_trades if self.n_trades else None

    @property
    def e_value(self) -> float:
        """Evidence against the promise by now; 1 says nothing, and below 1 the trades speak for it."""
        return math.exp(min(self._log_e(), _LARGEST_LOG))

    @property
    def is_broken(self) -> bool:
        """Whether the e-value ever reached the level; it stays so for this version, as what was seen stays seen."""
        return self.broken_after is not None

    def told(self) -> dict[str, Any]:
        """For JSON."""
        hours = (self._last_ns - self._first_ns) / (3600 * NS_PER_S) if self.n_trades else 0.0
        return {
            "n_trades": self.n_trades,
            "net_mean": self.net_mean,
            "hours": hours,
            "e_value": self.e_value,
            "e_peak": math.exp(min(self.peak_log_e, _LARGEST_LOG)),
            "e_level": E_LEVEL,
            "broken_after": self.broken_after,
        }

    @property
    def line(self) -> str:
        """In words."""
        if not self.n_trades:
            return "no live evidence yet"
        trades = f"{self.n_trades} live trade" + ("s" if self.n_trades > 1 else "")
        what = f"{trades}, net {self._sum / self.n_trades:+.2f} ticks each where {self._promise.at_least_ticks:+.2f} was promised"
        if self.broken_after is not None:
            return f"on trial: {what}; broken after {self.broken_after} (evidence {self.e_value:.3g}, level {E_LEVEL:g})"
        return f"{what}; the promise stands (evidence against it {self.e_value:.2g}, level {E_LEVEL:g})"
