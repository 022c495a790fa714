"""What stands beside a leaderboard: how many trials there were, and how much of the best ones is luck."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from tune.choosing import Choosing, choose_as_you_go
from tune.intervals import block_width
from tune.ledger import Trials, tried_on
from tune.luck import Luck, best_by_chance, deflated_sharpe, null_sharpe_std, overfitting_probability, widening
from tune.pooled import block_hours, hold_blocks, of_runs, pool, units
from tune.rules import N_BLOCKS
from tune.superior import superiority

MAX_COMPARED: Final = 4000  # rows in the halvings; a fixed draw of more
MIN_SPANS: Final = N_BLOCKS  # observations that the tests of luck want: of several sessions longer spans make as many
_SEED: Final = 20170301
_TIME: Final = "time_key"
_SHOWN: Final = ("dataset_id", "n_sessions", "sessions", "block_pnl", "sharpe")
_HOLD: Final = ("mean_hold_ms", "n_bins", "warmup_bins", "rules_json")  # what `hold_blocks` reads
COLUMNS: Final = ("n_trials", "chance_sharpe", "deflated_sharpe", "spa_p", "pbo")


@dataclass(frozen=True)
class Beside:
    """A ranking with the ``COLUMNS`` of luck, a `Luck` for each set of sessions in it, and what choosing as you go would earn."""

    ranking: pl.DataFrame
    lucks: Sequence[Luck]
    choosing: Choosing

    @property
    def lines(self) -> list[str]:
        """All of it in words, for the foot of a table."""
        found = [self.choosing.line] if len(self.ranking) else []
        for luck in self.lucks:
            where = f"{luck.lineage}: " if len(self.lucks) > 1 else ""
            found += [where + luck.chance_line, luck.words, luck.assumptions]
        return found


def with_luck(
    ranking: pl.DataFrame, rows: pl.DataFrame, trials: pl.DataFrame, min_signals: int, pooled: pl.DataFrame | None = None
) -> Beside:
    """Judge the rows of a ranking against everything that was tried.

    Parameters
    ----------
    ranking : DataFrame
        As ``tune.leaderboard.rank`` gives it, a part of ``rows``.
    rows : DataFrame
        Every row the ranking was made from, as ``ResultStore.rows`` gives them.
    trials : DataFrame
        As ``TrialLedger.trials`` gives them.
    pooled : DataFrame, optional
        ``rows`` as `tune.pooled.pool` gives them, where the caller has them already.
    """
    enough = rows.filter(pl.col("n_signals") >= max(min_signals, 1), pl.col("fill_model").is_not_null())
    enough = enough.sort("run_id", "threshold")  # the order in which workers were done must not show
    together = pool(rows) if pooled is None else pooled
    times = [_time_of(row) for row in together.select("sources_json", "sessions").iter_rows(named=True)]
    together = together.with_columns(pl.Series(_TIME, times, dtype=pl.String)).sort("run_id", "threshold")
    shown = of_runs(together, ranking).select(_TIME, *_SHOWN)  # of many rows the rest takes longer to read than to judge
    groups: dict[str, _Group] = {}
    lucks: list[Luck] = []
    added: list[tuple[int, float, float, float, float]] = []
    for row in shown.iter_rows(named=True):
        key = row[_TIME]
        is_first = key not in groups  # the first row of a time is its best
        if is_first:
            peers = together.filter(pl.col(_TIME) == key, pl.col("fill_model").is_not_null())
            groups[key] = _Group.of(peers, trials, min_signals)
        group = groups[key]
        chance, deflated = group.deflated(row)
        last = row["sessions"][-1]
        own_p = group.own_p.get((last["run_id"], last["threshold"]), float("nan"))
        added.append((group.tried.n, chance, deflated, own_p, group.pbo))
        if is_first:
            lucks.append(
                Luck(
                    lineage=_lineage(row),
                    n_trials=group.tried.n,
                    n_compared=group.n_compared,
                    pbo=group.pbo,
                    best_sharpe=row["sharpe"],
                    chance_sharpe=chance,
                    deflated=deflated,
                    spa_p=group.best_p,
                    row_p=own_p,
                    n_resampled=group.n_resampled,
                    block_minutes=group.mean_length * group.span_hours * 60.0,
                )
            )
    columns = list(zip(*added, strict=True)) or [()] * len(COLUMNS)
    types = (pl.Int64, *[pl.Float64] * (len(COLUMNS) - 1))
    series = [pl.Series(name, list(values), dtype) for name, values, dtype in zip(COLUMNS, columns, types, strict=True)]
    return Beside(ranking.with_columns(series), lucks, choose_as_you_go(enough))


@dataclass(frozen=True)
class _Group:
    """Everything tried on one set of sessions: rows alike in these earned in the same spans of time."""

    tried: Trials
    n_sessions: int
    span_hours: float
    mean_length: int  # spans that a block of the bootstrap has on the average
    own_p: Mapping[tuple[str, float], float]  # by run and threshold, step-down
    best_p: float
    n_resampled: int
    n_compared: int
    pbo: float

    @classmethod
    def of(cls, peers: pl.DataFrame, trials: pl.DataFrame, min_signals: int) -> "_Group":
        """Of the pooled rows on these sessions, with the ledger's trials on their files."""
        first = peers.row(0, named=True)
        sessions = [(one["start_ns"], one["end_ns"]) for one in first["sessions"]]
        tried = tried_on(trials, json.loads(first["sources_json"]))
        own = np.array(peers.get_column("block_pnl").to_list(), np.float64)
        panel, n_known = tried.panel(sessions, own)
        spans = units(panel, len(sessions), MIN_SPANS)
        enough = peers.filter(pl.col("n_signals") >= max(min_signals, 1))
        longest = max((hold_blocks(row) for row in enough.select(*_HOLD).iter_rows(named=True)), default=0.0)
        per_span = len(sessions) * N_BLOCKS / spans.shape[1]
        mean_length = int(block_width(np.array([longest]), per_span)[0])
        p = superiority(spans, mean_length)
        keys = list(peers.select("run_id", "threshold").iter_rows())
        return cls(
            tried=tried,
            n_sessions=len(sessions),
            span_hours=block_hours(first) * per_span,
            mean_length=mean_length,
            own_p=dict(zip(keys, p[: len(keys)].tolist(), strict=True)),
            best_p=float(np.nanmin(p)) if np.isfinite(p).any() else float("nan"),
            n_resampled=max(n_known, len(peers)),
            n_compared=min(len(enough), MAX_COMPARED),
            pbo=_overfitting(enough),
        )

    def deflated(self, row: Mapping[str, Any]) -> tuple[float, float]:
        """Sharpe ratio of the best by chance, per root hour, and a row's deflated ratio."""
        spans = units(np.array(row["block_pnl"], np.float64), self.n_sessions, MIN_SPANS)
        widened = widening(spans, self.mean_length)
        chance = best_by_chance(self.tried.n, null_sharpe_std(len(spans), widened))
        root_hours = float(np.sqrt(self.span_hours))
        per_hour = chance / root_hours if root_hours > 0 else float("nan")
        return per_hour, deflated_sharpe(spans, chance, widened)


def _time_of(row: Mapping[str, Any]) -> str:
    """What rows must agree in to have earned in the same spans of time."""
    spans = [[one[name] for name in ("start_ns", "end_ns", "warmup_bins")] for one in row["sessions"]]
    return json.dumps([row["sources_json"], spans])


def _lineage(row: Mapping[str, Any]) -> str:
    more = row["n_sessions"] - 1
    return str(row["dataset_id"]) + (f" and {more} session{'s' if more > 1 else ''} before it" if more else "")


def _overfitting(peers: pl.DataFrame) -> float:
    if len(peers) > MAX_COMPARED:
        peers = peers.sample(MAX_COMPARED, seed=_SEED)
    if peers.is_empty():
        return float("nan")
    return overfitting_probability(np.array(peers.get_column("block_pnl").to_list()))
