"""What a candidate came to over all its sessions together.

A run is one candidate on one session; here the runs of a candidate become one row, judged by what its sessions say together. A
session is one observation, however many trades it holds: what was common to all of a day's trades, a trend that lasted, is one
piece of luck and not a hundred. Only where the sessions are few do parts of them stand for themselves, as long ones as leave
enough to tell luck by; where there is one, its blocks do. Out of sample the threshold of a session is chosen by the sessions that
were over before it began; within a session only where there is one.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import polars as pl

from engine.schema import Floats
from tune.intervals import LEVEL, block_width, mean_interval, tail_bound, wilson
from tune.outofsample import chosen
from tune.rules import N_BLOCKS

# Runs alike in these are of one candidate at the thresholds of equal place; signals may take these from each session.
FAMILY: Final = ("signal_name", "resolved_params_json", "rules_json", "grid_variant_id", "code_version")
MIN_UNITS: Final = 8  # observations that an interval wants
PARTS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 48)  # equal parts that the blocks of a session may make
SESSION: Final = (
    "run_id",
    "dataset_id",
    "start_ns",
    "end_ns",
    "warmup_bins",
    "n_bins",
    "threshold",
    "n_signals",
    "expectancy_ticks",
    "expectancy_low",
    "expectancy_high",
    "oos_n_signals",
    "oos_expectancy_ticks",
    "oos_expectancy_low",
    "oos_expectancy_high",
)  # what is kept of each session of a pooled row
_BY_TRADES: Final = ("tp_rate", "sl_rate", "timeout_rate", "mean_pnl_ticks", "expectancy_ticks", "mean_hold_ms")
# 95 % of Student's t, two-sided, with 1 to 9 degrees of freedom.
_T_95: Final = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)


def student(share: float, degrees: int) -> float:
    """Quantile of Student's t, by Cornish and Fisher's expansion; from seven degrees on within 1 % up to 1 - 1e-3.

    Source: M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions" (1964), 26.7.5.
    """
    z, v = NormalDist().inv_cdf(share), float(degrees)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def t_95(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's t, within 1e-3."""
    return _T_95[degrees - 1] if degrees <= len(_T_95) else student(0.975, degrees)


