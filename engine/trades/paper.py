"""Trades on paper while bins arrive: the champion's rules over the judge's own kernels, a bin at a time.

Over the same bins and scores its trades are the judge's, each of them, to the last bit: `walk` decides what fires and `follow`
how it ends, here over the bins known so far, there over all of them. What is open is followed anew with every bin until its end
is known; meanwhile no other bin of a single position fires, as its end, which `walk` must know, is not yet known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.errors import ChampionError
from engine.schema import BIN_DTYPE, BinRows, Floats, Ints, Outputs, pack, unpack
from engine.trades.kernels import (
    ACROSS_GAP,
    CUT,
    FLAT_AT_CLOSE,
    FLAT_AT_ROLL,
    MET_GAP,
    N_REFUSALS,
    SL,
    TIMEOUT,
    TP,
    Found,
    Memo,
    Plan,
    WalkState,
    follow,
    walk,
)
from engine.trades.tape import CLOSED, Tape, tape_of

REASONS: Final = {
    TP: "tp",
    SL: "sl",
    TIMEOUT: "timeout",
    CUT: "cut",
    FLAT_AT_CLOSE: "close",
    FLAT_AT_ROLL: "roll",
    ACROSS_GAP: "gap",
}
KIND: Final = "trades on paper"
_FIRST_ROOM: Final = 1 << 11  # bins kept, before the buffers must grow
_MOST_AT_ONCE: Final = 1 << 6  # trades of one stretch of bins, before they are asked for again


class Opened(NamedTuple):
    """A trade that was entered. Bins count from the session's first one."""

    fired: int
    entry: int
    entry_ns: int
    sign: int  # +1 up, -1 down
    price_int: int  # paid or received, 1e-9 dollars


class Closed(NamedTuple):
    """How a trade ended; ticks gross as the judge keeps them, and net of fees with hits at their barriers."""

    fired: int
    entry: int
    exit: int
    exit_ns: int
    sign: int
    reason: str  # one of REASONS
    met_gap: bool  # a gap of the record lay on the way
    gross_ticks: float
    net_ticks: float


@dataclass
class _Open:
    """A trade under way; bins of the session."""

    fired: int
    entry: int
    sign: int


def plan_values(plan: Plan) -> dict[str, Any]:
    """A plan as plain values, for a file; which bins are closed is no part of it."""
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plan._asdict().items()}
    del values["closed"]
    return values


def plan_of(values: Mapping[str, Any]) -> Plan:
    """The plan that plain values say.

    Raises
    ------
    ChampionError
        A field is missing, unknown or of another kind: another version of the kernels wrote it.
    """
    kinds = {name: kind for name, kind in Plan.__annotations__.items() if name != "closed"}
    if values.keys() != kinds.keys():
        odd = ", ".join(sorted(values.keys() ^ kinds.keys()))
        raise ChampionError(f"the champion's trading plan and this version's differ in {odd}; sweep and promote again")
    made: dict[str, Any] = {}
    for name, kind in kinds.items():
        value = values[name]
        if kind is int or kind is bool:
            fits = type(value) is kind
        else:
            allowed = (int, float) if name in ("up", "down") else (int,)
            fits = isinstance(value, list) and len(value) == 1 and type(value[0]) in allowed
            value = np.array(value, np.float64 if name in ("up", "down") else np.int64) if fits else value
        if not fits:
            raise ChampionError(
                f"the champion's trading plan has {name} {value!r}; it must be one number. Sweep and promote again"
            )
        made[name] = value
    return Plan(**made, closed=np.zeros(0, np.int64))


def acting_score(outputs: Outputs, masked: bool) -> Floats:
    """What rules act on: a learned signal's prediction as such, else the score; NaN where not ready, if ``masked``."""
    fields = outputs.dtype.names or ()
    score: Floats = np.ascontiguousarray(outputs["prediction" if "prediction" in fields else "score"])
    return np.where(outputs["ready"], score, np.nan) if masked else score


