"""Which run is best so far, and how that looks on a screen.

The figures are in sample: each run shows its best threshold on the very bins it was chosen on. The table says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl
from rich import box
from rich.table import Table

from tune.trial import RunResult

METRICS: Final = (
    "n_signals",
    "tp_rate",
    "tp_rate_low",
    "tp_rate_high",
    "break_even_rate",
    "sl_rate",
    "timeout_rate",
    "mean_pnl_ticks",
    "expectancy_ticks",
    "events_per_hour",
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
)


def rank(rows: pl.DataFrame, objective: str, min_signals: int) -> pl.DataFrame:
    """The best row of each run, best run first.

    Parameters
    ----------
    rows : DataFrame
        One row per (run, threshold), as ``ResultStore.rows`` gives them.
    objective : str
        Column to maximise; ties go to more trades, then to the smaller threshold and run id, so that the order is fixed.
    min_signals : int
        Rows with fewer trades do not count.
    """
    order = [objective, "n_signals", "run_id", "threshold"]
    return (
        rows.filter(pl.col("n_signals") >= min_signals, pl.col(objective).is_not_nan())
        .select(SHOWN)
        .sort(order, descending=[True, True, False, False])
        .unique("run_id", keep="first", maintain_order=True)
    )


class LiveRanking:
    """The best runs of a sweep while results come in; memory does not grow with the sweep."""

    def __init__(self, objective: str, min_signals: int, top: int) -> None:
        self._objective, self._min_signals, self._top = objective, min_signals, top
        self.best: pl.DataFrame | None = None

    def add(self, results: Sequence[RunResult]) -> None:
        """Let new runs take their places; each comes once, with all its rows."""
        if not results:
            return
        rows = pl.DataFrame([{**result.meta, **row} for result in results for row in result.rows], infer_schema_length=None)
        new = rank(rows, self._objective, self._min_signals)
        both = new if self.best is None else pl.concat([self.best, new], how="vertical_relaxed")
        self.best = rank(both, self._objective, self._min_signals).head(self._top)


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON-able dictionaries: NaN becomes null, parameters an object."""
    found = []
    for row in frame.iter_rows(named=True):
        clean: dict[str, Any] = {name: None if value != value else value for name, value in row.items()}
        clean["signal_params"] = json.loads(clean.pop("signal_params_json"))
        found.append(clean)
    return found


def render(frame: pl.DataFrame, title: str, top: int) -> Table:
    """The leaderboard as a table; what is the same in all rows stands in its title."""
    same = [name for name in ("dataset_id", "signal_name") if frame.n_unique(name) == 1]
    title = ", ".join([title, *(str(frame.item(0, name)) for name in same)])
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("run", no_wrap=True)
    texts = [name for name in ("dataset_id", "signal_name") if name not in same]
    for name in texts:
        table.add_column(name.split("_")[0], overflow="fold")
    table.add_column("parameters", overflow="fold", min_width=20)
    for name in ("tp/sl", "cool", "thr", "n", "TP rate [95 %]", "even", "PnL", "expect", "per h"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, row in enumerate(frame.head(top).iter_rows(named=True), start=1):
        table.add_row(
            str(place),
            row["run_id"],
            *(row[name] for name in texts),
            _parameters(row["signal_params_json"]),
            f"{row['eval_tp_ticks']:g}/{row['eval_sl_ticks']:g}",
            str(row["cooldown_bins"]),
            f"{row['threshold']:g}",
            str(row["n_signals"]),
            f"{row['tp_rate']:.3f} [{row['tp_rate_low']:.3f} {row['tp_rate_high']:.3f}]",
            f"{row['break_even_rate']:.3f}",
            f"{row['mean_pnl_ticks']:+.3f}",
            f"{row['expectancy_ticks']:+.3f}",
            f"{row['events_per_hour']:.0f}",
        )
    return table


CAPTION: Final = (
    "In sample, mid to mid, no costs. PnL and expect: ticks a trade, exits at the mid and at the barrier; even: TP rate of a "
    "driftless walk; TP rate with Wilson's 95 % interval, too narrow where trades overlap."
)


def _parameters(text: str) -> str:
    values: dict[str, Any] = json.loads(text)
    return " ".join(f"{name}={value}" for name, value in values.items()) or "defaults"


def describe(row: dict[str, Any]) -> str:
    """One run in one line."""
    return (
        f"{row['run_id']} {row['signal_name']} {_parameters(row['signal_params_json'])} "
        f"tp/sl {row['eval_tp_ticks']:g}/{row['eval_sl_ticks']:g} thr {row['threshold']:g} n {row['n_signals']} "
        f"TP {row['tp_rate']:.3f} PnL {row['mean_pnl_ticks']:+.3f} ticks"
    )
