"""Made-up markets with quotes, extremes and holes, for tests of the judge."""

from typing import Any

import numpy as np

from engine.trades.tape import Tape, touch_tape
from tune.rules import Rules, Trigger

TICK = 250_000_000


def sound_rules(**changes: Any) -> Rules:
    """Rules as a sweep uses them by default, with some changed."""
    values: dict[str, Any] = {
        "tp_ticks": 8,
        "sl_ticks": 4,
        "max_hold_bins": 1200,
        "warmup_bins": 300,
        "cooldown_bins": 30,
        "tick_size": 0.25,
        "fill": "touch",
        "trigger": "edge",
        "position": "single",
        "rearm": True,
        "feed_delay_bins": 0,
        "order_delay_bins": 1,
        "min_bins_to_close": 2,
        "fee_per_contract": 0.0,
        "contract_multiplier": 2.0,
        "sound_only": True,
        "n_folds": 5,
        "embargo_bins": 300,
        "cell_width_ms": 100,
    }
    return Rules(**{**values, **changes})


def reference_rules(
    tp_ticks: float,
    sl_ticks: float,
    max_hold_bins: int,
    warmup_bins: int,
    cooldown_bins: int,
    tick_size: float,
    trigger: Trigger = "edge",
) -> Rules:
    """The model system's rules: mid to mid, free, overlapping, every bin."""
    return Rules(
        tp_ticks,
        sl_ticks,
        max_hold_bins,
        warmup_bins,
        cooldown_bins,
        tick_size,
        fill="mid",
        trigger=trigger,
        position="overlapping",
        rearm=False,
        feed_delay_bins=0,
        order_delay_bins=0,
        min_bins_to_close=1,
        fee_per_contract=0.0,
        contract_multiplier=1.0,
        sound_only=False,
        n_folds=5,
        embargo_bins=0,
        cell_width_ms=100,
    )


def walk_tape(
    n: int,
    seed: int,
    moves: int = 3,
    spread: int = 1,
    unsound: float = 0.0,
    gaps: float = 0.0,
    closes: float = 0.0,
    rolls: float = 0.0,
) -> Tape:
    """Quotes of a random walk of one-tick steps, ``moves`` in each bin, seen at every step.

    ``unsound`` is the share of bins in which the book is crossed, ``gaps`` and ``closes`` that of the bins in which one begins,
    1 to 20 bins long and now and then the one upon the other, ``rolls`` that of another contract's first bins.

    With ``spread`` 0 bid and ask are one price (the free market of theory); the tape is then built without `touch_tape`.
    """
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.choice([-1, 1], size=(n, moves)), axis=None).reshape(n, moves) + 84_000
    bid = path * TICK
    quality = np.zeros(n, np.uint16)
    quality[rng.random(n) < unsound] = 4
    for share, bit in ((gaps, 2), (closes, 64)):
        for begin in np.flatnonzero(rng.random(n) < share):
            quality[begin : begin + rng.integers(1, 21)] |= bit
    quality[rng.random(n) < rolls] |= 128
    ask = bid + max(spread, 1) * TICK
    tape = touch_tape(bid[:, -1], ask[:, -1], bid.min(1), bid.max(1), ask.min(1), ask.max(1), quality)
    if spread == 0:
        return tape._replace(ask=tape.bid, ask_low=tape.bid_low, ask_high=tape.bid_high)
    return tape


def times(n: int) -> np.ndarray:
    """Ends of bins of 100 ms."""
    return 1_770_000_000_000_000_000 + np.arange(n, dtype=np.int64) * 100_000_000
