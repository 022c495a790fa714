"""How long judging takes: one combination of threshold, barriers and cooldown on an hour of bins of 100 ms.

    python tests/bench/evaluation.py [--bins 36000] [--repeats 15] [--json]

Shown beside it, where it is installed (it is no dependency of this project): one column of vectorbt's
`Portfolio.from_signals` with stops over the same entries, which gives an equity curve but none of the intervals.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.signals.base import SignalContext
from engine.signals.registry import get_signal, make_signal
from engine.trades.tape import Tape
from tests.test_tune.markets import sound_rules, times, walk_tape
from tune.scoring import statistics_of, walk_all

BUDGET_MS = 0.7
VECTORBT_MS = 7.0  # vectorbt 1.2, a column of 36,000 bins, measured on another day; used where it is not installed


def best_ms(work: Callable[[], object], repeats: int) -> float:
    """Least wall time of some warm runs: what the work takes when nothing else wants the core."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - began))
    return min(taken)


def vectorbt_ms(score: np.ndarray, price: np.ndarray, threshold: float, repeats: int) -> float | None:
    """One column by vectorbt; None where it is not installed."""
    try:
        import pandas as pd
        import vectorbt
    except ImportError:
        return None
    crossed = pd.Series(score >= threshold).astype(int).diff().fillna(0) > 0
    close = pd.Series(price)

    def one_column() -> object:
        stops = {"sl_stop": 1.0 / price[0], "tp_stop": 2.0 / price[0]}
        return vectorbt.Portfolio.from_signals(close, entries=crossed, **stops).total_return()

    return best_ms(one_column, repeats)


def whole_point_ms(n: int, tape: Tape, ts: np.ndarray, repeats: int) -> tuple[float, float]:
    """`perm_derivative` over the whole grid, and that with its six thresholds judged."""
    codes = np.random.default_rng(2).integers(-2, 3, (n, 101)).astype(np.int8)
    rules = [sound_rules()]

    def series() -> np.ndarray:
        model = make_signal("perm_derivative", {}, SignalContext(cell_width_ms=100, radius=50))
        return np.ascontiguousarray(model.run({"perm_state5_code": codes})["score"])

    thresholds = get_signal("perm_derivative").default_thresholds
    alone = best_ms(series, repeats)
    judged = best_ms(lambda: statistics_of(walk_all(series(), tape, thresholds, rules), tape, ts), repeats)
    return alone, judged


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bins", type=int, default=36_000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    n = args.bins
    rng = np.random.default_rng(1)
    tape, ts = walk_tape(n, 1, moves=1), times(n)
    score = np.tanh(np.convolve(rng.standard_normal(n), np.ones(20) / 4, "same"))
    thresholds = [0.03, 0.05, 0.08, 0.10, 0.15, 0.20]
    barriers = [(8.0, 4.0), (8.0, 8.0), (12.0, 4.0), (12.0, 8.0)]
    found = []
    for position, trigger in (("single", "edge"), ("overlapping", "edge"), ("overlapping", "level")):
        base = sound_rules(position=position, trigger=trigger)
        rules = [
            replace(base, tp_ticks=tp, sl_ticks=sl, cooldown_bins=cooldown)
            for (tp, sl), cooldown in product(barriers, [10, 30, 100])
        ]
        n_trades = len(walk_all(score, tape, thresholds, rules).trades.fired)
        combos = len(thresholds) * len(rules)
        every = best_ms(lambda rules=rules: statistics_of(walk_all(score, tape, thresholds, rules), tape, ts), args.repeats)
        one = best_ms(lambda rules=rules: statistics_of(walk_all(score, tape, thresholds[:1], rules[:1]), tape, ts), args.repeats)
        found.append(
            {
                "position": position,
                "trigger": trigger,
                "combinations": combos,
                "trades": n_trades,
                "all_ms": every,
                "ms_per_combination": every / combos,
                "alone_ms": one,
            }
        )
    measured = vectorbt_ms(score, tape.bid * 1e-9, 0.05, args.repeats)
    beside = VECTORBT_MS if measured is None else measured
    run_ms, point_ms = whole_point_ms(n, tape, ts, args.repeats)
    report = {
        "perm_derivative_run_ms": run_ms,
        "perm_derivative_run_and_evaluation_ms": point_ms,
        "bins": n,
        "machine": platform.processor() or platform.machine(),
        "numpy": np.__version__,
        "budget_ms": BUDGET_MS,
        "vectorbt_ms_per_column": beside,
        "vectorbt_measured_here": measured is not None,
        "runs": found,
    }
    if args.json:
        print(json.dumps(report, indent=1))
        return
    where = "measured now" if measured is not None else "not installed here: the figure of vectorbt 1.2 on 36,000 bins"
    print(f"{n} bins; budget {BUDGET_MS} ms a combination; vectorbt {beside:.2f} ms a column ({where})")
    print(f"perm_derivative: run {run_ms:.1f} ms, run and six thresholds judged {point_ms:.1f} ms (budget 40 ms)")
    for row in found:
        print(
            f"{row['position']:>11} {row['trigger']:>5}: {row['combinations']} combinations, {row['trades']} trades: "
            f"{row['all_ms']:.1f} ms, "
            f"{row['ms_per_combination']:.3f} ms each ({BUDGET_MS / row['ms_per_combination']:.1f} x under budget, "
            f"{beside / row['ms_per_combination']:.0f} x vectorbt); one alone {row['alone_ms']:.2f} ms"
        )


if __name__ == "__main__":
    main()
