"""`simulate`: a believable session as a real DBN file."""

import argparse
from collections.abc import Callable

from engine.simulate.edge import key_path, read_edge
from engine.simulate.session import simulate_days
from engine.tables import Progress


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    given = {name: getattr(args, name) for name in ("rate", "start", "symbol") if getattr(args, name) is not None}
    if args.edge is not None:
        given["edge"] = read_edge(args.edge)
    with Progress("simulating") as progress:
        written = simulate_days(
            args.out, days=args.days, seed=args.seed, seconds=args.seconds, progress=_share(progress), **given
        )
    for summary in written:
        print(
            f"{summary.path}: {summary.symbol}, {summary.n_records:,} records of which {summary.n_snapshot:,} snapshot, "
            f"{summary.n_trades:,} trades, {summary.open_price:.2f} to {summary.close_price:.2f}, {summary.n_bytes:,} bytes"
        )
        if (edge := summary.edge) is not None:
            print(
                f"{key_path(summary.path)}: planted, {summary.n_cues} cues of {edge.relation}, each followed by "
                f"{edge.size:g} ticks with decay {edge.decay:g} s, {edge.where}"
            )
    return 0


def _share(progress: Progress) -> Callable[[float], None]:
    return lambda done: progress.update(done, "")
