"""Does the gate let through what it must, and nothing else? Whole sweeps on one session, from scores to `promote --best`.

python -m tests.test_tune.calibration_gate      the same on more and larger sweeps, some minutes
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from engine.lake import Lake
from tests.test_tune.calibration_market import Line, drifting_market, level, mean, random_score
from tests.test_tune.made import made, run_of
from tests.test_tune.markets import sound_rules, times
from tune.gate import failed_checks, figures_of, judged_rows
from tune.leaderboard import rank
from tune.ledger import TrialLedger
from tune.outofsample import out_of_sample
from tune.rules import Rules
from tune.scoring import statistics_of, walk_all

BARRIERS: Final = ((8, 8), (8, 4), (12, 8), (6, 6), (10, 10))
THRESHOLDS: Final = (0.2, 0.35, 0.5, 0.65)
MIN_SIGNALS: Final = 5
EDGE: Final = 0.08  # P(up) is 0.5 + EDGE a step while the score is up
FEE: Final = 0.62  # dollars a side, 2.48 ticks a trade with a dollar for two of them


def swept(rng: np.random.Generator, n_scores: int, n_bins: int, edge: float, fee: float) -> tuple[bool, float]:
    """Whether a sweep of some scores and five barrier pairs has a row that the gate lets through, and net ticks of the best row.

    With an edge the first score knows which way the price leans, the spread is a tick and fees are paid; without one nothing is
    paid, so that a trade is worth nothing, and that such rules are loose is not held against them.
    """
    lead = random_score(rng, n_bins)
    tape = drifting_market(rng, lead, edge, 1 if fee else 0)
    rules = [
        sound_rules(tp_ticks=tp, sl_ticks=sl, max_hold_bins=1200, embargo_bins=50, fee_per_contract=fee) for tp, sl in BARRIERS
    ]
    rows: list[dict[str, Any]] = []
    for place in range(n_scores):
        score = lead if edge and not place else random_score(rng, n_bins)
        found = statistics_of(walk_all(score, tape, THRESHOLDS, rules), tape, times(n_bins))
        for which, rule in enumerate(rules):
            rows += _run(found[which :: len(rules)], rule, f"s{place}", f"r{place}_{which}", n_bins)
    table = pl.DataFrame(rows, infer_schema_length=None)
    with tempfile.TemporaryDirectory() as folder:
        ledger = TrialLedger(Lake(Path(folder) / "lake"))
        ledger.add([run_of(list(part.iter_rows(named=True))) for part in table.partition_by("run_id")], "s", "now")
        ranking = rank(table, "oos_expectancy_low", MIN_SIGNALS)
        judged = judged_rows(ranking, table, ledger.trials(), MIN_SIGNALS)
    figures = [replace(figures_of(row, MIN_SIGNALS, ()), loose="") for row in judged.iter_rows(named=True)]
    return any(not failed_checks(one) for one in figures), float(ranking.item(0, "expectancy_ticks"))


def _run(own: list[dict[str, Any]], rule: Rules, signal: str, run_id: str, n_bins: int) -> list[dict[str, Any]]:
    start = int(times(1)[0])
    meta = {
        "run_id": run_id,
        "signal_name": signal,
        "rules_json": json.dumps(asdict(rule)),
        "eval_tp_ticks": rule.tp_ticks,
        "eval_sl_ticks": rule.sl_ticks,
        "start_ns": start,
        "end_ns": start + n_bins * 100_000_000,
        "n_bins": n_bins,
        "warmup_bins": rule.warmup_bins,
        "n_unsound_bins": 0,
        **out_of_sample(own, rule, n_bins),
    }
    return [{**made("", 0.0), **meta, **row} for row in own]


def gates(n_sweeps: int = 4, n_scores: int = 8, n_bins: int = 36_000) -> list[Line]:
    """Sweeps without an edge, and with one of some ticks a trade after costs: is a row let through?"""
    rng = np.random.default_rng(108)
    none = [swept(rng, n_scores, n_bins, 0.0, 0.0)[0] for _ in range(n_sweeps)]
    edge = [swept(rng, n_scores, n_bins, EDGE, FEE) for _ in range(n_sweeps)]
    points = n_scores * len(BARRIERS)
    told = f"{n_sweeps} hours, each with a sweep of {points} points at four thresholds"
    passed = mean([let for let, _ in edge])
    size = mean([ticks for _, ticks in edge])
    return [
        level(f"{told} without an edge or a cost: the gate lets a row through", none, 0.05),
        Line(f"{told}, one score with an edge ({size:.1f} ticks a trade net): the same", ">= 0.90", passed, passed >= 0.9),
    ]


EXPERIMENTS: Final[tuple[Callable[[], list[Line]], ...]] = (gates,)


def main() -> None:
    """The same on forty sweeps of 500 rows, as Markdown."""
    print("| question | must be | found |\n|---|---|---|")
    for line in gates(40, 25, 36_000):
        print(f"| {line.question} | {line.required} | {line.found:.3f}{'' if line.holds else ' **fails**'} |", flush=True)


if __name__ == "__main__":
    main()
