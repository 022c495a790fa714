"""What the parameters of a sweep have to do with its results: which of them matter, and how pairs of them lie together."""

import json
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from engine.schema import Floats

MOST_LEVELS: Final = 12  # of a parameter with more distinct numbers, equal shares of the runs stand for levels
_SHARES: Final = 6
MOST_PAIRS: Final = 6


class Importance(NamedTuple):
    """A parameter, the share of the variance that its levels explain (NaN: too few runs to tell), and over how many runs."""

    name: str
    share: float
    n_levels: int
    n: int


def parameter_table(ranked: pl.DataFrame) -> pl.DataFrame:
    """The swept parameters of ranked rows, a column each as text or number; those with one value throughout are left out."""
    swept = [json.loads(text) for text in ranked.get_column("signal_params_json")]
    columns: dict[str, list[Any]] = {"signal": ranked.get_column("signal_name").to_list()}
    for name, column in (("tp ticks", "eval_tp_ticks"), ("sl ticks", "eval_sl_ticks"), ("cooldown", "cooldown_bins")):
        columns[name] = ranked.get_column(column).to_list()
    for name in dict.fromkeys(name for one in swept for name in one):
        columns[str(name)] = [one.get(name) for one in swept]
    made = {name: _column(name, values) for name, values in columns.items()}
    return pl.DataFrame([column for column in made.values() if column.drop_nulls().n_unique() > 1])


def _column(name: str, values: list[Any]) -> pl.Series:
    is_number = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    if is_number:
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    return pl.Series(name, [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values], pl.String)


def levels(column: pl.Series) -> tuple[list[str], np.ndarray]:
    """The levels of a parameter in order, and the level of each run (-1 where it has none).

    Of many distinct numbers equal shares of the runs are levels, named by their least.
    """
    known = column.drop_nulls().unique().sort()
    if column.dtype == pl.String or len(known) <= MOST_LEVELS:
        place = {value: i for i, value in enumerate(known)}
        names = [value if isinstance(value, str) else f"{value:g}" for value in known]
        return names, np.array([-1 if value is None else place[value] for value in column], np.int64)
    values = column.to_numpy()
    edges = np.unique(np.quantile(values[np.isfinite(values)], np.arange(_SHARES) / _SHARES))
    found = np.where(np.isfinite(values), np.searchsorted(edges, values, side="right") - 1, -1)
    return [f"≥ {edge:.3g}" for edge in edges], found.astype(np.int64)


def importances(table: pl.DataFrame, figure: Floats) -> list[Importance]:
    """Each parameter's share of the variance of a figure, most telling first.

    Omega squared of a one-way layout: (between - (k - 1) * within) / (total + within), with `within` the mean square inside the
    k levels. Unlike the plain share it is not raised by having many levels; below 0 it is shown as 0. Each parameter is taken for
    itself: what only two of them together do belongs to none.

    Source: W. L. Hays, "Statistics for Psychologists" (1963), chapter 12.
    """
    found = []
    for column in table.iter_columns():
        names, place = levels(column)
        used = (place >= 0) & np.isfinite(figure)
        found.append(Importance(column.name, _omega(place[used], figure[used]), len(names), int(used.sum())))
    return sorted(found, key=lambda one: -1.0 if one.share != one.share else one.share, reverse=True)


def _omega(place: np.ndarray, y: Floats) -> float:
    k = len(np.unique(place))
    n = len(y)
    if k < 2 or n <= k + 1:
        return float("nan")
    count, total = np.bincount(place), np.bincount(place, weights=y)
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    inner = float(((y - mean[place]) ** 2).sum()) / (n - k)
    whole = float(((y - y.mean()) ** 2).sum())
    between = whole - inner * (n - k)
    return max((between - (k - 1) * inner) / (whole + inner), 0.0) if whole > 0 else float("nan")


def pairs(table: pl.DataFrame, figure: Floats, names: list[str]) -> list[tuple[str, str, list[str], list[str], Floats]]:
    """For pairs of parameters: both names, the levels across and down, and the mean figure in each cell (down, across)."""
    found = []
    for across, down in list(combinations(names, 2))[:MOST_PAIRS]:
        (wide, i), (high, j) = levels(table.get_column(across)), levels(table.get_column(down))
        used = (i >= 0) & (j >= 0) & np.isfinite(figure)
        cells = np.full((len(high), len(wide)), np.nan)
        flat = j[used] * len(wide) + i[used]
        count = np.bincount(flat, minlength=cells.size)
        total = np.bincount(flat, weights=figure[used], minlength=cells.size)
        np.divide(total, count, out=cells.reshape(-1), where=count > 0)
        found.append((across, down, wide, high, cells))
    return found
