"""The drawn parts of a report. Each says under it what is drawn, from how many runs, and by which method."""

import json
from html import escape
from math import nan
from typing import Any, Final

import numpy as np
import polars as pl

from engine.schema import Floats
from tune.coefficients import ADDED, COLUMN
from tune.coefficients import CAPTION as COEFFICIENTS
from tune.luck import best_by_chance
from tune.report.charts import Axes, bars, colour, heat, histogram, parallel, shortened
from tune.report.gather import Findings
from tune.report.parameters import importances, levels, pairs, parameter_table
from tune.report.words import figure, table
from tune.rules import N_BLOCKS
from tune.splits import fold_blocks

MOST_WAYS: Final = 1500  # lines of the parallel coordinates
MOST_AXES: Final = 8
FEW: Final = 20  # runs; below, shares of variance say little
_BARRIERS: Final = ("eval_tp_ticks", "eval_sl_ticks")


def _drawn(picture: str, told: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(told)}</figcaption></figure>" if picture else ""


def scores(f: Findings) -> str:
    """The Sharpe ratios of all candidates, and what the best of as many without skill would show."""
    sharpe = f.found.ranked.get_column("sharpe").cast(pl.Float64).fill_null(nan).to_numpy()
    known = np.isfinite(sharpe)
    if not known.any():
        return ""
    luck = f.found.beside.lucks[0]
    told = (
        f"Sharpe ratios of {known.sum():,} candidates, each at its best threshold in sample. Dashed: the best to be expected of "
        f"{luck.n_trials:,} trials without any skill on {luck.lineage}. What stands left of it needs no explanation but luck."
    )
    picture = histogram(sharpe, "Sharpe ratio per root hour", luck.chance_sharpe, "best by chance", "distribution of scores")
    return _drawn(picture, told)


def _objective(f: Findings) -> tuple[str, Floats]:
    """The figure that parameters are judged by: what the sweep maximises, or the mean in sample where that is rarely known."""
    for name in (f.objective, "oos_expectancy_ticks"):
        values = f.found.ranked.get_column(name).cast(pl.Float64).fill_null(nan).to_numpy()
        if 2 * np.isfinite(values).sum() >= len(values):
            return name, values
    return "expectancy_ticks", f.found.ranked.get_column("expectancy_ticks").cast(pl.Float64).fill_null(nan).to_numpy()


def importance(f: Findings) -> str:
    """Each parameter's share of the variance."""
    table_ = parameter_table(f.found.ranked) if len(f.found.ranked) else pl.DataFrame()
    if not table_.width:
        return "<p>No parameter took more than one value among the ranked candidates.</p>" if len(f.found.ranked) else ""
    name, values = _objective(f)
    found = importances(table_, values)
    shown = ["too few runs to tell" if one.share != one.share else f"{100 * one.share:.1f} %" for one in found]
    few = f" These are few runs ({len(f.found.ranked)}): take it as a hint." if len(f.found.ranked) < FEW else ""
    told = (
        f"Share of the variance of {name} over {int(np.isfinite(values).sum()):,} candidates that the levels of each parameter "
        f"explain for themselves (omega squared, corrected for the number of levels; numbers of more than 12 values in six equal "
        f"shares). What only two of them together do belongs to none.{few}"
    )
    labels = [f"{one.name} ({one.n_levels})" for one in found]
    return _drawn(bars(labels, [one.share for one in found], shown, "parameter importance"), told)


def _leading(f: Findings, values: Floats, most: int) -> tuple[pl.DataFrame, list[str]]:
    found = parameter_table(f.found.ranked)
    return found, [one.name for one in importances(found, values)[:most]]


