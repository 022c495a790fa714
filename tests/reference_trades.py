"""The sound trading rules in plain Python, one trade at a time: what the trades' and the tally's kernels must equal."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.trades.tape import CLOSED, GAP, ROLL, SOUND
from tune.rules import Rules


@dataclass
class Trade:
    fired: int
    entry: int
    exit_bin: int
    sign: int
    reason: str  # tp, sl, timeout, close, roll, gap, cut
    pnl: float  # ticks
    met_gap: bool


def first_of(tape: Any, since: int, *states: int) -> int:
    """The first bin from ``since`` on in one of some states; the number of bins where there is none."""
    found = np.flatnonzero(np.isin(tape.state[since:], states))
    return since + int(found[0]) if len(found) else len(tape.state)


def barrier_of(tape: Any, j: int, entry: int, sign: int, r: Rules, after_gap: bool) -> tuple[str, float] | None:
    """Which barrier a bin reaches and what it gives, ticks; a stop goes first, and after a gap it gets the worst price."""
    tick = round(r.tick_size * 1e9)
    paid = int(tape.ask[entry] if sign > 0 else tape.bid[entry])
    met = (tape.bid_low[j], tape.bid_high[j]) if sign > 0 else (tape.ask_high[j], tape.ask_low[j])
    worst, best = (sign * (int(price) - paid) / tick for price in met)
    if worst <= -r.sl_ticks:
        return "sl", worst if after_gap or best < -r.sl_ticks else -r.sl_ticks
    return ("tp", r.tp_ticks) if best >= r.tp_ticks else None


def outcome(tape: Any, entry: int, sign: int, r: Rules) -> tuple[int, str, float, bool]:
    """Exit bin, reason, PnL in ticks of a trade entered at the end of a bin, and whether a gap lay on its way."""
    tick, n = round(r.tick_size * 1e9), len(tape.bid)
    paid = int(tape.ask[entry] if sign > 0 else tape.bid[entry])

    def out_at(j: int) -> float:
        return sign * (int(tape.bid[j] if sign > 0 else tape.ask[j]) - paid) / tick

    deadline = entry + r.max_hold_bins - 1
    if deadline == entry:
        return entry, "timeout", out_at(entry), False
    end, gap = first_of(tape, entry + 1, CLOSED, ROLL), first_of(tape, entry + 1, GAP)  # a close or roll ends it, or the data
    last = entry
    for j in range(entry + 1, end):
        if tape.state[j] != SOUND:
            continue
        last = j
        if j < gap and j > deadline:
            return j, "timeout", out_at(j), False
        hit = barrier_of(tape, j, entry, sign, r, after_gap=j > gap)
        if hit is not None:
            return j, *hit, j > gap
        if j > gap:
            return j, "gap", out_at(j), True
        if j == deadline:
            return j, "timeout", out_at(j), False
    if end == n:
        return n - 1, "cut", out_at(last), gap < end
    is_close = tape.state[end] == CLOSED
    return end - is_close, "close" if is_close else "roll", out_at(last), gap < end


def refusal(tape: Any, fired: int, entry: int, r: Rules) -> str | None:
    """Why a signal sets off no trade."""
    close = first_of(tape, fired, CLOSED)
    if tape.state[fired] != SOUND:
        return "n_unsound"
    if close < len(tape.state) and close - entry < r.min_bins_to_close:
        return "n_too_near_close"
    if tape.state[entry] != SOUND:
        return "n_unsound"
    spread = int(tape.ask[entry]) - int(tape.bid[entry])
    return "n_stop_in_spread" if spread >= round(r.sl_ticks * r.tick_size * 1e9) else None


def trades_of(score: list[float], tape: Any, threshold: float, r: Rules) -> tuple[list[Trade], dict[str, int]]:
    """The trades of one threshold under sound rules, and how many signals set off none, by reason."""
    found: list[Trade] = []
    refused = dict.fromkeys(("n_unsound", "n_too_near_close", "n_stop_in_spread"), 0)
    previous, last, busy = 0, None, 0
    for t in range(r.warmup_bins, len(score)):
        now = 1 if score[t] >= threshold else -1 if score[t] <= -threshold else 0
        if now == 0:
            previous = 0
            continue
        if r.trigger == "edge" and now == previous:
            continue
        blocked = (last is not None and t - last < r.cooldown_bins) or (r.position == "single" and t < busy)
        if blocked:
            if not r.rearm:
                previous = now
            continue
        entry = t + r.feed_delay_bins + r.order_delay_bins
        if entry >= len(score):
            continue
        previous, last = now, t
        why = refusal(tape, t, entry, r)
        if why is not None:
            refused[why] += 1
            continue
        leave, how, pnl, met_gap = outcome(tape, entry, now, r)
        busy = leave
        found.append(Trade(t, entry, leave, now, how, pnl, met_gap))
    return found, refused
