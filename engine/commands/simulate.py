"""`simulate`: a believable session as a real DBN file."""

import argparse
from collections.abc import Callable
from pathlib import Path

from engine.progress import Progress
from engine.simulate.session import simulate_days


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("out", type=Path, metavar="OUT.dbn[.zst]")
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    parser.add_argument("--seconds", type=float, required=True, help="length of the session")
    parser.add_argument("--rate", type=float, help="mean records per second (default 1000)")
    parser.add_argument("--start", help="ISO time, New York without an offset (default 2026-02-06T09:00)")
    parser.add_argument("--symbol", help="raw symbol (default MNQH6)")
    parser.add_argument(
        "--days",
        type=int,
        default=1,
        help="a session on each of so many days, opened by a snapshot of the day before's last book; OUT holds the first date",
    )


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    given = {name: getattr(args, name) for name in ("rate", "start", "symbol") if getattr(args, name) is not None}
    with Progress("simulating") as progress:
        written = simulate_days(
            args.out, days=args.days, seed=args.seed, seconds=args.seconds, progress=_share(progress), **given
        )
    for summary in written:
        print(
            f"{summary.path}: {summary.symbol}, {summary.n_records:,} records of which {summary.n_snapshot:,} snapshot, "
            f"{summary.n_trades:,} trades, {summary.open_price:.2f} to {summary.close_price:.2f}, {summary.n_bytes:,} bytes"
        )
    return 0


def _share(progress: Progress) -> Callable[[float], None]:
    return lambda done: progress.update(done, "")
