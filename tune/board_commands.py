"""The commands over the runs on record: the leaderboard of a lake, and the trades of one run."""

import argparse
import json
from typing import Any

import polars as pl

from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from engine.signals.bundle import read_bundle
from engine.signals.registry import signals_of
from engine.tables import console
from tune.beside import Beside
from tune.board_file import board_file, trades_file
from tune.coefficients import CAPTION as COEFFICIENTS_CAPTION
from tune.coefficients import coefficient_table
from tune.judgement import OUTSIDE, UNPROVEN_ROWS
from tune.leaderboard import caption, records, render, unfolded
from tune.notebook import standings
from tune.promote import bundles_of, run_row
from tune.stale import stale_line
from tune.walked import walk_again


def compare(args: argparse.Namespace) -> int:
    """The leaderboard over every sweep of the lake."""
    lake = Lake.open(args.lake)
    if args.min_signals < 1 or args.top < 1:
        raise ConfigError(f"--min-signals was {args.min_signals} and --top {args.top}; both must be at least 1")
    asked: dict[str, Any] = {"sweep": args.sweep, "each_threshold": args.each_threshold}
    found = standings(lake, args.signal, args.dataset, args.sort, args.min_signals, args.top, args.all, **asked)
    beside, n_loose = found.beside, found.n_loose
    ranking = beside.ranking
    if args.arrow is not None:
        write_atomic(args.arrow, board_file(found))
        return 0
    if args.json:
        _print_json(records(ranking))
        return 0
    out = console()
    loose = (
        f"{n_loose} runs under looser rules (mid fills, no fee or delay, unsound bins, lookahead) are not shown; --all shows them"
        if n_loose
        else ""
    )
    if not len(ranking):
        none = f"no run with {args.min_signals} trades or more in {lake.results}; run a sweep: python -m tune sweep"
        out.print(none, highlight=False, soft_wrap=True)
        out.print(loose, highlight=False)
        return 0
    out.print(render(ranking, f"best runs by {args.sort}", args.top), "")
    if args.sessions:
        out.print(unfolded(ranking, args.top), "")
    print_foot(ranking, beside)
    if (table := coefficient_table(ranking)) is not None:
        out.print("", table, COEFFICIENTS_CAPTION, highlight=False)
    if loose:
        out.print(loose, highlight=False)
    return 0


def print_foot(ranking: pl.DataFrame, beside: Beside) -> None:
    """What the columns mean, and what to make of them."""
    out = console()
    outside = [UNPROVEN_ROWS] if ranking.get_column("signal_name").str.starts_with(f"{OUTSIDE}:").any() else []
    for line in (caption(ranking), *outside, *beside.lines, *filter(None, [stale_line(ranking)])):
        out.print(line, highlight=False)


def trades(args: argparse.Namespace) -> int:
    """The trades of one run at one threshold, walked again."""
    lake = Lake.open(args.lake)
    row = run_row(lake, args.run_id, args.threshold)
    known = [] if args.built_in_only else [*(read_bundle(path) for path in args.signals), *bundles_of(lake, row)]
    with signals_of(known):
        walked = walk_again(lake, row, built_in_only=args.built_in_only)
    if args.arrow is not None:
        write_atomic(args.arrow, trades_file(walked))
        return 0
    if args.json:
        _print_json({**walked.told, "trades": list(walked.trades.iter_rows(named=True))})
        return 0
    for trade in walked.trades.iter_rows(named=True):
        print(
            f"{trade['fired_bin']:>7}  {'up' if trade['direction'] > 0 else 'down':<4}  {trade['entry_bin']:>7} -> "
            f"{trade['exit_bin']:>7}  {trade['reason']:<7}  {trade['pnl_ticks']:+8.2f}  net {trade['net_ticks']:+8.2f}"
        )
    net = walked.trades.get_column("net_ticks")
    print(f"run {args.run_id} at threshold {row['threshold']:g}: {len(net)} trades, net {net.sum():+.2f} ticks")
    return 0


def _print_json(values: Any) -> None:
    print(json.dumps(values, indent=1, allow_nan=False))
