"""How well a score orders what the mid does next, and how much of that the baselines do not say already.

The information coefficient is Spearman's rank correlation of the score at a bin's end with the move of the mid from one bin
later on, over a horizon, on sound bins at which the score is ready. It needs no barriers, thresholds or costs, so it compares
signals whose trades do not, and it says nothing about whether they pay.

The partial coefficient is the same correlation with the baselines' ranks regressed out of both. The t values come from the
jackknife that leaves out one of 48 equal spans of time at a time, since neighbouring moves overlap and so do scores.

Source: R. Grinold, R. Kahn, "Active Portfolio Management" (2000), chapter 6; H. Kunsch, "The jackknife and the bootstrap for
general stationary observations", Annals of Statistics 17 (1989); M. Kendall, "Partial rank correlation", Biometrika 32 (1942).
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, signal_inputs
from engine.signals.registry import BASELINES, make_signal
from tune.rules import N_BLOCKS
from tune.tables import Column, Fitted

HORIZONS_MS: Final = (100, 500, 1000, 2000, 5000, 10_000)
DELAY_BINS: Final = 1  # from the bin that scores to the bin at whose end a trade could be entered
COLUMN: Final = "coefficients_json"
ADDED: Final = "added_net_ticks"
# The baselines that are regressed out: those that read one number a bin, which every market has at hand.
CONTROLS: Final = tuple(name for name in BASELINES if name != "multi_level_ofi")
CONTROL_FIELDS: Final = ("bin_seq", "best_bid_size", "best_ask_size", "buy_volume", "sell_volume")  # beside prices and quality
MIN_SPANS: Final = 10
MIN_SHARE: Final = 1e-6  # of a variance that is left over once the baselines are out; less is rounding


class Coefficients(NamedTuple):
    """One of each for every horizon, shape (h,); NaN where there is too little to tell."""

    ic: Floats
    ic_t: Floats
    partial: Floats
    partial_t: Floats


def ranks(x: NDArray[Any]) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - 0.5 * (counts - 1))[place]
    return found


def control_scores(bins: Mapping[str, NDArray[Any]], context: SignalContext) -> dict[str, Floats]:
    """The baselines' scores, (n,) each, 0 where one is not ready; none where the bins do not hold what they read."""
    if not set(CONTROL_FIELDS) <= set(bins) or context.tick_int is None:
        return {}
    made = [make_signal(name, {}, context) for name in CONTROLS]
    return {one.name: one.run(signal_inputs(one, {}, bins))["score"].copy() for one in made}


