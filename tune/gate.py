"""What a run must have shown before it may serve: one question after the other, and all that it failed in words.

Asked are: net expectancy out of sample, luck among all that was tried (deflated Sharpe ratio and the max-t test), strict rules,
trades enough, a trial that the ledger has counted, the instrument that is served here, and data that are the vendor's last word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from engine.config import InstrumentConfig, load_instrument
from engine.dataset.read import Dataset
from engine.errors import EngineError
from tune.beside import with_luck
from tune.luck import DSR_LIMIT
from tune.pooled import of_runs, pool
from tune.simultaneous import at_once
from tune.strictness import MARK, with_mark
from tune.superior import LIMIT as SPA_LIMIT

REFUSED: Final = 3  # exit code of a promotion that the gate refused
MIN_OOS_TRADES: Final = 30  # out of sample; fewer bear no interval worth its name
_SERVED: Final = ("symbol", "tick_size", "cell_width_ms", "grid_radius_ticks")


@dataclass(frozen=True)
class Figures:
    """What the gate looks at, of one run at one threshold."""

    oos_low: float  # net ticks a trade, lower 95 % bound out of sample over all its sessions; NaN where there is none
    n_oos: int  # trades out of sample, over the same
    n_trades: int  # at the threshold, in sample
    min_trades: int  # that the sweep asks for
    dsr: float  # deflated Sharpe ratio; NaN where there is none
    spa_p: float  # p-value of the max-t test; NaN where there is none
    loose: str  # why the rules are loose; empty where they are strict
    is_counted: bool  # whether the trial ledger knows of it
    differs: tuple[str, ...]  # from the instrument that is served, in words
    stale: str = ""  # what of its data the vendor has corrected since; empty where nothing


def failed_checks(figures: Figures) -> tuple[str, ...]:
    """The checks that a run fails, in words; none where it may be promoted."""
    f = figures
    found = []
    if not f.oos_low > 0:
        bound = "there is none" if f.oos_low != f.oos_low else f"{f.oos_low:+.2f} ticks, must be above 0"
        found.append(f"out-of-sample lower bound ({bound})")
    if not f.dsr > DSR_LIMIT:
        found.append(f"deflated Sharpe ratio ({_number(f.dsr)}, must be above {DSR_LIMIT:g})")
    if not f.spa_p <= SPA_LIMIT:
        found.append(f"max-t test ({_number(f.spa_p, 'p ')}, must be at most {SPA_LIMIT:g})")
    if f.loose:
        found.append(f"loose rules ({f.loose})")
    if f.n_oos < MIN_OOS_TRADES:
        found.append(f"too few trades ({f.n_oos} out of sample, at least {MIN_OOS_TRADES})")
    elif f.n_trades < f.min_trades:
        found.append(f"too few trades ({f.n_trades}, at least {f.min_trades})")
    if not f.is_counted:
        found.append("trial ledger (it has not counted this run; import the ledger that has)")
    if f.differs:
        found.append(f"another instrument ({'; '.join(f.differs)})")
    if f.stale:
        found.append(f"stale data ({f.stale})")
    return tuple(found)


def judged_rows(chosen: pl.DataFrame, rows: pl.DataFrame, trials: pl.DataFrame, min_signals: int) -> pl.DataFrame:
    """Chosen rows over all their sessions, with the columns that the gate reads; bounds hold for all that may be ranked at once.

    Parameters
    ----------
    chosen : DataFrame
        Rows to be asked, at least ``run_id`` and ``threshold``.
    rows : DataFrame
        All rows of their sweep, as ``ResultStore.rows`` gives them.
    trials : DataFrame
        As ``TrialLedger.trials`` gives them.
    """
    keys = ["run_id", "threshold"]
    pooled = pool(rows)
    whole = over_sessions(chosen, pooled, min_signals)
    known = trials.select(*keys, pl.lit(True).alias("is_counted")).unique(keys)
    marked = with_mark(whole).join(known, on=keys, how="left", maintain_order="left")
    return with_luck(marked, rows, trials, min_signals, pooled).ranking


def over_sessions(chosen: pl.DataFrame, pooled: pl.DataFrame, min_signals: int) -> pl.DataFrame:
    """The pooled rows of chosen ``run_id, threshold``, with bounds that hold for all that may be ranked at once."""
    n_ranked = pooled.filter(pl.col("n_signals") >= max(min_signals, 1)).n_unique("run_id")
    return at_once(of_runs(pooled, chosen), n_ranked)


def figures_of(row: Mapping[str, Any], min_signals: int, differs: tuple[str, ...], stale: str = "") -> Figures:
    """The gate's figures of one row of `judged_rows`, which has all sessions of its candidate together."""
    return Figures(
        oos_low=_float(row["oos_expectancy_low"]),
        n_oos=int(row["oos_n_signals"] or 0),
        n_trades=int(row["n_signals"]),
        min_trades=min_signals,
        dsr=_float(row["deflated_sharpe"]),
        spa_p=_float(row["spa_p"]),
        loose=row[MARK],
        is_counted=bool(row["is_counted"]),
        differs=differs,
        stale=stale,
    )


def instrument_differs(dataset: Dataset, served: InstrumentConfig | None = None) -> tuple[str, ...]:
    """How a dataset's instrument differs from the one that this environment serves, a field each.

    Raises
    ------
    ConfigError
        The instrument of this environment cannot be read.
    """
    ours = load_instrument() if served is None else served
    theirs = dataset.manifest["config"]
    fields = [(name, theirs.get(name), getattr(ours, name)) for name in _SERVED]
    return tuple(f"{name} {one}, served is {other}" for name, one, other in fields if one != other)


class GateError(EngineError):
    """The gate refused a promotion; nothing was changed."""


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _number(value: float, name: str = "") -> str:
    return "there is none" if value != value else f"{name}{value:.2f}"
