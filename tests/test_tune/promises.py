"""Does the live record keep its word? A thousand simulated promotions each, whose true edge is known.

    python -m tests.test_tune.promises          the lines as they stand in tune/README.md

There is a trade a minute. It ends at 8 ticks either way or at a time limit, two stops in a hundred slip, and it costs 1.24 ticks.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.schema import Floats
from engine.trades.evidence import E_LEVEL, N_BETS, bets, block_growth, log_e, shortfall, trade_growth
from tests.test_tune.calibration import Line

N_PROMOTIONS: Final = 1000
N_TRADES: Final = 5010
BARRIER, FEE, TIMED_OUT, SLIPPED, SLIP = 8.0, 1.24, 0.2, 0.02, 4.0
BEST: Final = BARRIER - FEE
NEVER: Final = 10**9
PER_BLOCK: Final = 30  # trades in a half hour, one a minute


class Course(NamedTuple):
    """Of many promotions: after how many trades each was put on trial, NEVER for those that were not."""

    after: Floats

    @property
    def share(self) -> float:
        """Put on trial within N_TRADES."""
        return float((self.after < NEVER).mean())


def trades(rng: np.random.Generator, mean: Floats | float, shape: tuple[int, int]) -> Floats:
    """Net ticks of trades whose expectation, given all before, is ``mean``: a number, or one for each trade."""
    stop = BARRIER + SLIPPED * SLIP
    chance = ((mean + FEE) / (1 - TIMED_OUT) + stop) / (BARRIER + stop)
    stopped = -BARRIER - np.where(rng.random(shape) < SLIPPED, rng.exponential(SLIP, shape), 0.0)
    ended = np.where(rng.random(shape) < chance, BARRIER, stopped)
    drifted = rng.normal(0.0, 3.0, shape).clip(-BARRIER, BARRIER)
    return np.where(rng.random(shape) < TIMED_OUT, drifted, ended) - FEE


def course(promised: float, net: Floats) -> Course:
    """What the live record makes of trades, (promotions, trades), each looked at after every trade."""
    n, sizes, level = len(net), bets(promised, BEST), np.log(E_LEVEL)
    after = np.full(n, float(NEVER))
    by_trade, by_block = np.zeros((n, N_BETS)), np.zeros((n, N_BETS))
    for first in range(0, net.shape[1], PER_BLOCK):
        short = shortfall(net[:, first : first + PER_BLOCK], promised, BEST)
        grown = trade_growth(short, sizes).cumsum(axis=1) + by_trade[:, None, :]
        asked = np.flatnonzero((after == NEVER) & (log_e(by_block) >= level))
        over = log_e(grown[asked]) >= level
        found = over.any(axis=1)
        after[asked[found]] = first + 1 + over[found].argmax(axis=1)
        by_trade = grown[:, -1]
        by_block = by_block + block_growth(short.sum(axis=1), sizes)
    return Course(after)


def true_promises() -> list[Line]:
    """Nobody who keeps his promise may lose his standing more often than one in twenty, however long he is watched."""
    found = []
    for promised in (2.5, 1.0, 0.0):
        rng = np.random.default_rng(301)
        share = course(promised, trades(rng, promised, (N_PROMOTIONS, N_TRADES))).share
        what = f"{N_PROMOTIONS} promotions that keep a promise of {promised:g} ticks a trade: on trial within {N_TRADES} trades"
        found.append(Line(what, "<= 0.05", share, share <= 0.05))
    return found


def broken_promises() -> list[Line]:
    """Half of what was promised, or nothing of it, is found out in a number of trades that is stated."""
    found = []
    for promised, true, median, most in (
        (2.5, 1.25, 700, 1000),
        (2.5, 0.0, 450, 600),
        (1.0, 0.5, 2400, 4600),
        (1.0, 0.0, 1000, 1600),
    ):
        rng = np.random.default_rng(302)
        after = course(promised, trades(rng, true, (N_PROMOTIONS, N_TRADES))).after
        what = f"{N_PROMOTIONS} promotions of {promised:g} ticks that earn {true:g}: trades until on trial"
        for name, quantile, bound in (("median", 0.5, median), ("nine in ten", 0.9, most)):
            needed = float(np.quantile(after, quantile))
            found.append(Line(f"{what}, {name}", f"<= {bound}", needed, needed <= bound))
    return found


def kept_on_the_whole_only() -> list[Line]:
    """Good and bad times in turn, 2 ticks above and below a promise of 2.5: covered where they are short beside a half hour's."""
    found = []
    for length, most, required in ((30, 0.05, "<= 0.05"), (100, 0.2, "not covered; found, at most 0.2")):
        rng = np.random.default_rng(303)
        regime = 2 * rng.integers(0, 2, (N_PROMOTIONS, N_TRADES // length + 2)) - 1
        place = (np.arange(N_TRADES)[None, :] + rng.integers(0, length, N_PROMOTIONS)[:, None]) // length
        mean = 2.5 + 2.0 * np.take_along_axis(regime, place, axis=1)
        share = course(2.5, trades(rng, mean, mean.shape)).share
        found.append(
            Line(f"a promise of 2.5 kept on the whole, in regimes of {length} trades: on trial", required, share, share <= most)
        )
    return found


EXPERIMENTS: Final = (true_promises, broken_promises, kept_on_the_whole_only)


def main() -> None:
    """Print the lines as Markdown."""
    for experiment in EXPERIMENTS:
        for line in experiment():
            print(f"| {line.question} | {line.required} | {line.found:.3f}{'' if line.holds else ' **fails**'} |")


if __name__ == "__main__":
    main()
