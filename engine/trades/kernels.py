"""From scores to trades: every threshold, barrier pair and cooldown of one signal.

Combination ``c = threshold * n_rules + rule``, a rule being a cooldown and a pair of barriers. What becomes of a trade depends
on its entry bin, direction and barriers alone, so it is worked out once and shared by all combinations that take it. Whatever
is opened is booked: what the record does while a trade is open decides how it ends, never whether it counts.
Source: signals.md sections 6.1, 6.2, 6.4 and 14.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.jit import inline_kernel, kernel
from engine.schema import Floats, Ints
from engine.trades.tape import CLOSED, GAP, POSTPONED, SOUND, Tape

# How a trade ended.
UNKNOWN: Final = 0
TP: Final = 1
SL: Final = 2
TIMEOUT: Final = 3
CUT: Final = 4  # a time-out that came early because the data ended
FLAT_AT_CLOSE: Final = 5  # before a close that the calendar had foretold
FLAT_AT_ROLL: Final = 6  # before another contract's prices
ACROSS_GAP: Final = 7  # at the first price after a gap, no barrier being reached there
MET_GAP: Final = 8  # added to any of these: a gap of the record lay on the way
# Why a signal set off no trade: rows of ``WalkState.refused``.
N_UNSOUND: Final = 0  # it fired in a bin that is not sound, or would have been entered in one
N_TOO_NEAR_CLOSE: Final = 1
N_STOP_IN_SPREAD: Final = 2  # the spread paid is as wide as the stop
N_REFUSALS: Final = 3
_TAKEN: Final = -1
_UNSETTLED: Final = 2
_NEVER: Final = 1 << 62


class Plan(NamedTuple):
    """What is walked; ``up``, ``down`` (n_thresholds,) levels, ``cooldowns`` (n_rules,) bins, ``pair`` (n_rules,) place of
    each rule's barriers among ``tp``, ``sl`` (n_pairs,) 1e-9 dollars."""

    up: Floats
    down: Floats
    cooldowns: Ints
    pair: Ints
    tp: Ints
    sl: Ints
    start: int  # first bin that may fire
    delay: int  # bins from firing to entry
    closed: Ints  # the bins outside the hours of trading, ascending
    min_to_close: int  # bins from entry to the first closed one
    max_hold: int
    tick: int  # 1e-9 dollars
    is_level: bool
    rearm: bool
    single: bool
    at_barrier: bool  # a hit is booked at the barrier, else at the price seen
    sound_only: bool  # a time-out waits for a sound bin; in the reference form it takes its bin as it is


class Memo(NamedTuple):
    """Outcomes known so far, each (2 * n_pairs, n): row ``2 * pair + (direction < 0)``; reason UNKNOWN until needed,
    and until then the others say nothing."""

    exit_bin: NDArray[np.int32]
    reason: NDArray[np.int8]  # MET_GAP added where it applies
    pnl: Floats  # ticks, before fees


class WalkState(NamedTuple):
    """Scratch per combination: ``previous`` state i1, ``free`` first bin that may fire again; and ``refused`` (N_REFUSALS,
    n_combos), signals that set off no trade; per bin ``way`` (n,) i1, what the score says at a threshold."""

    previous: NDArray[np.int8]
    free: Ints
    refused: Ints
    way: NDArray[np.int8]


class Found(NamedTuple):
    """Room for trades, each of shape (room,): their combination, firing bin, and direction +1 or -1."""

    combo: Ints
    fired: Ints
    sign: NDArray[np.int8]


@inline_kernel
def quiet_until(low: Ints, high: Ints, state: NDArray[np.int8], since: int, until: int, floor: int, ceiling: int) -> int:
    """The first bin from ``since`` on, ``until`` at the latest, that is not sound or reaches a barrier."""
    j = since
    while j < until and state[j] == SOUND and low[j] > floor and high[j] < ceiling:
        j += 1
    return j


@inline_kernel
def follow(tape: Tape, plan: Plan, pair: int, sign: int, entry: int, memo: Memo) -> None:
    """Work out one trade: from the end of bin ``entry`` to its first barrier, its time limit, or what the record does to it.

    Bins that are not sound decide nothing: the next sound one does. But for

    - a gap: the trade ends in the first sound bin after it. A stop that is passed there is filled at the worst price of that
      bin, since within the gap its own was jumped over; a limit that is passed gets its limit; else the bin's last price counts.
    - a close: the trader knew that it comes and is out in the last bin before it, at the last sound price, the best that is known
      of what that order got; also where a gap lies between, which he could not see through.
    - a roll: the prices from there on are another contract's and say nothing of this trade; it ends at the last sound price.
    - the end of the data: the same (of the reference form: at the last price).

    The bin of the exit is the one in which the outcome is known, not the earlier one whose price was the last.
    """
    n = tape.bid.shape[0]
    row = 2 * pair + (1 if sign < 0 else 0)
    tp = plan.tp[pair]
    sl = plan.sl[pair]
    price = tape.ask[entry] if sign > 0 else tape.bid[entry]
    deadline = entry + plan.max_hold - 1
    last = entry  # bin whose price can be had
    reason = CUT if plan.max_hold > 1 else TIMEOUT
    met_gap = False
    gain = np.int64(0)
    j = entry + 1
    while j < n and reason == CUT:
        if not met_gap:
            if sign > 0:
                j = quiet_until(tape.bid_low, tape.bid_high, tape.state, j, min(deadline, n), price - sl, price + tp)
            else:
                j = quiet_until(tape.ask_low, tape.ask_high, tape.state, j, min(deadline, n), price - tp, price + sl)
            if tape.state[j - 1] == SOUND:
                last = j - 1
            if j == n:
                break
        state = tape.state[j]
        if state == SOUND:
            last = j
            if sign > 0:
                best = tape.bid_high[j] - price
                worst = tape.bid_low[j] - price
            else:
                best = price - tape.ask_low[j]
                worst = price - tape.ask_high[j]
            in_time = met_gap or j <= deadline
            if in_time and worst <= -sl:
                # A bin that lies beyond the barrier altogether never offered the barrier's price.
                gain = -sl if plan.at_barrier and best >= -sl and not met_gap else worst
                reason = SL
            elif in_time and best >= tp:
                gain = tp if plan.at_barrier else best
                reason = TP
            elif met_gap:
                reason = ACROSS_GAP
            elif j >= deadline:
                reason = TIMEOUT
        elif state == POSTPONED:
            if not plan.sound_only:
                last = j
                if j >= deadline:
                    reason = TIMEOUT
        elif state == GAP:
            met_gap = True
        else:
            reason = FLAT_AT_CLOSE if state == CLOSED else FLAT_AT_ROLL
        j += 1
    leave = last
    if reason == CUT:
        leave = n - 1
    elif reason == FLAT_AT_CLOSE:
        leave = j - 2
    elif reason == FLAT_AT_ROLL:
        leave = j - 1
    if reason != SL and reason != TP:
        gain = tape.bid[last] - price if sign > 0 else price - tape.ask[last]
    memo.exit_bin[row, entry] = leave
    memo.pnl[row, entry] = gain / plan.tick
    memo.reason[row, entry] = reason + (MET_GAP if met_gap else 0)


