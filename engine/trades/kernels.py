"""From scores to trades: every threshold, barrier pair and cooldown of one signal in one pass over the bins.

Combination ``c = threshold * n_rules + rule``, a rule being a cooldown and a pair of barriers. What becomes of a trade depends
on its entry bin, direction and barriers alone, so it is worked out once and shared by all combinations that take it.
Source: signals.md sections 6.1, 6.2, 6.4 and 14.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.schema import Floats, Ints
from engine.trades.tape import BROKEN, SOUND, Tape

TP: Final = 1
SL: Final = 2
TIMEOUT: Final = 3
CUT: Final = 4  # a time-out that came early because the data ended
LEFT_OUT: Final = 5  # the record broke while the trade was open
UNKNOWN: Final = 0
UNSETTLED: Final = 2


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
    max_hold: int
    tick: int  # 1e-9 dollars
    is_level: bool
    rearm: bool
    single: bool
    at_barrier: bool  # a hit is booked at the barrier, else at the price seen
    sound_only: bool  # a time-out waits for a sound bin; in the reference form it takes its bin as it is


class Memo(NamedTuple):
    """Outcomes known so far, each (2 * n_pairs, n): row ``2 * pair + (direction < 0)``; reason UNKNOWN until needed."""

    exit_bin: NDArray[np.int32]
    reason: NDArray[np.int8]
    pnl: Floats  # ticks, before fees


class WalkState(NamedTuple):
    """Scratch per combination: ``previous`` state i1, ``free`` first bin that may fire again, ``left_out``; and per threshold
    ``settled`` i1, the state in which no combination has anything left to do, or UNSETTLED."""

    previous: NDArray[np.int8]
    free: Ints
    left_out: Ints
    settled: NDArray[np.int8]


@kernel
def follow(tape: Tape, plan: Plan, pair: int, sign: int, entry: int, memo: Memo) -> None:
    """Work out one trade: from the end of bin ``entry`` to its first barrier, its time limit, or the end of what is known."""
    n = tape.bid.shape[0]
    row = 2 * pair + (1 if sign < 0 else 0)
    tp = plan.tp[pair]
    sl = plan.sl[pair]
    price = tape.ask[entry] if sign > 0 else tape.bid[entry]
    end = min(entry + plan.max_hold, n)
    last_sound = entry
    reason = TIMEOUT if entry + plan.max_hold <= n else CUT
    leave = end - 1
    gain = np.int64(0)
    j = entry + 1
    while j < end:
        state = tape.state[j]
        if state == BROKEN:
            reason = LEFT_OUT
            leave = j
            break
        if state == SOUND:
            last_sound = j
            if sign > 0:
                best = tape.bid_high[j] - price
                worst = tape.bid_low[j] - price
            else:
                best = price - tape.ask_low[j]
                worst = price - tape.ask_high[j]
            if worst <= -sl:
                # A bin that lies beyond the barrier altogether never offered the barrier's price.
                gain = -sl if plan.at_barrier and best >= -sl else worst
                reason = SL
                leave = j
                break
            if best >= tp:
                gain = tp if plan.at_barrier else best
                reason = TP
                leave = j
                break
        j += 1
    if reason in (TIMEOUT, CUT):
        if plan.sound_only:
            if reason == TIMEOUT and leave > entry:
                while leave < n and tape.state[leave] != SOUND and tape.state[leave] != BROKEN:
                    leave += 1
                if leave == n:
                    reason = CUT
                elif tape.state[leave] == BROKEN:
                    reason = LEFT_OUT
            if reason == CUT:
                leave = last_sound
        if reason != LEFT_OUT:
            gain = tape.bid[leave] - price if sign > 0 else price - tape.ask[leave]
    memo.exit_bin[row, entry] = leave
    memo.pnl[row, entry] = gain / plan.tick
    memo.reason[row, entry] = reason


@kernel
def walk(
    score: Floats, tape: Tape, plan: Plan, state: WalkState, memo: Memo, combo: Ints, fired: Ints, sign: NDArray[np.int8]
) -> int:
    """Write each trade's combination, firing bin and direction in order of time; return how many there are.

    Where there are more than ``combo`` has room for, the rest are counted only: call again with more room (the memo keeps).
    ``state`` must come fresh: zeros, ``settled`` UNSETTLED. Or it goes on from the bin before ``plan.start``: ``score`` may end
    before the tape does, and no bin beyond it fires yet.
    """
    n = tape.bid.shape[0]
    n_rules = plan.cooldowns.shape[0]
    n_thresholds = plan.up.shape[0]
    previous = state.previous
    free = state.free
    settled = state.settled
    room = combo.shape[0]
    count = 0
    for t in range(plan.start, score.shape[0]):
        s = score[t]
        for h in range(n_thresholds):
            now = 0  # a NaN is flat
            if s >= plan.up[h]:
                now = 1
            elif s <= plan.down[h]:
                now = -1
            if settled[h] == now:
                continue
            first = h * n_rules
            if now == 0:
                for c in range(first, first + n_rules):
                    previous[c] = 0
                settled[h] = 0
                continue
            waiting = plan.is_level
            for c in range(first, first + n_rules):
                if not plan.is_level and previous[c] == now:
                    continue
                if t < free[c]:
                    if plan.rearm:
                        waiting = True
                    else:
                        previous[c] = now
                    continue
                entry = t + plan.delay
                if entry >= n:
                    continue
                previous[c] = now
                free[c] = t + plan.cooldowns[c - first]
                if tape.state[t] != SOUND or tape.state[entry] != SOUND:
                    state.left_out[c] += 1
                    continue
                pair = plan.pair[c - first]
                row = 2 * pair + (1 if now < 0 else 0)
                if memo.reason[row, entry] == UNKNOWN:
                    follow(tape, plan, pair, now, entry, memo)
                if plan.single:
                    free[c] = max(free[c], memo.exit_bin[row, entry])
                if memo.reason[row, entry] == LEFT_OUT:
                    state.left_out[c] += 1
                    continue
                if count < room:
                    combo[count] = c
                    fired[count] = t
                    sign[count] = now
                count += 1
            settled[h] = UNSETTLED if waiting else now
    return count
