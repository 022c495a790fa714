"""Does the judge keep its word? Experiments on markets whose truth is known, and their figures as one table.

    python -m tests.test_tune.calibration          the table as it stands in tune/README.md

Everything is seeded: the figures are the same on every machine but for the last digits of sums.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.signals.causality import accusations
from engine.trades.tape import CLOSED, GAP
from tests.test_tune.calibration_luck import EXPERIMENTS as LUCK
from tests.test_tune.calibration_market import Line, drifting_market, level, mean, random_score
from tests.test_tune.leaks import LEAKS, fills_of, session
from tests.test_tune.markets import sound_rules, times
from tune.luck import DSR_LIMIT, best_by_chance, deflated_sharpe, null_sharpe_std, overfitting_probability
from tune.outofsample import out_of_sample
from tune.rules import N_BLOCKS
from tune.scoring import statistics_of, walk_all

N_PANELS: Final = 200
N_TRIALS: Final = 20
N_SESSIONS: Final = 200
N_EDGES: Final = 100
N_WALK_PANELS: Final = 100
N_HOLE_SESSIONS: Final = 400
HOLE_BAND: Final = 1.5  # ticks: three standard errors of so many walks
SESSION_BINS: Final = 9000  # a quarter of an hour
DRIFT: Final = 0.08  # a planted edge: P(up) is 0.5 + DRIFT a step for as long as the signal says up
LEAK_SEED: Final = 5


def noise_panels() -> list[Line]:
    """Trials without skill: the halvings must not prefer either side, and the best must not look real more often than 5 %."""
    rng = np.random.default_rng(101)
    pbo, real, fat = [], [], []
    for _ in range(N_PANELS):
        returns = rng.standard_normal((N_TRIALS, N_BLOCKS))
        pbo.append(overfitting_probability(returns))
        real.append(_deflated_best(returns) > DSR_LIMIT)
        fat.append(_deflated_best(rng.standard_t(4, (N_TRIALS, N_BLOCKS))) > DSR_LIMIT)
    return [
        Line(f"{N_PANELS} noise panels of {N_TRIALS} trials: mean PBO", "0.50 +- 0.05", mean(pbo), abs(mean(pbo) - 0.5) <= 0.05),
        Line("the same: share of panels whose best passes DSR > 0.95", "<= 0.05", mean(real), mean(real) <= 0.05),
        Line("the same with fat tails (t, 4 degrees)", "<= 0.05", mean(fat), mean(fat) <= 0.05),
    ]


def skilled_panels() -> list[Line]:
    """One trial in twenty has skill, a Sharpe ratio of 0.9 a block: it must be chosen and believed."""
    rng = np.random.default_rng(102)
    found, pbo = [], []
    for _ in range(N_PANELS):
        returns = rng.standard_normal((N_TRIALS, N_BLOCKS))
        returns[rng.integers(N_TRIALS)] += 0.9
        found.append(_deflated_best(returns) > DSR_LIMIT)
        pbo.append(overfitting_probability(returns))
    return [
        Line(
            "one trial of 20 with Sharpe 0.9 a block: share of panels that pass DSR > 0.95",
            ">= 0.90",
            mean(found),
            mean(found) >= 0.9,
        ),
        Line("the same: mean PBO", "<= 0.05", mean(pbo), mean(pbo) <= 0.05),
    ]


def _deflated_best(returns: NDArray[np.float64]) -> float:
    ratios = returns.mean(1) / returns.std(1)
    chance = best_by_chance(len(ratios), null_sharpe_std(returns.shape[1]))
    return deflated_sharpe(returns[ratios.argmax()], chance)


def random_walks() -> list[Line]:
    """Signals without knowledge on walks without drift or cost: an interval may miss the truth as often as its level says."""
    rng = np.random.default_rng(103)
    missed: dict[str, list[bool]] = {"single": [], "overlapping": [], "tp": [], "oos": [], "cost": [], "long": []}
    for _ in range(N_SESSIONS):
        score = random_score(rng, SESSION_BINS)
        for spread in (0, 1):
            tape = drifting_market(rng, score, 0.0, spread)
            for position in ("single", "overlapping"):
                r = sound_rules(position=position, max_hold_bins=2000, tp_ticks=8, sl_ticks=4, embargo_bins=50)
                rows = statistics_of(walk_all(score, tape, [0.3, 0.7], [r]), tape, times(SESSION_BINS))
                row = rows[0]
                if spread:
                    missed["cost"].append(row["expectancy_low"] > 0)
                    continue
                missed[position].append(not row["expectancy_low"] <= 0 <= row["expectancy_high"])
                missed["long"].append(row["excess_low"] > 0)
                if position == "single":
                    decided = row["tp_rate_low"] <= row["break_even_rate"] <= row["tp_rate_high"]
                    missed["tp"].append(not decided)
                    tested = out_of_sample(rows, r, SESSION_BINS)
                    missed["oos"].append(not tested["oos_expectancy_low"] <= 0 <= tested["oos_expectancy_high"])
    walks = f"{N_SESSIONS} random walks: "
    return [
        level(walks + "interval of net expectancy excludes 0, one position", missed["single"], 0.05),
        level(walks + "the same, overlapping positions", missed["overlapping"], 0.05),
        level(walks + "the same, out of sample, thresholds chosen as it goes", missed["oos"], 0.05),
        level(walks + "Wilson interval of the TP rate excludes the break-even rate", missed["tp"], 0.05),
        level(walks + "excess over the break-even rate claimed (one side)", missed["long"], 0.025),
        level(walks + "an edge claimed where the spread is paid", missed["cost"], 0.025),
    ]


def planted_edges() -> list[Line]:
    """Signals that know which way the price leans: the judge must see it, net of a spread and a fee, out of sample."""
    rng = np.random.default_rng(104)
    in_sample, out, sizes = [], [], []
    for _ in range(N_EDGES):
        score = random_score(rng, SESSION_BINS)
        tape = drifting_market(rng, score, DRIFT, 1)
        r = sound_rules(tp_ticks=8, sl_ticks=4, max_hold_bins=1200, embargo_bins=50, fee_per_contract=0.05)
        rows = statistics_of(walk_all(score, tape, [0.2, 0.4, 0.6], [r]), tape, times(SESSION_BINS))
        in_sample.append(rows[0]["expectancy_low"] > 0)
        tested = out_of_sample(rows, r, SESSION_BINS)
        out.append(tested["oos_expectancy_low"] > 0)
        sizes.append(tested["oos_expectancy_ticks"])
    size = f"P(up) {0.5 + DRIFT:.2f} a step while the score is up, spread 1 tick: {mean(sizes):.1f} ticks a trade net"
    edge = f"{N_EDGES} planted edges ({size}): "
    return [
        Line(edge + "lower bound of net expectancy above 0", ">= 0.90", mean(in_sample), mean(in_sample) >= 0.9),
        Line("the same, out of sample", ">= 0.90", mean(out), mean(out) >= 0.9),
    ]


def planted_leaks() -> list[Line]:
    """One leak of each kind, and its honest twin."""
    x = session(LEAK_SEED)
    caught, accused = (
        [next(accusations(pair[side], x, seed=LEAK_SEED, fills=fills_of(kind)), None) is not None for kind, pair in LEAKS.items()]
        for side in (0, 1)
    )
    return [
        Line(f"{len(LEAKS)} planted leaks, each of its own kind: caught", "1.00", mean(caught), all(caught)),
        Line("their honest twins: accused", "0.00", mean(accused), not any(accused)),
    ]


def holes_and_closes() -> list[Line]:
    """Signals without knowledge, and stops so far off that few are met: what is open when a session or the record ends has lost.

    A walk without drift pays the spread and the fees, whatever the rules, as long as every trade is booked; where those that meet
    a hole go missing, the rest earn the profit barrier.
    """
    rng = np.random.default_rng(106)
    r = sound_rules(tp_ticks=8, sl_ticks=400, max_hold_bins=SESSION_BINS, fee_per_contract=0.62)
    spread = 2
    cost = spread + r.fee_ticks
    net, n = np.zeros(3), np.zeros(3)
    for _ in range(N_HOLE_SESSIONS):
        score = random_score(rng, SESSION_BINS)
        tape = drifting_market(rng, score, 0.0, spread, moves=1)
        closed, holed = tape.state.copy(), tape.state.copy()
        closed[-100:] = CLOSED
        holed[SESSION_BINS // 5 :: SESSION_BINS // 5] = GAP
        for place, state in enumerate((tape.state, closed, holed)):
            own = tape._replace(state=state)
            (row,) = statistics_of(walk_all(score, own, [0.3], [r]), own, times(SESSION_BINS))
            net[place] += row["expectancy_ticks"] * row["n_signals"] if row["n_signals"] else 0.0
            n[place] += row["n_signals"]
    found = net / n
    what = f"{N_HOLE_SESSIONS} driftless walks, TP 8 and SL 400, that cost {cost:.2f} ticks a trade: mean net ticks"
    names = (what, "the same, the market closed for the last 100 bins", "the same, four gaps in the record")
    required = f"{-cost:.2f} +- {HOLE_BAND:g}"
    return [Line(name, required, float(one), bool(abs(one + cost) <= HOLE_BAND)) for name, one in zip(names, found, strict=True)]


def walk_panels() -> list[Line]:
    """The whole judge on noise: twenty signals without knowledge on one walk, judged as a sweep's leaderboard is."""
    rng = np.random.default_rng(105)
    pbo, real = [], []
    for _ in range(N_WALK_PANELS):
        tape = drifting_market(rng, random_score(rng, SESSION_BINS), 0.0, 0)
        r = sound_rules(max_hold_bins=1200)
        rows = [
            statistics_of(walk_all(random_score(rng, SESSION_BINS), tape, [0.3], [r]), tape, times(SESSION_BINS))[0]
            for _ in range(N_TRIALS)
        ]
        returns = np.array([row["block_pnl"] for row in rows])
        pbo.append(overfitting_probability(returns))
        real.append(_deflated_best(returns) > DSR_LIMIT)
    panels = f"{N_WALK_PANELS} random walks with {N_TRIALS} random signals each, through the whole judge: "
    return [
        Line(panels + "mean PBO", "0.50 +- 0.05", mean(pbo), abs(mean(pbo) - 0.5) <= 0.05),
        Line("the same: share whose best passes DSR > 0.95", "<= 0.05", mean(real), mean(real) <= 0.05),
    ]


EXPERIMENTS: Final[tuple[Callable[[], list[Line]], ...]] = (
    noise_panels,
    skilled_panels,
    walk_panels,
    random_walks,
    planted_edges,
    planted_leaks,
    holes_and_closes,
    *LUCK,
)


def main() -> None:
    """Print the sheet as Markdown."""
    from tests.test_tune.calibration_tails import EXPERIMENTS as OF_TAILS  # which stands on this module

    print("| question | must be | found |\n|---|---|---|")
    for experiment in (*EXPERIMENTS, *OF_TAILS):
        for line in experiment():
            print(f"| {line.question} | {line.required} | {line.found:.3f}{'' if line.holds else ' **fails**'} |")


if __name__ == "__main__":
    main()
