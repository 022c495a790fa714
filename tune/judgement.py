"""What the judge says of a series from outside: in words, as tables, trade by trade, and as a picture."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.schema import Floats
from tune.beside import Beside, with_luck
from tune.leaderboard import interval, rank, records
from tune.outofsample import fold_picks, stitch
from tune.scoring import Scored, walk_all
from tune.trades_table import trades_of
from tune.trial import Market, Point, load_market

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTSIDE: Final = "series"  # leads the name of a run whose scores came from outside, before a colon
UNPROVEN: Final = (
    "The scores came from outside: nothing here can see whether they look ahead, so believe them no more than "
    "how they were made; they cannot be promoted."
)
UNPROVEN_ROWS: Final = (
    f"{OUTSIDE}: scores judged from outside; whether they look ahead is not known, and they cannot be promoted."
)


def is_outside(signal_name: str) -> bool:
    """Whether a run judged a series from outside, which no signal here can make again."""
    return signal_name.startswith(f"{OUTSIDE}:")


class Judgement:
    """One series judged; made by `tune.judge`.

    Its text is what the judge says; `table` has the figures of every threshold, `trades` and `equity` what is behind them.

    Examples
    --------
    >>> import numpy as np, tune
    >>> noise = np.random.default_rng(1).standard_normal(1200)
    >>> result = tune.judge(noise, "morning", name="noise", thresholds=[1.5, 2.0], max_hold_bins=100)
    >>> print(result.lines[0].split(": ")[1])
    it cannot be told from nothing
    >>> result.trades().height == result.best["n_signals"]
    True
    >>> result.equity().columns
    ['exit_time', 'net_ticks', 'equity_ticks', 'drawdown_ticks']
    >>> figure = result.plot("noise.svg")
    """

    def __init__(
        self,
        dataset: Dataset,
        scores: Floats,
        point: Point,
        mode: str,
        rows: pl.DataFrame,
        trials: pl.DataFrame,
        min_signals: int,
    ) -> None:
        self.dataset = dataset
        self.scores = scores
        self._point, self._mode, self._rows, self._min_signals = point, mode, rows, min_signals
        self._beside: Beside = with_luck(rank(rows, "oos_expectancy_low", min_signals), rows, trials, min_signals)

    @property
    def run_id(self) -> str:
        """The run's id in the store."""
        return self._point.run_id

    @property
    def name(self) -> str:
        """What the run is called on the leaderboard: by whoever judged it first."""
        return str(self._rows.item(0, "signal_name"))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Levels it was judged at, ascending."""
        return self._point.thresholds

    @property
    def best(self) -> dict[str, Any] | None:
        """The leaderboard's row of the run, with luck's columns; None where no threshold gave trades enough."""
        found = records(self._beside.ranking)
        return found[0] if found else None

    def table(self) -> pl.DataFrame:
        """A row a threshold, in the columns of a sweep's results."""
        return self._rows

    def trades(self, threshold: float | None = None) -> pl.DataFrame:
        """The trades at a threshold, in time.

        Parameters
        ----------
        threshold
            One of `thresholds`; default the best in sample.

        Returns
        -------
        polars.DataFrame
            ``fired_bin, entry_bin, exit_bin, entry_time, exit_time`` (UTC), ``side`` (1 up, -1 down), ``outcome`` (tp, sl,
            timeout; out before a close or a roll, or at the first price after a gap; cut by the end of the data),
            ``pnl_ticks`` from price to price and ``net_ticks``, barriers and fees booked.

        Raises
        ------
        ConfigError
            It was not judged at that threshold.
        """
        at = self.thresholds.index(self._level(threshold))
        scored, market = self._walked
        rules, utc = self._point.rules, pl.Datetime("ns", "UTC")
        return trades_of(scored, at, rules, market.ts_ns, market.tape(rules)).select(
            "fired_bin",
            "entry_bin",
            "exit_bin",
            pl.col("entry_ns").cast(utc).alias("entry_time"),
            pl.col("exit_ns").cast(utc).alias("exit_time"),
            pl.col("direction").alias("side"),
            pl.col("reason").alias("outcome"),
            "pnl_ticks",
            "net_ticks",
        )

    def equity(self, threshold: float | None = None) -> pl.DataFrame:
        """Net ticks added up over the `trades` of a threshold: ``exit_time, net_ticks, equity_ticks, drawdown_ticks``."""
        net = pl.col("net_ticks").cum_sum()
        return self.trades(threshold).select(
            "exit_time",
            "net_ticks",
            net.alias("equity_ticks"),
            (net.cum_max().clip(lower_bound=0.0) - net).alias("drawdown_ticks"),
        )

    def out_of_sample(self) -> pl.DataFrame:
        """Net ticks added up by block, each at the threshold chosen before it: ``time`` (UTC), ``n_signals, equity_ticks``."""
        rows, n_folds = list(self._rows.sort("threshold").iter_rows(named=True)), self._point.rules.n_folds
        block_n, block_pnl = (np.array([row[name] for row in rows]) for name in ("block_n", "block_pnl"))
        n, pnl = stitch(fold_picks(rows, n_folds), block_n, block_pnl, n_folds)
        ts_ns = self._walked[1].ts_ns
        ends = np.linspace(self._point.rules.warmup_bins, len(ts_ns) - 1, len(n) + 1).astype(np.int64)[1:]
        time = pl.Series(ts_ns[ends]).cast(pl.Datetime("ns", "UTC"))
        return pl.DataFrame({"time": time, "n_signals": n.astype(np.int64), "equity_ticks": np.cumsum(pnl)})

    def plot(self, path: str | Path | None = None, threshold: float | None = None) -> "Figure":
        """Equity, drawdown and trades as a figure, which a notebook shows.

        Parameters
        ----------
        path
            Also write it there; the ending (.png, .svg, .pdf) says how.
        threshold
            One of `thresholds`; default the best in sample.

        Raises
        ------
        ConfigError
            matplotlib is not installed, the ending is not known, or it was not judged at that threshold.
        """
        from tune.plots import equity_figure

        level = self._level(threshold)
        title = f"{self.name} on {self.dataset.dataset_id}, threshold {level:g}"
        return equity_figure(self.trades(level), self.equity(level), self.out_of_sample(), title, path)

    @property
    def lines(self) -> list[str]:
        """What the judge says: the finding, its best threshold, what luck has to do with it, and what cannot be known."""
        where = f"{self.name} on {self.dataset.dataset_id}, run {self.run_id}"
        best = self.best
        if best is None:
            return [f"{where}: no threshold gave {self._min_signals} trades or more, so there is nothing to judge.", UNPROVEN]
        low, high = best["oos_expectancy_low"], best["oos_expectancy_high"]
        if best["oos_n_signals"] == 0:
            finding = (
                "no part of the session had trades enough before it to choose a threshold by, so nothing is known out of sample"
            )
        else:
            clear = low is not None and (low > 0 or high < 0)
            verdict = ("it earns" if low > 0 else "it loses") if clear else "it cannot be told from nothing"
            net, n = interval(_numbers(best), "oos_expectancy"), best["oos_n_signals"]
            finding = f"{verdict}: net {net} ticks a trade out of sample, {n} trades"
        in_sample = (
            f"best of {len(self.thresholds)} thresholds, in sample: {best['threshold']:g}, {best['n_signals']} trades, TP rate "
            f"{best['tp_rate']:.3f} [{best['tp_rate_low']:.3f} {best['tp_rate_high']:.3f}] where {best['break_even_rate']:.3f} "
            f"breaks even, net {interval(_numbers(best), 'expectancy')} ticks a trade"
        )
        luck = [line for one in self._beside.lucks for line in (one.chance_line, one.words, one.assumptions)]
        return [f"{where}: {finding}", in_sample, *luck, UNPROVEN]

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "run_id": self.run_id,
            "name": self.name,
            "dataset_id": self.dataset.dataset_id,
            "thresholds": list(self.thresholds),
            "best": self.best,
            "lines": self.lines,
        }

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    @cached_property
    def _walked(self) -> tuple[Scored, Market]:
        """The trades of every threshold, and what they met."""
        market = load_market(self.dataset, [])
        rules = self._point.rules
        return walk_all(self.scores, market.tape(rules), self.thresholds, [rules], self._mode), market

    def _level(self, threshold: float | None) -> float:
        if threshold is None:
            best = self.best
            return float(best["threshold"]) if best is not None else self.thresholds[0]
        if threshold not in self.thresholds:
            known = ", ".join(f"{level:g}" for level in self.thresholds)
            raise ConfigError(f"threshold was {threshold!r}; {self.name} was judged at {known}")
        return float(threshold)


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float("nan") if value is None else value for name, value in row.items()}