@inline_kernel
def why_refused(tape: Tape, plan: Plan, sl: int, fired: int, entry: int, close: int) -> int:
    """Why no trade may be entered, a row of ``refused``, or _TAKEN; ``close`` is the first closed bin from ``fired`` on."""
    if tape.state[fired] != SOUND:
        return N_UNSOUND
    if close - entry < plan.min_to_close:
        return N_TOO_NEAR_CLOSE
    if tape.state[entry] != SOUND:
        return N_UNSOUND
    if tape.ask[entry] - tape.bid[entry] >= sl:
        return N_STOP_IN_SPREAD
    return _TAKEN


@kernel
def tell(score: Floats, up: float, down: float, way: NDArray[np.int8]) -> None:
    """What a score says at a threshold, bin by bin: +1 up, -1 down, 0 neither; a NaN is neither."""
    for t in range(score.shape[0]):
        s = score[t]
        way[t] = 1 if s >= up else -1 if s <= down else 0


@inline_kernel
def next_told(way: NDArray[np.int8], settled: int, since: int, wake: int) -> int:
    """The first bin from ``since`` on that says another thing than ``settled``, ``wake`` at the latest."""
    t = since
    while t < wake and way[t] == settled:
        t += 1
    return t


@inline_kernel
def take(tape: Tape, plan: Plan, c: int, t: int, now: int, close: int, state: WalkState, memo: Memo) -> bool:
    """Let combination ``c`` act on a signal of bin ``t``; return whether it enters a trade."""
    rule = c % plan.cooldowns.shape[0]
    pair = plan.pair[rule]
    entry = t + plan.delay
    state.previous[c] = now
    state.free[c] = t + plan.cooldowns[rule]
    refusal = why_refused(tape, plan, plan.sl[pair], t, entry, close)
    if refusal != _TAKEN:
        state.refused[refusal, c] += 1
        return False
    row = 2 * pair + (1 if now < 0 else 0)
    if memo.reason[row, entry] == UNKNOWN:
        follow(tape, plan, pair, now, entry, memo)
    if plan.single:
        state.free[c] = max(state.free[c], memo.exit_bin[row, entry])
    return True


@kernel
def walk(score: Floats, tape: Tape, plan: Plan, state: WalkState, memo: Memo, found: Found) -> int:
    """Write each trade, those of a combination in order of time; return how many there are.

    Where there are more than ``found`` has room for, the rest are counted only: call again with more room (the memo keeps).
    ``state`` must come as zeros, ``way`` as it may; or as it was left at the bin before ``plan.start``.
    """
    n = tape.bid.shape[0]
    n_rules = plan.cooldowns.shape[0]
    count = 0
    for h in range(plan.up.shape[0]):
        first = h * n_rules
        tell(score, plan.up[h], plan.down[h], state.way)
        settled = _UNSETTLED  # the state in which no combination has anything to do before bin `wake`
        wake = n
        next_close = 0
        t = plan.start - 1
        while True:
            t = next_told(state.way, settled, t + 1, wake)
            if t + plan.delay >= n:  # nor can anything be entered later
                break
            now = state.way[t]
            settled = now
            wake = n
            if now == 0:
                for c in range(first, first + n_rules):
                    state.previous[c] = 0
                continue
            while next_close < plan.closed.shape[0] and plan.closed[next_close] < t:
                next_close += 1
            close = plan.closed[next_close] if next_close < plan.closed.shape[0] else _NEVER
            for c in range(first, first + n_rules):
                if not plan.is_level and state.previous[c] == now:
                    continue
                if t < state.free[c]:
                    if plan.is_level or plan.rearm:
                        wake = min(wake, state.free[c])
                    else:
                        state.previous[c] = now
                    continue
                if take(tape, plan, c, t, now, close, state, memo):
                    if count < found.combo.shape[0]:
                        found.combo[count] = c
                        found.fired[count] = t
                        found.sign[count] = now
                    count += 1
                if plan.is_level:
                    wake = min(wake, max(state.free[c], t + 1))
    return count
