"""Pictures of a judged series: equity, drawdown, trades."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from engine.errors import ConfigError
from engine.lake import user_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS: Final = (".png", ".svg", ".pdf")
_COLOURS: Final = {"tp": "#1a9850", "sl": "#d73027", "timeout": "#888888", "cut": "#bbbbbb"}


def equity_figure(trades: pl.DataFrame, equity: pl.DataFrame, unseen: pl.DataFrame, title: str, path: Any = None) -> "Figure":
    """Net ticks added up, in sample by trade and out of sample by block, with the trades by outcome; drawdown below.

    Parameters
    ----------
    trades, equity, unseen
        As `Judgement.trades`, `Judgement.equity` and `Judgement.out_of_sample` give them.
    path
        Also write the figure there.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the path cannot be written in any of ``ENDINGS``.
    """
    if path is not None and (not isinstance(path, str | Path) or Path(path).suffix not in ENDINGS):
        raise ConfigError(f"path was {path!r}; give a file name ending in {', '.join(ENDINGS)}")
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.set_title(title)
    above.axhline(0.0, color="#cccccc", linewidth=1)
    above.step(equity["exit_time"], equity["equity_ticks"], where="post", color="#4575b4", label="in sample")
    above.step(unseen["time"], unseen["equity_ticks"], where="post", color="black", label="out of sample, as you go")
    for outcome, colour in _COLOURS.items():
        chosen = trades["outcome"] == outcome
        if chosen.any():
            at = equity.filter(chosen)
            above.scatter(at["exit_time"], at["equity_ticks"], s=12, color=colour, label=f"{outcome} ({len(at)})", zorder=3)
    above.set_ylabel("net ticks")
    above.legend(loc="best", fontsize="small", frameon=False)
    below.fill_between(equity["exit_time"], -equity["drawdown_ticks"], 0.0, step="post", color="#d73027", alpha=0.4)
    below.set_ylabel("drawdown, ticks")
    below.set_xlabel("UTC")
    figure.autofmt_xdate()
    if path is not None:
        try:
            figure.savefig(user_path(path))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}") from error
    return figure


def _figure() -> "Figure":
    """A figure that shows itself in a notebook whatever is set there, and leaves nothing behind in matplotlib's own state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("plots need matplotlib, which is not installed: pip install matplotlib") from error

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return Shown(figsize=(9.0, 5.0), layout="constrained")