def coefficients(
    score: Floats, is_used: NDArray[np.bool_], half_ticks: Ints, controls: Mapping[str, Floats], horizons: tuple[int, ...]
) -> Coefficients:
    """Rank correlations with the moves to come.

    Parameters
    ----------
    score : Floats, shape (n,)
    is_used : NDArray[np.bool_], shape (n,)
        Bins that may bear a score or a price.
    half_ticks : Ints, shape (n,)
        Twice the mid, in ticks.
    controls
        Scores to regress out, (n,) each.
    horizons
        In bins. All are measured on the same bins: those whose longest move is known.
    """
    nothing = np.full(len(horizons), np.nan)
    n = len(score) - DELAY_BINS - max(horizons)
    if n < 1:
        return Coefficients(nothing, nothing, nothing, nothing)
    known = is_used[:n] & np.isfinite(score[:n])
    for ahead in (0, *horizons):
        known = known & is_used[DELAY_BINS + ahead : DELAY_BINS + ahead + n]
    at = np.flatnonzero(known)
    span = at * N_BLOCKS // n
    if len(np.unique(span)) < MIN_SPANS:
        return Coefficients(nothing, nothing, nothing, nothing)
    start = half_ticks[at + DELAY_BINS]
    moves = [half_ticks[at + DELAY_BINS + h] - start for h in horizons]
    columns = [ranks(x) for x in (score[at], *(control[at] for control in controls.values()), *moves)]
    z = np.column_stack([*(x - x.mean() for x in columns), np.ones(len(at))])
    edges = np.searchsorted(span, np.arange(N_BLOCKS + 1))
    parts = [z[a:b].T @ z[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
    whole = np.sum(parts, axis=0)
    covariance = _centred(np.stack([whole, *(whole - part for part in parts)]))
    n_controls = len(controls)
    plain, rest = [], []
    for i in range(len(horizons)):
        move = 1 + n_controls + i
        plain.append(_jackknifed(_correlation(covariance, move, 0)))
        rest.append(_jackknifed(_correlation(covariance, move, n_controls)))
    return Coefficients(*(np.array([pair[k] for pair in pairs]) for pairs in (plain, rest) for k in (0, 1)))


def _centred(sums: Floats) -> Floats:
    """Moments (m, c, c) about the mean, from sums (m, c + 1, c + 1) whose last column counts."""
    mean = sums[:, :-1, -1] / sums[:, -1, -1][:, None]
    found: Floats = sums[:, :-1, :-1] / sums[:, -1, -1][:, None, None] - mean[:, :, None] * mean[:, None, :]
    return found


def _correlation(covariance: Floats, move: int, n_controls: int) -> Floats:
    """Correlation of column 0 with column ``move``, columns 1 to ``n_controls`` regressed out; shape (m,)."""
    pair = np.ix_(range(len(covariance)), (0, move), (0, move))
    left = covariance[pair]
    whole = np.diagonal(left, axis1=1, axis2=2)
    if n_controls:
        inner = covariance[:, 1 : 1 + n_controls, 1 : 1 + n_controls]
        outer = covariance[:, 1 : 1 + n_controls, [0, move]]
        left = left - np.swapaxes(outer, 1, 2) @ np.linalg.pinv(inner, rcond=1e-9, hermitian=True) @ outer
    kept = np.diagonal(left, axis1=1, axis2=2)
    is_there = np.all(kept > MIN_SHARE * whole, axis=1) & np.all(whole > 0, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(is_there, left[:, 0, 1] / np.sqrt(kept[:, 0] * kept[:, 1]), np.nan)
    return found


def _jackknifed(values: Floats) -> tuple[float, float]:
    """The first value, and its t from the others, which each leave one span out."""
    estimate, left_out = float(values[0]), values[1:]
    error = float(np.sqrt((len(left_out) - 1) / len(left_out) * np.sum((left_out - left_out.mean()) ** 2)))
    return estimate, estimate / error if error > 0 else float("nan")


def coefficients_json(
    signal: str,
    series: Outputs,
    bins: Mapping[str, NDArray[Any]],
    context: SignalContext,
    controls: Mapping[str, Floats],
    first_bin: int,
) -> str | None:
    """`coefficients` of a signal's series on sound bins from ``first_bin`` on, as a run keeps them; None without baselines.

    A baseline is not regressed out of itself.
    """
    if not controls or context.tick_int is None:
        return None
    mid = bins["mid_price"]
    is_used = np.isfinite(mid) & (bins["quality"] == 0)
    half_ticks = np.rint(np.where(is_used, mid, 0.0) * (2e9 / context.tick_int)).astype(np.int64)
    score = np.where(series["ready"], series["score"], np.nan)
    score[:first_bin] = np.nan
    others = {name: control for name, control in controls.items() if name != signal}
    horizons = tuple(max(1, round(ms / context.cell_width_ms)) for ms in HORIZONS_MS)
    found = coefficients(score, is_used, half_ticks, others, horizons)
    told = {name: [None if x != x else round(float(x), 6) for x in values] for name, values in found._asdict().items()}
    return json.dumps({"horizons_ms": [h * context.cell_width_ms for h in horizons], **told})


def with_added(ranking: pl.DataFrame, rows: pl.DataFrame, objective: str) -> pl.DataFrame:
    """A ranking with its runs' coefficients and with ``added_net_ticks``: net ticks a trade out of sample beyond the best
    baseline.

    The best baseline is the one that stands first by ``objective`` under the same barriers and hold on the same dataset; null
    where none was swept there, and for baselines themselves.
    """
    alike = ["dataset_id", "eval_tp_ticks", "eval_sl_ticks", "eval_max_hold_bins"]
    net = "oos_expectancy_ticks"
    runs = rows.sort(objective, descending=True, nulls_last=True).unique("run_id", keep="first", maintain_order=True)
    best = (
        runs.filter(pl.col("signal_name").is_in(BASELINES), pl.col(objective).is_not_nan(), pl.col(net).is_not_nan())
        .sort([objective, "run_id"], descending=[True, False], nulls_last=True)
        .unique(alike, keep="first", maintain_order=True)
        .select(*alike, pl.col(net).alias("_baseline"))
    )
    own = runs.join(best, on=alike, how="left").select(
        "run_id",
        COLUMN,
        pl.when(pl.col("signal_name").is_in(BASELINES)).then(None).otherwise(pl.col(net) - pl.col("_baseline")).alias(ADDED),
    )
    return ranking.join(own, on="run_id", how="left", maintain_order="left")


def coefficient_table(ranking: pl.DataFrame) -> Fitted | None:
    """The ranked runs' coefficients, a line a run; None where no run has any (older runs, and series from outside)."""
    told = [(row, json.loads(row[COLUMN])) for row in ranking.iter_rows(named=True) if row.get(COLUMN)]
    if not told:
        return None
    horizons = told[0][1]["horizons_ms"]
    told = [(row, one) for row, one in told if one["horizons_ms"] == horizons]
    columns = [
        Column("run", [row["run_id"] for row, _ in told], kept=True),
        Column("signal", [row["signal_name"] for row, _ in told], kept=True),
    ]
    heads = [f"{ms / 1000:g} s" for ms in horizons]
    for name, title in (("ic", "IC"), ("partial", "beyond baselines")):
        columns += [
            Column(f"{title} {head}", [_with_t(one[name][i], one[f"{name}_t"][i]) for _, one in told], right=True)
            for i, head in enumerate(heads)
        ]
    added = ["-" if row[ADDED] is None or row[ADDED] != row[ADDED] else f"{row[ADDED]:+.2f}" for row, _ in told]
    columns.append(Column("net beyond best baseline", added, right=True))
    middle = [heads[i] for i in np.argsort(np.abs(np.array(horizons) - 1000), kind="stable")]
    telling = [f"IC {middle[0]}", f"beyond baselines {middle[0]}", columns[-1].name]
    telling += [f"{title} {head}" for head in middle[1:] for title in ("IC", "beyond baselines")]
    return Fitted("information coefficients (t)", columns, telling)


CAPTION: Final = (
    "IC: rank correlation of the score with the mid's move from one bin later on, in brackets its jackknifed t; beyond "
    "baselines: the same with the baselines' ranks regressed out; net beyond best baseline: out-of-sample net ticks a trade "
    "less the best baseline's under the same barriers."
)


def _with_t(value: float | None, t: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:+.3f} ({'?' if t is None else f'{t:.1f}'})"
