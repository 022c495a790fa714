"""Which candidate is best so far, and how that looks on a screen.

Candidates are ranked, over all their sessions together, by the lower confidence bound of what they earn net of costs on time that
their threshold was not chosen on. The other figures of a row are in sample: of its best threshold, on the bins it was chosen on.
The table says which is which.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from tune.pooled import pool, with_session
from tune.simultaneous import at_once
from tune.stale import STALE
from tune.strictness import GROUP, MARK, in_groups, places, strict, with_mark
from tune.tables import Column, Fitted
from tune.trial import RunResult

METRICS: Final = (
    "n_signals",
    "n_effective",
    "n_unsound",
    "n_too_near_close",
    "n_stop_in_spread",
    "n_flat_at_close",
    "n_through_gap",
    "n_flat_at_roll",
    "n_cut",
    "tp_rate",
    "tp_rate_low",
    "tp_rate_high",
    "break_even_rate",
    "excess_rate",
    "excess_low",
    "excess_high",
    "sl_rate",
    "timeout_rate",
    "mean_pnl_ticks",
    "expectancy_ticks",
    "expectancy_low",
    "expectancy_high",
    "expectancy_dollars",
    "oos_n_signals",
    "oos_expectancy_ticks",
    "oos_expectancy_low",
    "oos_expectancy_high",
    "profit_factor",
    "max_drawdown_ticks",
    "sharpe",
    "events_per_hour",
    "events_per_scored_hour",
    "fill_model",
)
SHOWN: Final = (
    "run_id",
    "dataset_id",
    "signal_name",
    "signal_params_json",
    "eval_tp_ticks",
    "eval_sl_ticks",
    "cooldown_bins",
    "threshold",
    *METRICS,
    "n_sessions",
    "sessions",  # the figures of each, in time
)


def rank(rows: pl.DataFrame, objective: str, min_signals: int, *, each_threshold: bool = False) -> pl.DataFrame:
    """The best row of each candidate over all its sessions together, named by its latest run; best first among those of the same
    rules, loose ones behind all strict ones.

    Parameters
    ----------
    rows : DataFrame
        One row per (run, threshold), as ``ResultStore.rows`` gives them.
        Their intervals out of sample come out as wide as to hold for all that are ranked at once (`tune.simultaneous`).
    objective : str
        Column to maximise; ties go to the higher bound in sample, more trades, then to the smaller threshold and run id, so
        that the order is fixed. A row that has no such figure stands behind all that have one.
    min_signals : int
        Rows with fewer trades do not count.
    each_threshold : bool
        Every row of each candidate, not its best alone; the order is the same.
    """
    told = _enough(pool(rows), min_signals)
    return _best_first(at_once(told, told.n_unique("run_id")), objective, each_threshold)


def _enough(rows: pl.DataFrame, min_signals: int) -> pl.DataFrame:
    # Runs of an older version of this program lack figures that ranking needs, or dropped the trades that met a close or a gap,
    # which this one books; beside these they would look too good and are not shown.
    is_whole = pl.col("fill_model", "n_through_gap").is_not_null()
    return with_mark(rows.filter(pl.col("n_signals") >= max(min_signals, 1), is_whole))


def _best_first(rows: pl.DataFrame, objective: str, each_threshold: bool = False) -> pl.DataFrame:
    keys = [pl.col(name).fill_nan(None) for name in (objective, "expectancy_low", "n_signals")]
    ordered = rows.select(*SHOWN, MARK, GROUP).sort(
        [*keys, pl.col("run_id"), pl.col("threshold")], descending=[True, True, True, False, False], nulls_last=True
    )
    return in_groups(ordered if each_threshold else ordered.unique("run_id", keep="first", maintain_order=True))


def without_loose(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Rows whose runs were judged under strict rules, as `tune.strictness` has it; and how many runs were not.

    What was scored under looser rules looks better than it is: side by side with the others it would stand first.
    """
    kept = strict(rows)
    return kept, rows.n_unique("run_id") - kept.n_unique("run_id")