def ways(f: Findings) -> str:
    """Parallel coordinates."""
    if not len(f.found.ranked):
        return ""
    name, values = _objective(f)
    found, names = _leading(f, values, MOST_AXES - 1)
    known = np.flatnonzero(np.isfinite(values))
    if not names or len(known) < 2:
        return ""
    by_rank = known[np.argsort(-values[known], kind="stable")]
    chosen = by_rank[np.unique(np.linspace(0, len(by_rank) - 1, min(len(by_rank), MOST_WAYS)).astype(np.int64))]
    scales, lines = [], []
    for axis in names:
        labels, place = levels(found.get_column(axis))
        scales.append(labels)
        lines.append(np.where(place < 0, nan, place / max(len(labels) - 1, 1) if len(labels) > 1 else 0.5)[chosen])
    low, high = float(values[chosen].min()), float(values[chosen].max())
    scales.append([f"{low:+.2f}", f"{high:+.2f}"])
    lines.append((values[chosen] - low) / (high - low) if high > low else np.full(len(chosen), 0.5))
    strength = 1.0 - np.arange(len(chosen)) / max(len(chosen) - 1, 1)
    cut = f", {len(chosen):,} of {len(known):,} drawn, evenly by rank" if len(chosen) < len(known) else ""
    told = f"A line a candidate from its parameters to its {name}; the strongest colour is the best quarter{cut}."
    picture = parallel([*names, name], scales, np.array(lines).T, strength, "parallel coordinates of parameters")
    return "<h3>From parameters to results</h3>" + _drawn(picture, told)


def landscape(f: Findings) -> str:
    """Heat maps of pairs of the leading parameters."""
    if not len(f.found.ranked):
        return ""
    name, values = _objective(f)
    found, names = _leading(f, values, 4)
    maps = [
        heat(wide, high, cells, (across, down), f"{name} by {across} and {down}")
        for across, down, wide, high, cells in pairs(found, values, names)
        if np.isfinite(cells).any()
    ]
    if not maps:
        return ""
    told = f"Mean {name} of the candidates in each cell: blue above 0, red below, empty where there is none."
    return f'<h3>Pairs of parameters</h3><p class="soft">{escape(told)}</p><div class="pair">' + "".join(maps) + "</div>"


def stability(f: Findings) -> str:
    """Results of the top runs over time, and what each fold and session came to."""
    rows = list(f.curves.iter_rows(named=True))
    if not rows:
        return ""
    curves = [np.concatenate([[0.0], np.cumsum(row["block_pnl"])]) for row in rows]
    falls = [curve - np.maximum.accumulate(curve) for curve in curves]
    key = "".join(
        f'<li><svg aria-hidden="true" viewBox="0 0 26 10"><path class="{colour(i)}" stroke-width="3" d="M0 5h26"/></svg>'
        f"{i + 1}: {escape(row['run_id'])}, threshold {row['threshold']:g}</li>"
        for i, row in enumerate(rows)
    )
    pictures = []
    for series, label, name in ((curves, "net ticks", "results of the top runs"), (falls, "drawdown, ticks", "drawdown of them")):
        xs = [np.linspace(0.0, len(one) / N_BLOCKS - 1.0 / N_BLOCKS, len(one)) for one in series]
        axes = Axes.around(np.concatenate(xs), np.concatenate(series), "sessions, in time", label)
        body = axes.line([*axes.x], [0.0, 0.0], "zero")
        for i in reversed(range(len(series))):
            body += axes.line(xs[i], series[i], f"run {colour(i)}", f"{i + 1}: {rows[i]['run_id']}")
        pictures.append(axes.drawn(body, name))
    told = (
        "Net ticks added up by block (48 to a session), each at the threshold of its row: in sample, the most flattering view. "
        "The fall from the highest point before is below."
    )
    return f'<ul class="key">{key}</ul>' + pictures[0] + _drawn(pictures[1], told) + _parts(rows)


def _parts(rows: list[dict[str, Any]]) -> str:
    several = any(row["n_sessions"] > 1 for row in rows)
    heads: list[str] = []
    cells = []
    for row in rows:
        if several:
            named = [(one["dataset_id"], one["n_signals"], one["expectancy_ticks"]) for one in row["sessions"]]
        else:
            named = _folds(row)
        heads += [name for name, *_ in named if name not in heads]
        cells.append({name: f"{figure(mean if n else nan, '+.2f')} <span class='soft'>({n})</span>" for name, n, mean in named})
    heads = heads[-24:]
    body = [[str(i + 1), *(told.get(name, "–") for name in heads)] for i, told in enumerate(cells)]
    what = "session" if several else "part of the session (the first one only chooses)"
    said = f"net ticks a trade, and how many trades, in each {what}, at the row's threshold"
    return "<h3>Does it hold everywhere?</h3>" + table(["#", *heads], body, said, range(1, len(heads) + 1))