def units(blocks: Floats, n_sessions: int, least: int) -> Floats:
    """Blocks of sessions in spans as long as leave ``least`` of them, never longer than a session.

    Parameters
    ----------
    blocks : NDArray[np.float64], shape (..., n_sessions * N_BLOCKS)

    Returns
    -------
    NDArray[np.float64], shape (..., n_units)
        Sums.
    """
    parts = next((parts for parts in PARTS if parts * n_sessions >= least), N_BLOCKS)
    return blocks.reshape(*blocks.shape[:-1], n_sessions * parts, N_BLOCKS // parts).sum(axis=-1)


def sessions_interval(block_n: Floats, block_pnl: Floats, hold_blocks: float) -> tuple[float, float]:
    """95 % interval of net ticks a trade over sessions.

    Parameters
    ----------
    block_n, block_pnl : NDArray[np.float64], shape (n_sessions, N_BLOCKS)
        Trades and their net ticks.
    hold_blocks : float
        Mean time in a trade, in blocks.

    Returns
    -------
    low, high : float
        Of one session that of its blocks; of several the wider one, on either side, of Student's t over the `units` that hold
        trades and of the bootstrap over all units. NaN where too few hold trades.
    """
    if len(block_n) == 1:
        low, high = mean_interval(block_n, block_pnl, block_width(np.array([hold_blocks]), 1.0))
        return float(low[0]), float(high[0])
    n, total = (units(blocks.reshape(-1), len(blocks), MIN_UNITS) for blocks in (block_n, block_pnl))
    k = int((n > 0).sum())
    if k < 2:
        return float("nan"), float("nan")
    mean = total.sum() / n.sum()
    reach = t_95(k - 1) * float(np.sqrt(k / (k - 1) * ((total - mean * n) ** 2).sum()) / n.sum())
    low, high = mean_interval(n[None], total[None], np.array([1]))
    return float(np.fmin(mean - reach, low[0])), float(np.fmax(mean + reach, high[0]))


def with_place(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the ``place`` of their threshold among those of the run, 1 the smallest."""
    return rows.with_columns(pl.col("threshold").rank("dense").over("run_id").cast(pl.Int64).alias("place"))


def with_session(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as if each were of one session: ``n_sessions`` and ``sessions`` of `pool`."""
    return rows.with_columns(pl.lit(1, pl.Int64).alias("n_sessions"), pl.concat_list(pl.struct(*SESSION)).alias("sessions"))


def pool(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per candidate: over all its sessions that lie apart.

    Parameters
    ----------
    rows : DataFrame
        One row per (run, threshold), as ``ResultStore.rows`` gives them.

    Returns
    -------
    DataFrame
        The columns of ``rows``: figures over all sessions, ``block_n`` and ``block_pnl`` one session after another in time,
        ``sources_json`` of all, everything else as the latest session has it, whose run and threshold name the row. Besides them
        ``n_sessions``, and ``sessions``, a list of the ``SESSION`` figures of each. A row of one session is as it was, and a
        table that is pooled already. Runs of
        one candidate on times that overlap are not two sessions, but rows of their own.
    """
    if "sessions" in rows.columns:
        return rows
    rows = with_session(with_place(rows))
    families = _families(rows)
    if not families:
        return rows
    whose = {run_id: family for family, run_ids in enumerate(families) for run_id in run_ids}
    several = pl.col("run_id").is_in(list(whose))
    apart = rows.filter(~several)
    found: list[dict[str, Any]] = []
    parts = rows.filter(several).sort("start_ns", "end_ns", "threshold").partition_by("run_id", as_dict=True)
    for run_ids in families:
        found += _pooled([list(parts[(run_id,)].iter_rows(named=True)) for run_id in run_ids])
    return pl.concat([apart, pl.DataFrame(found, schema=rows.schema)])


def of_runs(pooled: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """The pooled row of each ``run_id, threshold``, whichever of its sessions that is; under the names that were asked for."""
    keys = ["run_id", "threshold"]
    whose = pooled.with_row_index("which").select("which", pl.col("sessions")).explode("sessions").unnest("sessions")
    whose = whose.select("which", *keys).unique(keys, keep="first", maintain_order=True)
    named = runs.select(keys).join(whose, on=keys, how="left", maintain_order="left")
    rest = pooled.with_row_index("which").drop(keys)
    return named.join(rest, on="which", how="left", maintain_order="left").drop("which")


def _families(rows: pl.DataFrame) -> list[list[str]]:
    """Runs of one candidate on sessions that lie apart, in time; only where there are several."""
    sound = pl.all_horizontal(
        pl.col("fill_model", "block_pnl", "block_stops", "n_through_gap").is_not_null()
    )  # older ones lack them
    runs = rows.filter(sound).unique("run_id").sort("start_ns", "end_ns", "run_id")
    runs = runs.select(pl.struct(FAMILY).rank("dense").alias("family"), "run_id", "start_ns", "end_ns")
    runs = runs.filter(pl.len().over("family") > 1)
    found: list[list[str]] = []
    for part in runs.partition_by("family", maintain_order=True):
        layers: list[tuple[int, list[str]]] = []
        for _, run_id, start, end in part.iter_rows():
            place = next((i for i, (over, _) in enumerate(layers) if over <= start), len(layers))
            layers[place : place + 1] = [(end, [*(layers[place][1] if place < len(layers) else []), run_id])]
        found += [run_ids for _, run_ids in layers if len(run_ids) > 1]
    return found


def _pooled(runs: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of one candidate family, one a place; ``runs`` in time, each with its rows."""
    tested = _out_of_sample(runs)
    places = sorted({row["place"] for run in runs for row in run})
    return [{**_together([row for run in runs for row in run if row["place"] == place]), **tested} for place in places]


def _out_of_sample(runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Each session at the threshold that the sessions over before it would choose."""
    sums: dict[int, list[tuple[int, Floats]]] = {}
    n, pnl, stops, holds, taken = [], [], [], [0.0], []
    full_loss = np.array([row["full_loss_ticks"] for row in runs[0]])
    for run in runs:
        start, end = run[0]["start_ns"], run[0]["end_ns"]
        before = {place: [one for over, one in known if over <= start] for place, known in sums.items()}
        known = np.array([np.sum(before[place], axis=0) if before[place] else np.zeros(4) for place in sums]).reshape(-1, 4)
        n_known, total, square, stopped = np.ascontiguousarray(known.T)
        if (pick := chosen(n_known, total, square, stopped, np.full(len(known), full_loss.max()))) >= 0:
            place = list(sums)[pick]
            row = next((row for row in run if row["place"] == place), None)
            n.append(np.array(row["block_n"]) if row else np.zeros(N_BLOCKS))
            pnl.append(np.array(row["block_pnl"]) if row else np.zeros(N_BLOCKS))
            stops.append(np.array(row["block_stops"]) if row else np.zeros(N_BLOCKS))
            taken += [row] if row else []
            holds.append(hold_blocks(row) if row else 0.0)
        for row in run:
            own = np.array([sum(row["block_n"]), sum(row["block_pnl"]), row["net_square"], sum(row["block_stops"])], np.float64)
            sums.setdefault(row["place"], []).append((end, own))
    trades = int(np.sum(n)) if n else 0
    low, high = sessions_interval(np.array(n), np.array(pnl), max(holds)) if trades else (float("nan"), float("nan"))
    low = _allowing_for_stops(low, trades, float(np.sum(pnl)), float(np.sum(stops)), taken)
    return {
        "oos_n_signals": trades,
        "oos_expectancy_ticks": float(np.sum(pnl)) / trades if trades else float("nan"),
        "oos_expectancy_low": low,
        "oos_expectancy_high": high,
        "oos_n_folds": len(n),
    }


@lru_cache(maxsize=4096)
def _rules(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def _allowing_for_stops(low: float, n: int, total: float, stops: float, rows: Sequence[dict[str, Any]]) -> float:
    """A lower bound, or that of stops as often as those seen allow, if lower; one trade tells as little as in ``rows``."""
    if not n:
        return low
    share = min((row["n_effective"] / row["n_signals"] for row in rows if row["n_signals"]), default=1.0)
    full_loss = max(row["full_loss_ticks"] for row in rows)
    trades, ticks, stopped, loss, part = (np.array([float(one)]) for one in (n, total, stops, full_loss, share))
    return float(np.minimum(low, tail_bound(trades, ticks, stopped, loss, part, (1.0 + LEVEL) / 2.0)[0]))


def block_hours(row: dict[str, Any]) -> float:
    """Length of a session's block."""
    rules = _rules(row["rules_json"])
    return float(max(row["n_bins"] - row["warmup_bins"], 0) * rules["cell_width_ms"] / 3.6e6 / N_BLOCKS)


def hold_blocks(row: dict[str, Any]) -> float:
    """Mean time in a trade, in blocks; 0 without trades."""
    hold, block = row["mean_hold_ms"] or 0.0, block_hours(row)
    return float(hold) / 3.6e6 / block if block > 0 and hold == hold else 0.0


def _together(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One candidate over its sessions, ``rows`` in time."""
    if len(rows) == 1:
        return {**rows[0]}
    last, nan = rows[-1], float("nan")
    found = {**last}
    for name, value in last.items():  # counts add up, whatever they count
        if name.startswith("n_") and isinstance(value, int | float):
            found[name] = type(value)(sum(row[name] or 0 for row in rows))
    trades = found["n_signals"]
    for name in _BY_TRADES:
        weighed = [row[name] * row["n_signals"] for row in rows if row["n_signals"]]
        found[name] = sum(weighed) / trades if trades else nan
    blocks = {name: np.array([row[name] for row in rows], np.float64) for name in ("block_n", "block_pnl")}
    low, high = sessions_interval(blocks["block_n"], blocks["block_pnl"], max(hold_blocks(row) for row in rows))
    blocks["block_stops"] = np.array([row["block_stops"] for row in rows], np.float64)
    told = (int(trades), float(blocks["block_pnl"].sum()), float(blocks["block_stops"].sum()))
    low = _allowing_for_stops(low, *told, rows)
    effective = np.array([found["n_effective"]], np.float64)
    for name in ("tp", "sl", "timeout"):
        bounds = wilson(found[f"{name}_rate"] * effective, effective)
        found[f"{name}_rate_low"], found[f"{name}_rate_high"] = float(bounds[0][0]), float(bounds[1][0])
    span = last["eval_tp_ticks"] + last["eval_sl_ticks"]
    rules = _rules(last["rules_json"])
    hours = sum(row["end_ns"] - row["start_ns"] for row in rows) / 3.6e12
    scored = sum(_scored_bins(row, rules["sound_only"]) for row in rows) * rules["cell_width_ms"] / 3.6e6
    flat = blocks["block_pnl"].reshape(-1)
    equity = np.concatenate([[0.0], np.cumsum(flat)])
    drawdown = max([row["max_drawdown_ticks"] for row in rows] + [float((np.maximum.accumulate(equity) - equity).max())])
    tick_value = rules["tick_size"] * rules["contract_multiplier"]
    spread, length = float(flat.std(ddof=1)), float(np.mean([block_hours(row) for row in rows]))
    return found | {
        "expectancy_low": low,
        "expectancy_high": high,
        "expectancy_dollars": found["expectancy_ticks"] * tick_value,
        "excess_rate": found["expectancy_ticks"] / span,
        "excess_low": low / span,
        "excess_high": high / span,
        "events_per_hour": trades / hours if hours > 0 else 0.0,
        "events_per_scored_hour": trades / scored if scored > 0 else 0.0,
        "profit_factor": _profit_factor(rows),
        "max_drawdown_ticks": drawdown,  # inside a session to the trade, over sessions to the block
        "max_drawdown_dollars": drawdown * tick_value,
        "sharpe": float(flat.mean()) / spread / np.sqrt(length) if spread > 0 and length > 0 else nan,
        "net_square": sum(row["net_square"] for row in rows if row["n_signals"]),
        "median_time_to_outcome_ms": nan,  # not to be had from those of the sessions
        "sources_json": json.dumps(list(dict.fromkeys(name for row in rows for name in json.loads(row["sources_json"])))),
        "block_n": blocks["block_n"].reshape(-1).tolist(),
        "block_pnl": flat.tolist(),
        "block_stops": blocks["block_stops"].reshape(-1).tolist(),
        "full_loss_ticks": max(row["full_loss_ticks"] for row in rows),
        "n_sessions": len(rows),
        "sessions": [session for row in rows for session in row["sessions"]],
    }


def _scored_bins(row: dict[str, Any], sound_only: bool) -> int:
    return max(int(row["n_bins"] - row["warmup_bins"] - (row["n_unsound_bins"] if sound_only else 0)), 0)


def _profit_factor(rows: Sequence[dict[str, Any]]) -> float:
    """Won by lost, from each session's ratio w and difference d of the two: lost = d / (w - 1); NaN where one does not tell."""
    won = lost = 0.0
    for row in (row for row in rows if row["n_signals"]):
        factor, net = row["profit_factor"], sum(row["block_pnl"])
        if not abs(factor) < float("inf") or factor == 1.0:
            return float("nan")
        lost += net / (factor - 1.0)
        won += factor * net / (factor - 1.0)
    return won / lost if lost > 0 else float("nan")
