"""The public face of the search: a sweep and the leaderboard, each in one line; `import tune` names them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import polars as pl

from engine.errors import ConfigError
from engine.lake import Lake, user_path
from engine.signals.registry import get_signal
from tune.beside import Beside, with_luck
from tune.coefficients import with_added
from tune.config import Objective, SweepConfig, parse_sweep_config, read_sweep_config
from tune.judgement import is_outside
from tune.judging import JUDGED
from tune.leaderboard import rank, without_loose
from tune.ledger import TrialLedger
from tune.pooled import pool
from tune.results import ResultStore
from tune.run import SweepOutcome, new_state, read_state
from tune.run import run_sweep as run_to_end
from tune.screen import Screen
from tune.stale import stale_runs, with_stale


@dataclass(frozen=True)
class Standings:
    """The leaderboard over the runs of a lake, and how many were left out for looser rules."""

    beside: Beside
    n_loose: int
    rows: pl.DataFrame  # that were ranked, as ``ResultStore.rows`` gives them
    pooled: pl.DataFrame  # the same as `tune.pooled.pool` gives them
    ranked: pl.DataFrame  # every ranked row, best first, without the figures of luck


def standings(
    lake: Lake,
    signal: str | None,
    dataset: str | None,
    sort: str,
    min_signals: int,
    top: int,
    with_all: bool,
    *,
    sweep: str | None = None,
    each_threshold: bool = False,
) -> Standings:
    """The best runs of a lake, whoever made them.

    Raises
    ------
    ConfigError
        There is no run of that signal, dataset or sweep; those there are, are told.
    """
    rows = _rows_of(lake, sweep)
    for column, wanted in (("signal_name", signal), ("dataset_id", dataset)):
        if wanted is not None:
            known = sorted(set(rows.get_column(column)))
            if wanted not in known:
                if column == "signal_name" and not is_outside(wanted):
                    get_signal(wanted)  # tells a name that nobody knows from one without runs
                raise ConfigError(f"no run of {wanted!r} in {lake.results}; there are runs of: {', '.join(known) or 'none'}")
            rows = rows.filter(rows.get_column(column) == wanted)
    rows, n_loose = (rows, 0) if with_all else without_loose(rows)
    pooled = pool(rows)
    ranked = rank(pooled, sort, min_signals, each_threshold=each_threshold)
    best_first = with_added(ranked.head(top), pooled, sort)
    beside = with_luck(best_first, rows, TrialLedger(lake).trials(), min_signals, pooled)
    marked = replace(beside, ranking=with_stale(beside.ranking, stale_runs(lake, rows)))
    return Standings(marked, n_loose, rows, pooled, ranked)


def _rows_of(lake: Lake, sweep: str | None) -> pl.DataFrame:
    """The rows of every run, or of those that a sweep asked for, whichever sweep scored them first."""
    store = ResultStore(lake)
    if sweep is None:
        return store.rows()
    if sweep == JUDGED:
        return store.rows().filter(pl.col("sweep_id") == JUDGED)
    return store.rows(read_state(lake, sweep).run_ids)


def compare(
    lake: str | Path | Lake | None = None,
    *,
    signal: str | None = None,
    dataset: str | None = None,
    sort: str = "oos_expectancy_low",
    min_signals: int = 5,
    top: int = 20,
    with_all: bool = False,
) -> pl.DataFrame:
    """The leaderboard over everything that was swept or judged in a lake, best run first.

    Parameters
    ----------
    lake
        Its path, or a `Lake`; None for ``$SPYMASTER_LAKE``, else ``lake/``.
    signal, dataset
        Only runs of these; a judged series goes by ``series:NAME``.
    sort
        The figure that is best at the top.
    min_signals
        Trades a row needs to count.
    with_all
        Also runs under looser rules: mid fills, no fee, no delay, unsound bins, lookahead.

    Raises
    ------
    ConfigError
        An argument is not allowed, or there is no such run.

    Examples
    --------
    >>> import numpy as np, tune
    >>> rules = {"tp_ticks": 4, "sl_ticks": 4, "max_hold_bins": 100}
    >>> wave = tune.judge(np.sin(np.arange(1200)), "morning", name="wave", thresholds=0.9, **rules)
    >>> tune.compare(signal="series:wave").select("signal_name", "dataset_id").rows()
    [('series:wave', 'morning')]
    """
    allowed = get_args(Objective)
    if sort not in allowed:
        raise ConfigError(f"sort was {sort!r}; choose one of: {', '.join(allowed)}")
    for name, count in (("min_signals", min_signals), ("top", top)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(f"{name} was {count!r}; it must be a whole number, at least 1")
    for name, wanted in (("signal", signal), ("dataset", dataset)):
        if not isinstance(wanted, str | None):
            raise ConfigError(f"{name} was {wanted!r}; give its name as text")
    return standings(Lake.open(lake), signal, dataset, sort, min_signals, top, with_all).beside.ranking


def run_sweep(
    config: str | Path | Mapping[str, Any] | SweepConfig,
    *,
    lake: str | Path | Lake | None = None,
    address: str = "local",
    limit: int | None = None,
) -> SweepOutcome:
    """Run a sweep on Ray to its end; its ``ranking`` is a polars frame, best run first.

    Parameters
    ----------
    config
        Path of a sweep file, or its content.
    address
        ``local`` starts a Ray on this machine, ``auto`` joins the running one, else a cluster's address.
    limit
        Only the first so many points.

    Raises
    ------
    EngineError
        Something in the configuration cannot be; raised before any worker starts.

    Examples
    --------
    >>> import tune
    >>> rules = {"tp_ticks": 4, "sl_ticks": 4, "min_signals": 1}
    >>> sweep = {"name": "mine", "datasets": ["morning"], "signals": ["ads"], "eval": rules, "tracking": {"backend": "none"}}
    >>> tune.run_sweep(sweep).n_points
    1
    """
    home = Lake.open(lake)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigError(f"limit was {limit!r}; it must be a whole number, at least 1")
    if isinstance(config, str | Path):
        checked = read_sweep_config(user_path(config))
    elif isinstance(config, Mapping | SweepConfig):
        checked = config if isinstance(config, SweepConfig) else parse_sweep_config(dict(config), "the sweep")
    else:
        raise ConfigError(f"sweep was of type {type(config).__name__}; give the path of a sweep file, or its content")
    with Screen() as screen:
        return run_to_end(new_state(checked, limit), home, address, screen)