class PaperTrader:
    """One threshold under one rule, over the bins of one session.

    Parameters
    ----------
    plan : Plan
        With one threshold, one cooldown, one pair of barriers.
    fill : str
        At the touch, or mid to mid.
    fee_ticks : float
        Of a round trip.
    first_bin : int
        The next bin to come; what fired before it is not traded.
    hours : NDArray[np.int64], shape (m, 2), optional
        Intervals in which the exchange trades, UTC ns, ascending: closes are known beforehand. None where they are not known.
    """

    def __init__(
        self, plan: Plan, fill: Literal["touch", "mid"], fee_ticks: float, first_bin: int = 0, hours: Ints | None = None
    ) -> None:
        self._key = f"{plan_values(plan)} {fill} {fee_ticks}"
        self._hours = np.zeros((0, 2), np.int64) if hours is None else hours
        self._plan = plan
        self._fill: Literal["touch", "mid"] = fill
        self._fee_ticks = fee_ticks
        self._origin = first_bin  # bin of the session at place 0 of the buffers
        self._n = 0  # places filled
        self._next = max(plan.start, first_bin)  # next bin that may fire
        self._n_scored = first_bin  # bins of the session whose scores are known
        self._open: list[_Open] = []
        self._pair = np.zeros(2, BIN_DTYPE)  # the last two bins, with the last known prices
        self._n_seen = 0
        self._state = _walked(0, 0)
        self._tape: Tape
        self._score: Floats
        self._memo: Memo
        self._ts_ns: NDArray[np.int64]
        self._room(_FIRST_ROOM)

    @property
    def n_open(self) -> int:
        """Trades under way."""
        return len(self._open)

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes of the scores so far."""
        return not self._open and self._next >= self._n_scored

    @property
    def masked(self) -> bool:
        """Whether a score counts only once the signal is ready."""
        return self._plan.sound_only or self._plan.is_level

    def update(self, bins: BinRows, score: Floats | None) -> list[Opened | Closed]:
        """Take in the next bins; what happened, in order of time.

        Parameters
        ----------
        bins : NDArray, shape (n,), BIN_DTYPE
            The session's next ones.
        score : NDArray[np.float64], shape (n,), optional
            What the rules act on; None where another signal scores by now: nothing fires any more, what is open goes on.
        """
        happened: list[Opened | Closed] = []
        for i in range(len(bins)):
            self._append(bins[i : i + 1], np.nan if score is None else score[i])
            if score is not None:
                self._n_scored += 1
            self._go_on(happened)
            self._forget()
        return happened

    def finish(self) -> list[Closed]:
        """The session is over: what is open is left at the last known price, as the judge does where the data end."""
        happened: list[Opened | Closed] = []
        for one in self._open:
            self._follow(one)
            self._book(one, happened)
        self._open = []
        return [one for one in happened if isinstance(one, Closed)]

    def snapshot(self) -> bytes:
        """What all to come depends on, between two calls of `update`; `restore` goes on from it to the last bit."""
        since = self._n_settled()
        numbers = [self._origin + since, self._n - since, self._next, self._n_scored, self._n_seen]
        walked = [int(self._state.previous[0]), int(self._state.free[0]) - since]
        arrays: dict[str, NDArray[Any]] = {
            "numbers": np.array([*numbers, *walked], np.int64),
            "open": np.array([(one.fired, one.entry, one.sign) for one in self._open], np.int64).reshape(-1, 3),
            "pair": self._pair,
        }
        return pack(KIND, self._key, arrays | {f"column_{i}": kept[since : self._n] for i, kept in enumerate(self._columns())})

    def restore(self, data: bytes) -> None:
        """Go on where a trader of the same plan and fill stood.

        Raises
        ------
        ConfigError
            The bytes are damaged, or another's.
        """
        arrays = unpack(KIND, self._key, data)
        self._origin, n, self._next, self._n_scored, self._n_seen, *walked = arrays["numbers"].tolist()
        self._n = 0  # nothing to take along
        self._room(_FIRST_ROOM + 2 * n)
        for i, column in enumerate(self._columns()):
            column[:n] = arrays[f"column_{i}"]
        self._n = n
        self._open = [_Open(*one) for one in arrays["open"].tolist()]
        self._pair = arrays["pair"]
        self._state = _walked(*walked)

    # --- the walk ---

    def _go_on(self, happened: list[Opened | Closed]) -> None:
        """Settle what has its end by now, then let fire what may, up to the last bin whose entry is known."""
        self._settle(happened)
        last = min(self._origin + self._n - 1 - self._plan.delay, self._n_scored - 1)
        while self._next <= last and not (self._plan.single and self._open):
            before = self._state
            fired = self._walk(self._next, last)
            if not fired:
                self._next = last + 1
                return
            if self._plan.single and fired[0][0] < last:
                # What comes after it hangs on its end.
                self._state = before
                fired = self._walk(self._next, fired[0][0])
            self._next = (fired[0][0] if self._plan.single else last) + 1
            for at, sign in fired:
                one = _Open(at, at + self._plan.delay, sign)
                self._open.append(one)
                place = one.entry - self._origin
                price = self._tape.ask[place] if sign > 0 else self._tape.bid[place]
                happened.append(Opened(at, one.entry, int(self._ts_ns[place]), sign, int(price)))
            self._settle(happened)

    def _walk(self, first: int, last: int) -> list[tuple[int, int]]:
        """Bins of ``first`` to ``last`` that set off a trade, and their directions."""
        n = last - self._origin + self._plan.delay + 1  # what comes later can be entered by none of them
        score, tape = self._score[:n], _known(self._tape, n)
        plan = self._plan._replace(start=first - self._origin, closed=self._closed())
        room = _MOST_AT_ONCE
        while True:
            previous, free, refused, _ = self._state
            state = WalkState(previous.copy(), free.copy(), refused.copy(), np.empty(n, np.int8))
            found = Found(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int8))
            count = walk(score, tape, plan, state, self._memo, found)
            if count <= room:
                break
            room = count
        self._state = state
        return [(int(found.fired[i]) + self._origin, int(found.sign[i])) for i in range(count)]

    def _follow(self, one: _Open) -> int:
        tape = _known(self._tape, self._n)
        place = one.entry - self._origin
        follow(tape, self._plan, 0, one.sign, place, self._memo)
        return int(self._memo.reason[self._row(one), place]) % MET_GAP

    def _settle(self, happened: list[Opened | Closed]) -> None:
        """Close what has reached its end within the bins known."""
        still = []
        for one in self._open:
            if self._follow(one) == CUT:
                still.append(one)
                continue
            self._book(one, happened)
            if self._plan.single:
                leave = int(self._memo.exit_bin[self._row(one), one.entry - self._origin])
                self._state.free[0] = max(one.fired - self._origin + int(self._plan.cooldowns[0]), leave)
        self._open = still

    def _book(self, one: _Open, happened: list[Opened | Closed]) -> None:
        row, place = self._row(one), one.entry - self._origin
        met_gap, reason = divmod(int(self._memo.reason[row, place]), MET_GAP)
        leave = int(self._memo.exit_bin[row, place])
        gross = booked = float(self._memo.pnl[row, place])
        if reason == TP:
            booked = int(self._plan.tp[0]) / self._plan.tick
        elif reason == SL and not self._plan.at_barrier and not met_gap:
            booked = -int(self._plan.sl[0]) / self._plan.tick
        at, net = int(self._ts_ns[leave]), booked - self._fee_ticks
        exit_bin, why = leave + self._origin, REASONS[reason]
        happened.append(Closed(one.fired, one.entry, exit_bin, at, one.sign, why, bool(met_gap), gross, net))

    @staticmethod
    def _row(one: _Open) -> int:
        return 1 if one.sign < 0 else 0

    # --- the bins kept ---

    def _closed(self) -> Ints:
        """Places of the closed bins, and that of the next one to come where the calendar foretells it."""
        seen = np.flatnonzero(self._tape.state[: self._n] == CLOSED)
        if not len(self._hours):
            return seen
        start, end = (int(self._pair[name][1]) for name in ("bin_start_ns", "bin_end_ns"))
        current = int(np.searchsorted(self._hours[:, 0], start, side="right")) - 1
        if current < 0 or self._hours[current, 1] <= start:
            return seen  # closed already
        width = end - start
        n = max(-(-(int(self._hours[current, 1]) - end) // width), 0)  # bins to come that still hold some of the open time
        if current + 1 < len(self._hours) and self._hours[current + 1, 0] < end + (n + 1) * width:
            return seen  # a break shorter than a bin
        return np.append(seen, self._n + n)

    def _columns(self) -> list[NDArray[Any]]:
        """What is kept bin by bin: the tape's columns, the scores, the times."""
        return [*self._tape, self._score, self._ts_ns]

    def _append(self, one: BinRows, score: float) -> None:
        if self._n == len(self._score):
            self._room(2 * self._n)
        pair = self._pair
        pair[0] = pair[1]
        pair[1] = one[0]
        known = pair if self._n_seen else pair[1:]
        tape: list[NDArray[Any]] = list(tape_of(known, self._fill, self._plan.sound_only))
        for place, column in enumerate(self._columns()[:-2]):
            column[self._n] = tape[place][-1]
        self._score[self._n] = score
        self._ts_ns[self._n] = pair["ts_ns"][1]
        if self._n_seen:  # prices that are missing are carried on
            for name in ("best_bid_price_int", "best_ask_price_int"):
                if pair[name][1] == UNDEF_PRICE:
                    pair[name][1] = pair[name][0]
            if np.isnan(pair["mid_price"][1]):
                pair["mid_price"][1] = pair["mid_price"][0]
        self._n_seen += 1
        self._n += 1

    def _n_settled(self) -> int:
        return min([self._next, self._n_scored, *(one.fired for one in self._open)]) - self._origin

    def _forget(self) -> None:
        """Let go of the bins that nothing open or to come reaches back to, half a buffer at a time."""
        first = self._n_settled()
        if first < len(self._score) // 2:
            return
        for kept in self._columns():
            kept[: self._n - first] = kept[first : self._n].copy()
        for kept in list[NDArray[Any]](self._memo):
            kept[:, : self._n - first] = kept[:, first : self._n].copy()
            kept[:, self._n - first :] = 0
        self._origin += first
        self._n -= first
        self._state.free[0] -= first

    def _room(self, n: int) -> None:
        """Buffers of ``n`` places, holding what there is."""
        dtypes = (*(np.dtype(np.int64),) * 6, np.dtype(np.int8))
        columns: list[Any] = [np.zeros(n, dtype) for dtype in dtypes]
        tape = Tape(*columns)
        score, ts_ns = np.full(n, np.nan), np.zeros(n, np.int64)
        memo = Memo(np.zeros((2, n), np.int32), np.zeros((2, n), np.int8), np.zeros((2, n)))
        if self._n:
            for new, old in zip((*columns, score, ts_ns), self._columns(), strict=True):
                new[: self._n] = old[: self._n]
            for wide, narrow in zip(list[NDArray[Any]](memo), list[NDArray[Any]](self._memo), strict=True):
                wide[:, : self._n] = narrow[:, : self._n]
        self._tape, self._score, self._memo, self._ts_ns = tape, score, memo, ts_ns


def _walked(previous: int, free: int) -> WalkState:
    refused = np.zeros((N_REFUSALS, 1), np.int64)
    return WalkState(np.array([previous], np.int8), np.array([free], np.int64), refused, np.zeros(0, np.int8))


def _known(tape: Tape, n: int) -> Tape:
    """The first ``n`` bins."""
    columns: list[Any] = [column[:n] for column in tape]
    return Tape(*columns)
