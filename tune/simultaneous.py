"""Intervals that hold for all rows of a leaderboard at once, so that the best of them may be believed.

Of 20 rows without an edge the best stands above 0 in four boards of ten, if each has a 95 % interval of its own. Here each is
widened to 1 - 0.05 / n_rows (Bonferroni), by the quantiles of Student's t with as many degrees as its observations leave.
"""

from typing import Final

import polars as pl

from tune.pooled import MIN_UNITS, student

LEVEL: Final = 0.95
_ALONE: Final = 23  # degrees of the interval of one session: its 48 blocks, two together
_FIGURE: Final = "oos_expectancy"


def factor(n_rows: int, n_sessions: int) -> float:
    """How much wider an interval must be to hold for ``n_rows`` at once."""
    degrees = max(n_sessions, MIN_UNITS) - 1 if n_sessions > 1 else _ALONE
    return student(1.0 - (1.0 - LEVEL) / 2 / max(n_rows, 1), degrees) / student(0.5 + LEVEL / 2, degrees)


def at_once(rows: pl.DataFrame, n_rows: int) -> pl.DataFrame:
    """Rows whose intervals out of sample hold for ``n_rows`` of them at once; ``n_sessions`` tells of how many each is."""
    if rows.is_empty():
        return rows
    sessions = [int(n) for n in rows.get_column("n_sessions").unique().sort()]
    wider = pl.col("n_sessions").replace_strict(sessions, [factor(n_rows, n) for n in sessions], return_dtype=pl.Float64)
    mean = pl.col(f"{_FIGURE}_ticks")
    names = [f"{_FIGURE}_{side}" for side in ("low", "high")]
    return rows.with_columns((mean + (pl.col(name) - mean) * wider).alias(name) for name in names)
