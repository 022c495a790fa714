"""How scores become trades, and what the trades cost: everything about the evaluation that changes a number.

Source: signals.md sections 6 and 14 (6, 7, 8, 18, 19, 25).
"""

from dataclasses import dataclass
from typing import Final, Literal

Fill = Literal["touch", "mid"]
Trigger = Literal["edge", "level"]
Position = Literal["single", "overlapping"]

NARROWEST_SPREAD_TICKS: Final = 1  # of a book that is not locked
N_BLOCKS: Final = 48  # equal spans of the scored time: the units of the bootstrap, of Sharpe ratios, folds and halves
# Exchange, clearing and NFA fees of a non-member and a discount broker's commission, dollars per contract and side, 2025.
KNOWN_FEES: Final = {"ES": 2.25, "NQ": 2.25, "MES": 0.62, "MNQ": 0.62}


@dataclass(frozen=True)
class Rules:
    """One way to trade a score. Barriers in ticks, times in bins, tick in dollars.

    ``fill`` says at which price a trade enters: ``touch`` buys at the best ask and sells at the best bid, watches the other
    side's extremes inside each bin, takes a barrier's price at the barrier and the loss where a bin holds both; ``mid`` is the
    reference, mid to mid at bin ends. No fill is passive: a profit is taken when the market's own best price is there. At the
    touch nothing is entered while the spread is as wide as the stop, which the price paid would set off at once.

    Whatever was opened is booked: at the last sound price before a close or a roll, at the first one after a gap, at the last
    one there is where the data ends.
    """

    tp_ticks: float
    sl_ticks: float
    max_hold_bins: int
    warmup_bins: int
    cooldown_bins: int
    tick_size: float
    fill: Fill
    trigger: Trigger
    position: Position
    rearm: bool  # a crossing that could not be taken may be taken later, while the score stays beyond the threshold
    feed_delay_bins: int  # until a bin's end is known here
    order_delay_bins: int  # from there until the order is filled
    min_bins_to_close: int  # from the bin of an entry to the first closed one; nearer than that nothing is entered
    fee_per_contract: float  # dollars, each side
    contract_multiplier: float  # dollars per point
    sound_only: bool  # no entry, exit or label in a bin whose quality is not 0; not before the signal is ready
    n_folds: int  # walk-forward test segments
    embargo_bins: int  # between the last label a choice may use and the segment it is tested on
    cell_width_ms: int

    @property
    def delay_bins(self) -> int:
        """From the bin that fires to the bin at whose end the trade is entered."""
        return self.feed_delay_bins + self.order_delay_bins

    @property
    def tick_value(self) -> float:
        """Dollars per tick and contract."""
        return self.tick_size * self.contract_multiplier

    @property
    def fee_ticks(self) -> float:
        """Ticks a round trip costs in fees."""
        return 2.0 * self.fee_per_contract / self.tick_value

    @property
    def break_even_rate(self) -> float:
        """The TP rate at which trades that all reach a barrier earn nothing; with no fees that of a driftless walk."""
        return (self.sl_ticks + self.fee_ticks) / (self.tp_ticks + self.sl_ticks)

    @property
    def fill_model(self) -> str:
        """The fill model in words, as every row names it."""
        if self.fill == "mid":
            how = "mid to mid at bin ends, overshoot booked"
        else:
            how = "touch to touch, exit at the barrier, both in one bin is a loss"
        delay = f"feed {self.feed_delay_bins} + order {self.order_delay_bins} bins"
        said = [how, delay, f"fee {self.fee_per_contract:g} a side", f"{self.position} positions", "nothing passive"]
        if self.fill == "touch":
            said.append("none with a stop within the spread")
        if self.sound_only:
            said.append(f"flat before a close, none entered under {self.min_bins_to_close} bins from it")
            said.append("through a gap at the first price after it")
        return "; ".join(said)

    @property
    def shared(self) -> tuple[object, ...]:
        """What rules must have in common to be walked in one pass: all but barriers and cooldown."""
        return tuple(v for name, v in self.__dict__.items() if name not in ("tp_ticks", "sl_ticks", "cooldown_bins"))