class LiveRanking:
    """The best runs of a sweep while results come in, each on its own session; memory does not grow with the sweep."""

    def __init__(self, objective: str, min_signals: int, top: int) -> None:
        self._objective, self._min_signals, self._top = objective, min_signals, top
        self._alone: pl.DataFrame | None = None  # each with its interval for itself
        self._n_rows = 0

    @property
    def best(self) -> pl.DataFrame | None:
        """The best so far, their intervals as wide as the number of runs demands; None before the first run."""
        return None if self._alone is None else _best_first(at_once(self._alone, self._n_rows), self._objective)

    def add(self, results: Sequence[RunResult]) -> None:
        """Let new runs take their places; each comes once, with all its rows."""
        if not results:
            return
        rows = pl.DataFrame([{**result.meta, **row} for result in results for row in result.rows], infer_schema_length=None)
        new = _best_first(_enough(with_session(rows), self._min_signals), self._objective)
        self._n_rows += len(new)
        both = new if self._alone is None else pl.concat([self._alone, new], how="vertical_relaxed")
        self._alone = _best_first(both, self._objective).head(self._top)


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON-able dictionaries: NaN becomes null, parameters an object."""
    found = []
    for row in frame.iter_rows(named=True):
        clean: dict[str, Any] = _without_nan(row)
        clean["signal_params"] = json.loads(clean.pop("signal_params_json"))
        found.append(clean)
    return found


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if value != value else value


# What may be left out of a narrow leaderboard, most telling first.
TELLING: Final = ("out of sample [95 %]", "oos n", "max-t p", "net [95 %]", "n", "DSR", "TP rate", "even", "per h")


def render(frame: pl.DataFrame, title: str, top: int, *, fits_height: bool = False) -> Fitted:
    """The leaderboard as a table; what is the same in all rows stands in its title.

    Run, dataset, signal, parameters, barriers, cooldown and threshold stand whole at any width; the rest goes by ``TELLING``.
    """
    frame = with_mark(frame)
    same = [name for name in ("dataset_id", "signal_name") if frame.n_unique(name) == 1]
    loose = frame.head(top).get_column(MARK)
    alike = [f"loose: {loose[0]}"] if len(loose) and loose.n_unique() == 1 and loose[0] else []
    title = ", ".join([title, *(str(frame.item(0, name)) for name in same), *alike])
    rows = list(frame.head(top).iter_rows(named=True))
    columns = [
        Column("#", places(frame.head(top)), right=True, kept=True),
        Column("run", [row["run_id"] for row in rows], kept=True),
    ]
    if "signal_name" not in same:
        columns.append(Column("signal", [row["signal_name"] for row in rows], kept=True))
    if "dataset_id" not in same:
        columns.append(Column("dataset", [row["dataset_id"] for row in rows], kept=True, stacks=True))
    for name in (MARK, GROUP):  # where rows differ in them
        if frame.head(top).n_unique(name) > 1:
            columns.append(Column(name, [(row[name] or "-").split(" ") for row in rows], kept=True, stacks=True))
    if STALE in frame.columns:
        columns.append(Column("data", ["stale" if row[STALE] else "-" for row in rows], kept=True))
    parameters = [parameter_parts(json.loads(row["signal_params_json"])) for row in rows]
    columns.append(Column("parameters", parameters, kept=True, stacks=True))
    if _is_pooled(frame):
        columns.append(Column("sessions", [str(row["n_sessions"]) for row in rows], right=True, kept=True))
    barriers = [f"{row['eval_tp_ticks']:g}/{row['eval_sl_ticks']:g}" for row in rows]
    columns += [
        Column("tp/sl", barriers, right=True, kept=True),
        Column("cool", [str(row["cooldown_bins"]) for row in rows], right=True, kept=True),
        Column("thr", [f"{row['threshold']:g}" for row in rows], right=True, kept=True),
    ]
    figures = {
        "n": [str(row["n_signals"]) for row in rows],
        "TP rate": [f"{row['tp_rate']:.3f}" for row in rows],
        "even": [f"{row['break_even_rate']:.3f}" for row in rows],
        "net [95 %]": [interval(row, "expectancy") for row in rows],
        "out of sample [95 %]": [interval(row, "oos_expectancy") for row in rows],
        "oos n": [str(row["oos_n_signals"]) for row in rows],
        "DSR": [_figure(row.get("deflated_sharpe"), ".2f") for row in rows],
        "max-t p": [_figure(row.get("spa_p"), ".3f") for row in rows],
        "per h": [f"{row['events_per_scored_hour']:.0f}" for row in rows],
    }
    columns += [Column(name, cells, right=True) for name, cells in figures.items()]
    return Fitted(title, columns, TELLING, fits_height=fits_height)


CAPTION: Final = (
    "net: ticks a trade after costs, in sample, with its 95 % interval, from session to session where there are several; "
    "out of sample: the same where each session trades the threshold that the sessions over before it chose, and each part of "
    "a single one what the parts before it chose, with intervals that hold for all rows at once; even: TP rate that pays "
    "the fees; DSR: deflated Sharpe ratio, the probability that the row is better than the best of all trials by chance; "
    "max-t p: the chance that the best of all trials together would look as good without skill."
)
POOLED: Final = "A row of several sessions is named by its latest; --sessions shows each."


def unfolded(frame: pl.DataFrame, top: int) -> Fitted:
    """The sessions of each row of a leaderboard, in time, under the row's number."""
    told = [(place, one) for place, row in enumerate(frame.head(top).iter_rows(named=True), 1) for one in row["sessions"]]
    columns = [
        Column("#", [str(place) for place, _ in told], right=True, kept=True),
        Column("run", [one["run_id"] for _, one in told], kept=True),
        Column("dataset", [one["dataset_id"] for _, one in told], kept=True, stacks=True),
        Column("thr", [f"{one['threshold']:g}" for _, one in told], right=True, kept=True),
        Column("n", [str(one["n_signals"]) for _, one in told], right=True, kept=True),
        Column("net [95 %]", [interval(one, "expectancy") for _, one in told], right=True),
        Column("out of sample [95 %]", [interval(one, "oos_expectancy") for _, one in told], right=True),
    ]
    return Fitted("each session for itself, thresholds chosen within it", columns, ("net [95 %]", "out of sample [95 %]"))


