"""Can luck be passed off as skill, and is skill still seen? Whole sweeps and whole boards on markets whose truth is known.

python -m tests.test_tune.calibration_luck      the same on more and larger sweeps, some minutes
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.lake import Lake
from tests.test_tune.calibration_market import Line, drifting_market, level, mean, random_score
from tests.test_tune.made import made, run_of
from tests.test_tune.markets import sound_rules, times
from tune.beside import with_luck
from tune.leaderboard import rank
from tune.ledger import TrialLedger
from tune.luck import DSR_LIMIT, best_by_chance, deflated_sharpe, null_sharpe_std
from tune.outofsample import out_of_sample
from tune.rules import N_BLOCKS, Rules
from tune.scoring import statistics_of, walk_all
from tune.superior import LIMIT, superiority

DAY: Final = 86_400_000_000_000
N_CLONES: Final = 5000
N_CANDIDATES: Final = 20
BARRIERS: Final = ((8, 8), (8, 4), (12, 8), (6, 6), (10, 10))
THRESHOLDS: Final = (0.2, 0.35, 0.5, 0.65)
EDGE: Final = 0.05  # P(up) is 0.5 + EDGE a step while the score is up


def sweep_panel(rng: np.random.Generator, n_scores: int, n_bins: int, edge: float, spread: int) -> tuple[NDArray[Any], float]:
    """Net ticks by block of 40 points of each of some scores on one market, and the mean net ticks of a trade of the best one.

    With an edge the first score knows which way the price leans.
    """
    lead = random_score(rng, n_bins)
    tape = drifting_market(rng, lead, edge, spread)
    rules = [
        sound_rules(tp_ticks=tp, sl_ticks=sl, cooldown_bins=cooldown, max_hold_bins=1200, embargo_bins=50)
        for tp, sl in BARRIERS
        for cooldown in (0, 30)
    ]
    rows: list[dict[str, Any]] = []
    for place in range(n_scores):
        score = lead if edge and not place else random_score(rng, n_bins)
        rows += statistics_of(walk_all(score, tape, THRESHOLDS, rules), tape, times(n_bins))
    pnl = np.array([row["block_pnl"] for row in rows])
    return pnl, float(rows[_best(pnl)]["expectancy_ticks"])


def _best(pnl: NDArray[Any]) -> int:
    spread = pnl.std(axis=1)
    return int(np.argmax(np.divide(pnl.mean(axis=1), spread, out=np.full(len(pnl), -np.inf), where=spread > 0)))


def passes(pnl: NDArray[Any], n_clones: int) -> tuple[bool, bool]:
    """Whether the best point passes the deflated Sharpe ratio, and the max-t test, ``n_clones`` copies of a dull point more."""
    best = _best(pnl)
    dull = np.argsort(np.abs(pnl.mean(axis=1)))[len(pnl) // 4]
    panel = np.concatenate([pnl, np.repeat(pnl[dull][None], n_clones, axis=0)])
    chance = best_by_chance(len(panel), null_sharpe_std(N_BLOCKS))
    return deflated_sharpe(pnl[best], chance) > DSR_LIMIT, float(superiority(panel)[best]) <= LIMIT


def sweeps(n_sweeps: int = 6, n_scores: int = 6, n_bins: int = 18_000) -> list[Line]:
    """Sweeps without an edge, and with one: passed off as skill, and seen, with and without copies of a dull point."""
    found: dict[str, list[bool]] = {name: [] for name in ("none", "none, clones", "edge", "edge, clones")}
    sizes = []
    rng = np.random.default_rng(106)
    for _ in range(n_sweeps):
        pnl, _ = sweep_panel(rng, n_scores, n_bins, 0.0, 0)
        edge, size = sweep_panel(rng, n_scores, n_bins, EDGE, 1)
        sizes.append(size)
        for name, panel in (("none", pnl), ("edge", edge)):
            found[name].append(all(passes(panel, 0)))
            found[f"{name}, clones"].append(all(passes(panel, N_CLONES)))
    points = n_scores * len(BARRIERS) * 2 * len(THRESHOLDS)
    none = f"{n_sweeps} sweeps of {points} points without an edge or a cost: best passes DSR and the max-t test"
    edge_words = (
        f"{n_sweeps} sweeps of {points} points, one score with an edge ({mean(sizes):.1f} ticks a trade net): best passes both"
    )
    clones = f"the same with {N_CLONES} copies of a dull point"
    return [
        level(none, found["none"], 0.05),
        level(clones, found["none, clones"], 0.05),
        Line(edge_words, ">= 0.90", mean(found["edge"]), mean(found["edge"]) >= 0.9),
        Line(clones, ">= 0.90", mean(found["edge, clones"]), mean(found["edge, clones"]) >= 0.9),
    ]


def session_rows(
    rng: np.random.Generator, number: int, rules: Rules, edge: float, spread: int, n_bins: int
) -> list[dict[str, Any]]:
    """A session of twenty candidates as the store has it; with an edge the first of them knows which way the price leans."""
    lead = random_score(rng, n_bins)
    tape = drifting_market(rng, lead, edge, spread)
    rows = []
    for place in range(N_CANDIDATES):
        score = lead if edge and not place else random_score(rng, n_bins)
        own = statistics_of(walk_all(score, tape, [0.2, 0.4, 0.6], [rules]), tape, times(n_bins))
        start = int(times(1)[0]) + number * DAY
        meta = {
            "run_id": f"r{place}_{number}",
            "dataset_id": f"d{number}",
            "signal_name": f"s{place}",
            "rules_json": json.dumps(asdict(rules)),
            "sources_json": json.dumps([f"f{number}"]),
            "start_ns": start,
            "end_ns": start + n_bins * 100_000_000,
            "n_bins": n_bins,
            "warmup_bins": rules.warmup_bins,
            "n_unsound_bins": 0,
            **out_of_sample(own, rules, n_bins),
        }
        rows += [{**made("", 0.0), **meta, **row} for row in own]
    return rows


def board_claims(rng: np.random.Generator, n_sessions: int, edge: float, spread: int, n_bins: int) -> tuple[bool, bool]:
    """Whether the head of a board over sessions stands above 0, and whether it passes both tests of luck as well."""
    rules = sound_rules(max_hold_bins=1200, embargo_bins=50)
    rows = [row for number in range(n_sessions) for row in session_rows(rng, number, rules, edge, spread, n_bins)]
    table = pl.DataFrame(rows, infer_schema_length=None)
    with tempfile.TemporaryDirectory() as folder:
        ledger = TrialLedger(Lake(Path(folder) / "lake"))
        runs = [run_of(list(part.iter_rows(named=True))) for part in table.partition_by("run_id")]
        ledger.add(runs, "s", "now")
        beside = with_luck(rank(table, "oos_expectancy_low", 5), table, ledger.trials(), 5)
    above = float(beside.ranking.item(0, "oos_expectancy_low")) > 0
    return above, above and beside.lucks[0].is_real


def boards(n_boards: int = 4, n_sessions: int = 8, n_bins: int = 3000) -> list[Line]:
    """Twenty candidates over many sessions: none has an edge, or one."""
    rng = np.random.default_rng(107)
    none = [board_claims(rng, n_sessions, 0.0, 0, n_bins) for _ in range(n_boards)]
    edge = [board_claims(rng, n_sessions, EDGE, 1, n_bins) for _ in range(max(n_boards // 4, 1))]
    told = f"{n_boards} boards of {N_CANDIDATES} candidates over {n_sessions} sessions without an edge or a cost: "
    return [
        level(told + "lower bound of the head above 0", [above for above, _ in none], 0.05),
        level("the same, and it passes DSR and the max-t test", [real for _, real in none], 0.05),
        Line(
            "the same where one candidate has an edge: bound, DSR and max-t test passed",
            ">= 0.90",
            mean([r for _, r in edge]),
            mean([r for _, r in edge]) >= 0.9,
        ),
    ]


EXPERIMENTS: Final[tuple[Callable[[], list[Line]], ...]] = (sweeps, boards)


def main() -> None:
    """The same on sweeps of 1,000 points of half an hour, and on longer sessions, as Markdown."""
    print("| question | must be | found |\n|---|---|---|")
    for line in (*sweeps(60, 25, 18_000), *boards(40, 20, 9000)):
        print(f"| {line.question} | {line.required} | {line.found:.3f}{'' if line.holds else ' **fails**'} |", flush=True)


if __name__ == "__main__":
    main()
