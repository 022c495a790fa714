"""The sound trading rules in plain Python, one trade at a time: what the trades' and the tally's kernels must equal."""

from dataclasses import dataclass
from typing import Any

from engine.trades.tape import BROKEN, SOUND
from tune.rules import Rules


@dataclass
class Trade:
    fired: int
    entry: int
    exit_bin: int
    sign: int
    reason: str
    pnl: float  # ticks


def outcome(tape: Any, entry: int, sign: int, r: Rules) -> tuple[int, str, float]:
    """Exit bin, reason and PnL in ticks of a trade entered at the end of a bin."""
    tick = round(r.tick_size * 1e9)
    n = len(tape.bid)
    price = int(tape.ask[entry] if sign > 0 else tape.bid[entry])

    def gain(exit_price: Any) -> float:
        return sign * (int(exit_price) - price) / tick

    deadline = entry + r.max_hold_bins - 1
    last_sound = entry
    for j in range(entry + 1, n):
        if tape.state[j] == BROKEN:
            return j, "left out", 0.0
        if tape.state[j] != SOUND:
            continue
        last_sound = j
        if j <= deadline:
            best = gain(tape.bid_high[j] if sign > 0 else tape.ask_low[j])
            worst = gain(tape.bid_low[j] if sign > 0 else tape.ask_high[j])
            if worst <= -r.sl_ticks:
                return j, "sl", worst if best < -r.sl_ticks else -r.sl_ticks
            if best >= r.tp_ticks:
                return j, "tp", r.tp_ticks
        if j >= deadline:
            return j, "timeout", gain(tape.bid[j] if sign > 0 else tape.ask[j])
    return last_sound, "cut", gain(tape.bid[last_sound] if sign > 0 else tape.ask[last_sound])


def trades_of(score: list[float], tape: Any, threshold: float, r: Rules) -> tuple[list[Trade], int]:
    """The trades of one threshold under sound rules, and how many were left out."""
    found: list[Trade] = []
    left_out = 0
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
        if tape.state[t] != SOUND or tape.state[entry] != SOUND:
            left_out += 1
            continue
        leave, why, pnl = outcome(tape, entry, now, r)
        busy = leave
        if why == "left out":
            left_out += 1
        else:
            found.append(Trade(t, entry, leave, now, why, pnl))
    return found, left_out
