"""What stands beside a leaderboard: how many trials there were, and how much of the best ones is luck."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from tune.ledger import Trials, tried_on
from tune.luck import Luck, best_by_chance, deflated_sharpe, overfitting_probability
from tune.outofsample import Choosing, choose_as_you_go
from tune.rules import N_BLOCKS

MAX_COMPARED: Final = 4000  # rows in the halvings; a fixed draw of more
_SEED: Final = 20170301
_SPAN: Final = ("sources_json", "start_ns", "end_ns", "warmup_bins")  # rows alike in these earned in the same spans of time
COLUMNS: Final = ("n_trials", "chance_sharpe", "deflated_sharpe", "pbo")


@dataclass(frozen=True)
class Beside:
    """A ranking with the ``COLUMNS`` of luck, a `Luck` for each span of time in it, and what choosing as you go would earn."""

    ranking: pl.DataFrame
    lucks: Sequence[Luck]
    choosing: Choosing

    @property
    def lines(self) -> list[str]:
        """All of it in words, for the foot of a table."""
        found = [self.choosing.line] if len(self.ranking) else []
        for luck in self.lucks:
            where = f"{luck.lineage}: " if len(self.lucks) > 1 else ""
            found += [where + luck.chance_line, luck.words]
        return found


def with_luck(ranking: pl.DataFrame, rows: pl.DataFrame, trials: pl.DataFrame, min_signals: int) -> Beside:
    """Judge the rows of a ranking against everything that was tried.

    Parameters
    ----------
    ranking : DataFrame
        As ``tune.leaderboard.rank`` gives it, a part of ``rows``.
    rows : DataFrame
        Every row the ranking was made from, as ``ResultStore.rows`` gives them.
    trials : DataFrame
        As ``TrialLedger.trials`` gives them.
    """
    enough = rows.filter(pl.col("n_signals") >= max(min_signals, 1), pl.col("fill_model").is_not_null())
    enough = enough.sort("run_id", "threshold")  # the order in which workers were done must not show
    shown = ranking.select("run_id", "threshold").join(rows, on=["run_id", "threshold"], how="left", maintain_order="left")
    lucks: dict[tuple[object, ...], Luck] = {}
    known: dict[str, Trials] = {}
    added: list[tuple[int, float, float, float]] = []
    for row in shown.iter_rows(named=True):
        span = tuple(row[name] for name in _SPAN)
        pnl = np.array(row["block_pnl"])
        root_hours = _root_block_hours(row)
        sources = row["sources_json"]
        if sources not in known:
            known[sources] = tried_on(trials, json.loads(sources))
        tried = known[sources]
        chance = best_by_chance(tried.n, tried.sharpe_std)
        deflated = deflated_sharpe(pnl, chance * root_hours)
        if span not in lucks:  # the first row of a span is its best
            peers = enough.filter(*(pl.col(name) == value for name, value in zip(_SPAN, span, strict=True)))
            lucks[span] = Luck(
                lineage=row["dataset_id"],
                n_trials=tried.n,
                n_compared=min(len(peers), MAX_COMPARED),
                pbo=_overfitting(peers),
                best_sharpe=row["sharpe"],
                chance_sharpe=chance,
                deflated=deflated,
            )
        added.append((tried.n, chance, deflated, lucks[span].pbo))
    columns = list(zip(*added, strict=True)) or [()] * len(COLUMNS)
    types = (pl.Int64, pl.Float64, pl.Float64, pl.Float64)
    series = [pl.Series(name, list(values), dtype) for name, values, dtype in zip(COLUMNS, columns, types, strict=True)]
    return Beside(ranking.with_columns(series), list(lucks.values()), choose_as_you_go(enough))


def _root_block_hours(row: dict[str, object]) -> float:
    rules = json.loads(str(row["rules_json"]))
    scored_bins = int(str(row["n_bins"])) - int(rules["warmup_bins"])
    return float(np.sqrt(scored_bins * rules["cell_width_ms"] / 3.6e6 / N_BLOCKS))


def _overfitting(peers: pl.DataFrame) -> float:
    if len(peers) > MAX_COMPARED:
        peers = peers.sample(MAX_COMPARED, seed=_SEED)
    if peers.is_empty():
        return float("nan")
    return overfitting_probability(np.array(peers.get_column("block_pnl").to_list()))
