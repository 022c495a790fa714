"""The door of tune: arguments in, one call, a table or a line out; errors become exit codes here only."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine.door import ADDRESS_HELP, LAKE_HELP, OneLineParser, run_door

SORTS: Final = (
    "oos_expectancy_low",
    "expectancy_low",
    "expectancy_ticks",
    "mean_pnl_ticks",
    "tp_rate",
    "sharpe",
    "events_per_hour",
)

DESCRIPTION: Final = """\
Search the parameters of a signal over stored sessions, and promote the best.

  sweep          run a sweep on Ray and show its leaderboard; without a file, a small one on a simulated session
  list-signals   the signals that can be swept, with their parameters
  list-datasets  the datasets of the lake
  compare        the leaderboard over all sweeps
  score          one signal's series over a dataset, as a parquet file
  online-sim     one signal driven bin by bin: latency of each call, memory, and the proof that it equals the batch
  promote        make a run the champion that serving loads; roll back; show

Runs are ranked out of sample and net of costs: each part of a session trades the threshold that the parts before it chose.
"""
SWEEP_HELP: Final = """\
Run every point of a sweep file, in parallel, on Ray Tune.

The file's keys: name, description, datasets, signals, grid_variant, eval, sweep, search, parallel, tracking, online_sim.
Anything unknown in it, and any dataset that is missing, is refused before a worker starts. Results go into the lake as they
arrive, under an id that is a hash of all that decides them: a point that is there already is never computed again, so a
sweep that was stopped or killed goes on with --resume, and a sweep begun twice costs nothing the second time.

Exit code: 0 all points evaluated, 1 some failed (they are named), 2 bad input, 130 stopped with Ctrl-C.
"""
ONLINE_HELP: Final = """\
Drive a signal over a stored session as a stream would: one call of `update` a bin, fits included, each call timed. Its outputs
must be those of the batch, bit for bit, or the command fails with exit code 1.
"""
PROMOTE_HELP: Final = """\
Make a run the champion: an immutable version in lake/models, registered in MLflow, and the pointer that every serving replica
watches is moved to it. The alias `champion` in the MLflow registry follows the pointer; the pointer is the truth.
"""


def main(argv: Sequence[str] | None = None, prog: str = "python -m tune") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped by Ctrl-C."""

    def call() -> int:
        args = build_parser(prog).parse_args(argv)
        from tune.commands import COMMANDS  # not before: --help must not wait for numba, pyarrow and polars

        return COMMANDS[args.command](args)

    return run_door(prog, call)


def build_parser(prog: str = "python -m tune") -> argparse.ArgumentParser:
    """The whole command line."""
    parser = OneLineParser(prog=prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sweep = _command(commands, "sweep", "run a sweep on Ray", SWEEP_HELP)
    sweep.add_argument("config", type=Path, nargs="?", metavar="CONFIG.yaml", help="default: the smoke sweep")
    sweep.add_argument(
        "--address",
        help=ADDRESS_HELP,
    )
    sweep.add_argument("--resume", metavar="SWEEP", help="go on with the sweep of this id")
    sweep.add_argument("--limit", type=int, metavar="N", help="only the first N points")

    _command(commands, "list-signals", "the signals and their parameters", "")
    _command(commands, "list-datasets", "the datasets of the lake", "")

    compare = _command(commands, "compare", "the leaderboard over all sweeps", "")
    compare.add_argument("--signal", help="only this signal")
    compare.add_argument("--dataset", help="only this dataset")
    compare.add_argument("--min-signals", type=int, default=5, help="trades a row needs to count (default 5)")
    compare.add_argument("--top", type=int, default=20, help="runs shown (default 20)")
    compare.add_argument("--all", action="store_true", help="also runs under looser rules: the reference form, lookahead")
    compare.add_argument("--sort", choices=SORTS, default=SORTS[0], help=f"what is best (default {SORTS[0]})")

    score = _command(commands, "score", "one signal's series over a dataset", "")
    score.add_argument("--signal", required=True)
    score.add_argument("--dataset-id", required=True)
    score.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the signal")
    score.add_argument("--out", type=Path, required=True, metavar="FILE.parquet", help="bin_seq, score, ready; metadata inside")

    online = _command(commands, "online-sim", "one signal driven bin by bin", ONLINE_HELP)
    online.add_argument("--signal", required=True)
    online.add_argument("--dataset-id", required=True)
    online.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the signal")
    online.add_argument("--bin-budget-ms", type=float, default=100.0, metavar="MS", help="time a bin may take (default 100)")

    promote = _command(commands, "promote", "make a run the champion", PROMOTE_HELP)
    promote.add_argument("run_id", nargs="?", metavar="RUN_ID")
    promote.add_argument("--threshold", type=float, help="score level to trade at; default the run's best")
    promote.add_argument("--best", action="store_true", help="the best run of --sweep")
    promote.add_argument("--sweep", metavar="SWEEP", help="id of a sweep")
    promote.add_argument("--rollback", action="store_true", help="back to the champion before")
    promote.add_argument("--show", action="store_true", help="what is in service, and the history")
    return parser


def _command(commands: Any, name: str, short: str, long: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=long or f"{short[0].upper()}{short[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lake", metavar="DIR", help=LAKE_HELP)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(command=name)
    return parser