def caption(frame: pl.DataFrame) -> str:
    """What the columns mean, the fill models of the rows, what set off no trade, and what closes, gaps and rolls came to."""
    fills = "; ".join(f"Fills: {name}." for name in frame.get_column("fill_model").unique(maintain_order=True))
    n = {name: int(frame.get_column(name).sum()) for name in METRICS if name.startswith("n_") and name != "n_effective"}
    pooled = f" {POOLED}" if _is_pooled(frame) else ""
    return (
        f"{CAPTION}{pooled} {fills} Signals of these rows without a trade: {n['n_unsound']} in unsound bins, "
        f"{n['n_too_near_close']} too near a close, {n['n_stop_in_spread']} with a stop within the spread. Trades out before "
        f"a close: {n['n_flat_at_close']}, through a gap: {n['n_through_gap']}, out before a roll: {n['n_flat_at_roll']}, "
        f"cut by the end of the data: {n['n_cut']}."
    )


def interval(row: Mapping[str, Any], name: str) -> str:
    """A figure with its 95 % interval, as every table and line shows it; a dash where there is none."""
    mean, low, high = (row[f"{name}_{part}"] for part in ("ticks", "low", "high"))
    if mean != mean:
        return "-"
    return f"{mean:+.2f} [{low:+.2f} {high:+.2f}]" if low == low else f"{mean:+.2f} [?]"


def _is_pooled(frame: pl.DataFrame) -> bool:
    return any(n is not None and n > 1 for n in frame.get_column("n_sessions", default=[]))


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None or value != value else format(value, form)


def parameter_parts(values: Mapping[str, Any]) -> list[str]:
    """Parameters as ``key=value``, each to stand on one line."""
    return [f"{name}={value}" for name, value in values.items()] or ["defaults"]


def _parameters(text: str) -> str:
    return " ".join(parameter_parts(json.loads(text)))


def describe(row: dict[str, Any]) -> str:
    """One run in one line."""
    return (
        f"{row['run_id']} {row['signal_name']} {_parameters(row['signal_params_json'])} "
        f"tp/sl {row['eval_tp_ticks']:g}/{row['eval_sl_ticks']:g} thr {row['threshold']:g} n {row['n_signals']} "
        f"TP {row['tp_rate']:.3f} net {interval(row, 'expectancy')} "
        f"out of sample {interval(row, 'oos_expectancy')} ticks"
    )