def _folds(row: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Trades and their mean in each fold's span of blocks, the span before the first one included."""
    edges = [0, *fold_blocks(json.loads(row["rules_json"])["n_folds"]).tolist(), N_BLOCKS]
    found = []
    for i, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        n, total = int(sum(row["block_n"][first:last])), sum(row["block_pnl"][first:last])
        found.append((f"fold {i}" if i else "before", n, total / n if n else nan))
    return found


def rates(f: Findings) -> str:
    """TP rate against the number of trades, for the barriers of the best row."""
    if not len(f.top):
        return ""
    head = f.top.row(0, named=True)
    alike = f.found.ranked.filter(pl.all_horizontal(pl.col(name) == head[name] for name in _BARRIERS))
    alike = alike.filter(pl.col("tp_rate").is_not_nan(), pl.col("n_signals") > 0)
    if alike.is_empty():
        return ""
    n, rate = alike.get_column("n_signals").cast(pl.Float64).to_numpy(), alike.get_column("tp_rate").to_numpy()
    tp, sl = (head[name] for name in _BARRIERS)
    fair, reach = sl / (tp + sl), best_by_chance(f.found.beside.lucks[0].n_trials, 1.0)
    grid = np.geomspace(max(n.min() * 0.9, 1.0), max(n.max() * 1.1, 2.0), 120)
    line = np.minimum(fair + reach * np.sqrt(fair * (1.0 - fair) / grid), 1.0)
    even = float(head["break_even_rate"])
    axes = Axes.around(grid, np.concatenate([rate, [fair, even, min(line[len(line) // 3], 1.0)]]), "trades", "TP rate")
    visible = line <= axes.y[1]
    body = axes.line(grid[visible], line[visible], "luck", "best by chance")
    body += axes.line([*axes.x], [even, even], "even", "break-even") + axes.dots(n, rate, "dots")
    body += axes.dots(np.array([float(head["n_signals"])]), np.array([float(head["tp_rate"])]), "lead")
    told = (
        f"{len(alike):,} candidates with barriers of {tp:g}/{sl:g} ticks, the best one large. Solid: the rate of the best one's "
        f"rules that pays the costs, {even:.3f}. Dashed: the rate that the best of {f.found.beside.lucks[0].n_trials:,} would "
        f"reach by chance with so many independent trades, from {fair:.3f}, what a walk without drift gives."
    )
    return _drawn(axes.drawn(body, "TP rate by number of trades"), told)


def coefficients(f: Findings) -> str:
    """Information coefficients of the best runs, and what is left of them beyond the baselines."""
    told = [(row, json.loads(row[COLUMN])) for row in f.top.iter_rows(named=True) if row.get(COLUMN)]
    if not told:
        return ""
    horizons = told[0][1]["horizons_ms"]
    told = [(row, one) for row, one in told if one["horizons_ms"] == horizons]
    heads = [
        "run",
        "signal",
        *(f"{name} {ms / 1000:g} s" for name in ("IC", "beyond") for ms in horizons),
        "net beyond best baseline",
    ]
    cells = [
        [
            f"<code>{escape(row['run_id'])}</code>",
            escape(shortened(row["signal_name"], 40)),
            *(
                f"{figure(v, '+.3f')} ({figure(t, '.1f')})"
                for part in ("ic", "partial")
                for v, t in zip(one[part], one[f"{part}_t"], strict=True)
            ),
            figure(row[ADDED], "+.2f"),
        ]
        for row, one in told[:20]
    ]
    return f'<p class="soft">{escape(COEFFICIENTS)}</p>' + table(
        heads, cells, "information coefficients (t)", range(2, len(heads))
    )
