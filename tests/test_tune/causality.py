"""The whole judge as one function of a market's arrays, for `engine.signals.causality` to ask whether it knows the future.

The hours of a market are known to everybody beforehand, and so is how long a session will be, by which it is cut into folds; all
else is not.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import PRICE_SCALE, Q_CLOSED, Q_ROLL
from engine.signals.causality import Accusation, Decide, accusations
from engine.signals.futures import SAME_LENGTH, Arrays
from engine.signals.registry import get_signal
from tune.outofsample import fold_picks
from tune.scoring import statistics_of, walk_all
from tune.splits import fold_starts
from tune.trial import Market, Point, prediction_mode, score_of, signal_series, thresholds_of

CALENDAR: Final = {"quality": Q_CLOSED | Q_ROLL}
FILLS: Final = ("fill",)


def market_arrays(market: Market) -> dict[str, NDArray[Any]]:
    """Everything of a market that a decision may read."""
    return {**market.bins, **market.columns}


def accused_of(point: Point, market: Market, cuts: Sequence[int], kinds: Sequence[str] = SAME_LENGTH) -> list[Accusation]:
    """What the judge knew of the future when it judged a point."""
    decide = point_decisions(point, market)
    return list(accusations(decide, market_arrays(market), cuts=cuts, kinds=kinds, known=CALENDAR, fills=FILLS))


def point_decisions(point: Point, market: Market) -> Decide:
    """What a trader who walks forward with a point does, bin by bin.

    Its outputs, of shape (n,): ``score``; ``threshold`` that the fold of the bin trades, NaN before the first fold and where
    none was chosen; ``entered``, the direction of the trade entered at the bin's end, else 0; ``fill``, dollars, the price at
    which the trade that the bin set off was entered, NaN for none.
    """

    def decide(arrays: Arrays) -> Arrays:
        own = Market(
            {name: arrays[name] for name in market.bins},
            {name: arrays[name] for name in market.columns},
            market.context,
            market.sources,
        )
        series = signal_series(point.signal, point.parameters, own)
        score, rules, tape = score_of(point, series), point.rules, own.tape(point.rules)
        thresholds = thresholds_of(point, own, series)
        scored = walk_all(score, tape, thresholds, [rules], prediction_mode(get_signal(point.signal)))
        picks = fold_picks(statistics_of(scored, tape, own.ts_ns), rules.n_folds)
        n, trades = len(score), scored.trades
        threshold, fill, entered = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int8)
        edges = [*fold_starts(rules.warmup_bins, n, rules.n_folds).tolist(), n]
        for pick, begin, end in zip(picks, edges, edges[1:], strict=False):
            if pick < 0:
                continue
            threshold[begin:end] = thresholds[pick]
            own_trades = slice(*trades.first[pick : pick + 2])
            fired, entry, sign = (one[own_trades] for one in (trades.fired, trades.entry, trades.sign))
            inside = (fired >= begin) & (fired < end)
            entered[entry[inside]] = sign[inside]
            fill[fired[inside]] = np.where(sign > 0, tape.ask[entry], tape.bid[entry])[inside] * PRICE_SCALE
        return {"score": score, "threshold": threshold, "entered": entered, "fill": fill}

    return decide
