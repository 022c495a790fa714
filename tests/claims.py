"""What the model system would have claimed for each signal on a session, and what is left of it.

    python -m tests.claims DATASET_ID [--lake DIR]         the tables as they stand in tune/README.md

Four TP rates for each signal. *claim*: the reference's own choices, thresholds and fills, the best threshold shown. *causal*:
the sound signal and thresholds that saw no scored bin, the same fills, the best threshold shown; what is lost is lookahead (and
mended defects). *at a cost*: entered at the touch a bin later, one position at a time, fees paid, the best threshold shown; what
is lost is cost. *out of sample*: each fold trades the threshold that the folds before it chose; what is lost is luck.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.registry import get_signal
from engine.trades.kernels import TP
from tests.reference_choices import REFERENCE_PARAMETERS, REFERENCE_THRESHOLDS
from tune.config import parse_sweep_config
from tune.outofsample import fold_picks, out_of_sample
from tune.scoring import Scored, statistics_of, walk_all
from tune.space import build_points
from tune.splits import fold_starts
from tune.trial import Market, Point, load_market, prediction_mode, score_of, signal_series, thresholds_of

MIN_SIGNALS: Final = 5


@dataclass(frozen=True)
class Stage:
    """TP rate, mean result in ticks (net where fees are paid) and number of trades; NaN and 0 where there are none."""

    tp_rate: float
    ticks: float
    n: int


@dataclass(frozen=True)
class Claim:
    """One signal's line."""

    signal: str
    claim: Stage
    causal: Stage
    cost: Stage
    tested: Stage
    low: float
    high: float
    break_even: float


def best_shown(rows: Sequence[dict[str, Any]]) -> Stage:
    """The row that the model system would have put first."""
    enough = [row for row in rows if row["n_signals"] >= MIN_SIGNALS]
    if not enough:
        return Stage(float("nan"), float("nan"), 0)
    best = max(enough, key=lambda row: row["tp_rate"])
    return Stage(best["tp_rate"], best["expectancy_ticks"], best["n_signals"])


def point_of(dataset: Dataset, signal: str, parameters: dict[str, Any], rules: dict[str, Any]) -> Point:
    """A signal under some rules, as a sweep would make it."""
    values = {
        "name": "claims",
        "datasets": [dataset.dataset_id],
        "signals": [signal],
        "eval": rules,
        "sweep": {"per_signal": {signal: {name: [value] for name, value in parameters.items()}}},
    }
    (point,) = build_points(parse_sweep_config(values, "claims"), [(dataset, "immutable")])
    return point


def judged(point: Point, market: Market, thresholds: Sequence[float] | None = None) -> tuple[list[dict[str, Any]], Scored]:
    """Rows and trades of every threshold."""
    series = signal_series(point.signal, point.parameters, market)
    levels = thresholds_of(point, market, series) if thresholds is None else thresholds
    tape = market.tape(point.rules)
    scored = walk_all(score_of(point, series), tape, levels, [point.rules], prediction_mode(get_signal(point.signal)))
    return statistics_of(scored, tape, market.ts_ns), scored


def out_of_sample_tp(point: Point, rows: Sequence[dict[str, Any]], scored: Scored, n_bins: int) -> float:
    """Share of the walk-forward trades that reached their profit."""
    rules = point.rules
    edges = [*fold_starts(rules.warmup_bins, n_bins, rules.n_folds).tolist(), n_bins]
    hits: list[bool] = []
    for pick, begin, end in zip(fold_picks(rows, rules.n_folds), edges, edges[1:], strict=False):
        if pick >= 0:
            low, high = scored.trades.first[pick : pick + 2]
            fired = scored.trades.fired[low:high]
            hits += (scored.trades.reason[low:high][(fired >= begin) & (fired < end)] == TP).tolist()
    return float(np.mean(hits)) if hits else float("nan")


def claim_of(dataset: Dataset, signal: str) -> Claim:
    """All four stages of a signal on its default parameters, TP 8, SL 4, hold 1200, warm-up 300, cooldown 30."""
    market = load_market(dataset, [get_signal(signal)])
    reference = point_of(dataset, signal, REFERENCE_PARAMETERS[signal], {"form": "reference"})
    claimed, _ = judged(reference, market, REFERENCE_THRESHOLDS.get(signal))
    causal, _ = judged(point_of(dataset, signal, {}, {"form": "reference"}), market)
    sound = point_of(dataset, signal, {}, {})
    rows, scored = judged(sound, market)
    tested = out_of_sample(rows, sound.rules, dataset.n_bins)
    rate = out_of_sample_tp(sound, rows, scored, dataset.n_bins)
    return Claim(
        signal,
        best_shown(claimed),
        best_shown(causal),
        best_shown(rows),
        Stage(rate, tested["oos_expectancy_ticks"], tested["oos_n_signals"]),
        tested["oos_expectancy_low"],
        tested["oos_expectancy_high"],
        sound.rules.break_even_rate,
    )


def table(claims: Sequence[Claim]) -> str:
    """The claims as Markdown, the largest claim first."""
    lines = [
        "| signal | claim: TP, ticks, n | causal | at a cost | out of sample | net ticks, out of sample [95 %] "
        "| lookahead | cost | luck |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(claims, key=lambda claim: -claim.claim.tp_rate if claim.claim.n else 1.0):
        stages = (one.claim, one.causal, one.cost, one.tested)
        lost = [a.tp_rate - b.tp_rate for a, b in zip(stages, stages[1:], strict=False)]
        interval = f"{one.tested.ticks:+.2f} [{one.low:+.2f} {one.high:+.2f}]" if one.tested.n else "-"
        cells = [*(_stage(stage) for stage in stages), interval, *(f"{x:+.3f}" if x == x else "-" for x in lost)]
        lines.append(f"| {one.signal} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _stage(stage: Stage) -> str:
    return f"{stage.tp_rate:.3f}, {stage.ticks:+.2f}, {stage.n}" if stage.n else "no trades"


def main() -> None:
    """Print a session's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset_id")
    parser.add_argument("--lake")
    args = parser.parse_args()
    dataset = Dataset.open(Lake.open(args.lake), args.dataset_id)
    claims = [claim_of(dataset, signal) for signal in REFERENCE_PARAMETERS]
    print(f"{dataset.dataset_id}, {dataset.n_bins} bins; TP rate that pays the fees: {claims[0].break_even:.3f}\n")
    print(table(claims))


if __name__ == "__main__":
    main()
