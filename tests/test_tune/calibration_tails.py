"""Is a bound true where stops were never seen, and where the market lasts? Lines of the calibration sheet.

    python -m tests.test_tune.calibration_tails          a hundred whole sessions each, some minutes

The tests run a part of it, and `tests.test_tune.calibration` prints that part with the rest of the sheet.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.trades.tape import Tape, touch_tape
from tests.test_tune.calibration import Line, drifting_market, mean, random_score
from tests.test_tune.markets import TICK, sound_rules, times
from tune.intervals import block_width, bootstrap_reach
from tune.outofsample import fold_picks, out_of_sample, stitch
from tune.rules import N_BLOCKS, Rules
from tune.scoring import statistics_of, walk_all

HOUR: Final = 36_000  # bins
THRESHOLDS: Final = (0.2, 0.4, 0.6)
LASTS_S: Final = (120, 300, 600, 1800)
EDGE: Final = 0.048  # of a step, while the score is up: small, so that what care costs is seen
SHOWN_S: Final = 600  # of an hour, what lasts longer is seen too seldom


def judged(score: NDArray[np.float64], tape: Tape, rules: list[Rules]) -> list[list[dict[str, Any]]]:
    """Rows of every threshold under each of some rules."""
    rows = statistics_of(walk_all(score, tape, THRESHOLDS, rules), tape, times(len(score)))
    return [rows[place :: len(rules)] for place in range(len(rules))]


def unseen_stops(
    n_sessions: int = 20, n_scores: int = 5, tp: tuple[int, ...] = (8, 12), sl: tuple[int, ...] = (8, 40, 400)
) -> list[Line]:
    """The head of a board of random scores on a walk without drift, whose far stops an hour hardly ever meets."""
    rng = np.random.default_rng(106)
    base = sound_rules(max_hold_bins=HOUR)
    rules = [replace(base, tp_ticks=a, sl_ticks=b) for a, b in product(tp, sl)]
    claimed = []
    for _ in range(n_sessions):
        tape = drifting_market(rng, random_score(rng, HOUR), 0.0, 2)
        lows = [
            out_of_sample(own, r, HOUR)["oos_expectancy_low"]
            for _ in range(n_scores)
            for own, r in zip(judged(random_score(rng, HOUR), tape, rules), rules, strict=True)
        ]
        claimed.append(float(np.nanmax([*lows, -np.inf])) > 0)
    board = (
        f"{n_scores} random scores x TP {', '.join(map(str, tp))} x SL {', '.join(map(str, sl))}, held for as long as it lasts"
    )
    question = f"{n_sessions} driftless hours, spread 2, {board}: share whose head shows a bound above 0 out of sample"
    return [Line(question, "<= 0.07", mean(claimed), mean(claimed) <= 0.07)]


def near_stops(n_sessions: int = 80) -> list[Line]:
    """What the care for tails and memory costs where it is not needed: an edge at TP 8, SL 8."""
    rng = np.random.default_rng(107)
    r = sound_rules(tp_ticks=8, sl_ticks=8, max_hold_bins=HOUR)
    found, bare, sizes = [], [], []
    for _ in range(n_sessions):
        score = random_score(rng, HOUR)
        (rows,) = judged(score, drifting_market(rng, score, EDGE, 2), [r])
        tested = out_of_sample(rows, r, HOUR)
        found.append(tested["oos_expectancy_low"] > 0)
        bare.append(_bare_bound(rows, r) > 0)
        sizes.append(tested["oos_expectancy_ticks"])
    lost = mean(bare) - mean(found)
    edge = f"{n_sessions} hours with an edge of {mean(sizes):.1f} ticks a trade net at TP 8, SL 8: "
    return [
        Line(edge + "lower bound above 0 out of sample", ">= 0.90", mean(found), mean(found) >= 0.9),
        Line("the same: share lost against the block bootstrap alone", "<= 0.05", lost, lost <= 0.05),
    ]


def _bare_bound(rows: list[dict[str, Any]], r: Rules) -> float:
    """The bound out of sample by the bootstrap alone."""
    block_n, block_pnl = (np.array([row[name] for row in rows]) for name in ("block_n", "block_pnl"))
    n, pnl = stitch(fold_picks(rows, r.n_folds), block_n, block_pnl, r.n_folds)
    holds = np.array([max(row["mean_hold_ms"] for row in rows) / r.cell_width_ms])
    width = block_width(holds, (HOUR - r.warmup_bins) / N_BLOCKS)
    return float(pnl.sum() / n.sum() - bootstrap_reach(n[None], pnl[None], width)[0])


def lasting_market(rng: np.random.Generator, score: NDArray[np.float64], lasts_bins: int, drift: float) -> Tape:
    """Quotes of one price that lean with the score for ``lasts_bins`` and then, by chance, with or against it; at 0 never."""
    n = len(score)
    states = np.repeat(rng.choice([-1.0, 1.0], n // lasts_bins + 2), lasts_bins)[rng.integers(lasts_bins) :][:n]
    lean = np.append(0.0, (np.sign(score) * drift * states)[:-1])[:, None]
    path = (np.cumsum(np.where(rng.random((n, 3)) < 0.5 + lean, 1, -1), axis=None).reshape(n, 3) + 84_000) * TICK
    ask = path + TICK
    tape = touch_tape(path[:, -1], ask[:, -1], path.min(1), path.max(1), ask.min(1), ask.max(1), np.zeros(n, np.uint16))
    return tape._replace(ask=tape.bid, ask_low=tape.bid_low, ask_high=tape.bid_high)


def lasting_markets(n_sessions: int = 40) -> list[Line]:
    """Signals that are right for a while and wrong for a while, and on the average neither."""
    rng = np.random.default_rng(108)
    r = sound_rules(tp_ticks=8, sl_ticks=8)
    lines = []
    for lasts in LASTS_S:
        earned, rates = [], []
        for _ in range(n_sessions):
            score = random_score(rng, HOUR)
            (rows,) = judged(score, lasting_market(rng, score, lasts * 10, 0.06), [r])
            row = rows[1]
            earned.append(row["expectancy_low"] <= 0 <= row["expectancy_high"])
            rates.append(row["tp_rate_low"] <= 0.5 <= row["tp_rate_high"])
        hour = f"{n_sessions} hours whose edge changes sign by chance every {lasts} s: interval of "
        lines += [_covers(hour + "net expectancy holds 0", earned, lasts), _covers(hour + "the TP rate holds 0.5", rates, lasts)]
    return lines


def _covers(question: str, held: list[bool], lasts: int) -> Line:
    if lasts > SHOWN_S:
        return Line(question, "less: an hour shows two of them", mean(held), True)
    least = 0.93 - 2.33 * np.sqrt(0.07 * 0.93 / len(held))
    return Line(question, f"0.93, at least {least:.3f}", mean(held), mean(held) >= least)


EXPERIMENTS: Final[tuple[Callable[[], list[Line]], ...]] = (unseen_stops, near_stops, lasting_markets)


def main() -> None:
    """Print the long form of the three as Markdown."""
    print("| question | must be | found |\n|---|---|---|")
    for line in [
        *unseen_stops(100, 15, (8, 12, 20), (8, 16, 40, 100, 200, 400)),
        *near_stops(200),
        *lasting_markets(200),
    ]:
        print(f"| {line.question} | {line.required} | {line.found:.3f}{'' if line.holds else ' **fails**'} |", flush=True)


if __name__ == "__main__":
    main()
