"""The door of the engine: arguments in, one call, a table or a line out; errors become exit codes here only."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from engine.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.progress import Progress

BAD_INPUT: Final = 2
FAILED: Final = 1

DESCRIPTION: Final = """\
Replay market-by-order data through the order book and the force field.

  simulate   write a believable session as a real DBN file
  replay     turn a DBN file into bins: a folder, or a dataset of the lake
  campaign   gold datasets: the variants of a file, built on Ray workers
  book       the order book at a moment of one or more files
  check      raw files and datasets of the lake: readable, whole, unchanged
  datasets   what the lake holds
  bench      how fast this machine is at it
"""


class OneLineParser(argparse.ArgumentParser):
    """Refuses in one line, like everything else."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into ours."""
        raise ConfigError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input."""
    try:
        args = build_parser().parse_args(argv)
        return int(args.run(args))
    except EngineError as error:
        print(f"python -m engine: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output has gone, as in `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        print(f"python -m engine: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = OneLineParser(prog="python -m engine", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    simulate = commands.add_parser("simulate", help="write a believable session as a real DBN file")
    simulate.add_argument("out", type=Path, metavar="OUT.dbn[.zst]")
    simulate.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    simulate.add_argument("--seconds", type=float, required=True, help="length of the session")
    simulate.add_argument("--rate", type=float, help="mean records per second (default 1000)")
    simulate.add_argument("--start", help="ISO time, New York without an offset (default 2026-02-06T09:00)")
    simulate.add_argument("--symbol", help="raw symbol (default MNQH6)")
    simulate.add_argument(
        "--days",
        type=int,
        default=1,
        help="a session on each of so many days, opened by a snapshot of the day before's last book; OUT holds the first date",
    )
    simulate.set_defaults(run=_simulate)

    replay = commands.add_parser("replay", help="turn a DBN file into bins")
    replay.add_argument("--dbn", type=Path, help="the file; default the lake's raw file of --dt")
    replay.add_argument("--dt", help="UTC day of the session, YYYY-MM-DD; default the day in the file's name")
    replay.add_argument("--start-time", help="New York time of the first bin, HH:MM[:SS]; default the first event")
    replay.add_argument("--bins", type=int, help="stop after so many bins")
    replay.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override an instrument field")
    replay.add_argument("--json", action="store_true", help="print the summary as JSON")
    replay.add_argument("--allow-cold", action="store_true", help="publish also what opens without a snapshot")
    target = replay.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="DIR", help="write to a new folder")
    target.add_argument("--publish", nargs="?", const="", metavar="DATASET_ID", help="publish into the lake")
    _add_lake(replay)
    replay.set_defaults(run=_replay)

    campaign = commands.add_parser(
        "campaign",
        help="gold datasets: the variants of a file, built on Ray workers",
        description="Build the datasets of a campaign that are missing. What is there stays; a killed run goes on where it was.",
    )
    campaign.add_argument("file", type=Path, metavar="CAMPAIGN.yaml", help="see lake/research/vp_harness/configs/gold_campaigns/")
    campaign.add_argument("--dry-run", action="store_true", help="show the variants and which are missing; build nothing")
    campaign.add_argument("--max-variants", type=int, metavar="N", help="only the first N variants")
    campaign.add_argument(
        "--address",
        help="'local' starts a Ray on this machine, 'auto' joins the running one, else a cluster's address; "
        "default: auto where RAY_ADDRESS is set, else local",
    )
    campaign.add_argument("--simulate", action="store_true", help="where the day's raw file is missing, simulate it first")
    campaign.add_argument("--allow-cold", action="store_true", help="build also from a file that opens without a snapshot")
    campaign.add_argument("--json", action="store_true")
    _add_lake(campaign)
    campaign.set_defaults(run=_campaign)

    book = commands.add_parser("book", help="the order book at a moment of one or more files")
    book.add_argument("files", type=Path, nargs="+", metavar="FILE", help="read one after the other")
    book.add_argument("--at", metavar="ISO", help="moment, UTC without an offset; default the end of the last file")
    book.add_argument("--depth", type=int, default=10, help="levels shown (default 10)")
    book.add_argument("--json", action="store_true")
    book.set_defaults(run=_book)

    check = commands.add_parser("check", help="raw files and datasets of the lake")
    check.add_argument("files", type=Path, nargs="*", metavar="FILE", help="raw files to check instead of the lake's")
    check.add_argument("--dt", help="only this day, YYYY-MM-DD")
    check.add_argument(
        "--continuity",
        action="store_true",
        help="compare the book at each file's end with the snapshot that opens the next day's: ids, prices, sizes, queues",
    )
    check.add_argument("--json", action="store_true")
    _add_lake(check)
    check.set_defaults(run=_check)

    datasets = commands.add_parser("datasets", help="what the lake holds")
    datasets.add_argument("--json", action="store_true")
    _add_lake(datasets)
    datasets.set_defaults(run=_datasets)

    bench = commands.add_parser("bench", help="how fast this machine is at it")
    bench.add_argument("--seconds", type=float, default=4200.0, help="length of the simulated session (default 4200)")
    bench.add_argument("--day", action="store_true", help="also 24 hours of 50 million records; minutes, and 3 GB of disk")
    bench.add_argument("--keep", metavar="DIR", type=Path, help="write the figures there, as dated JSON")
    bench.add_argument("--json", action="store_true")
    bench.set_defaults(run=_bench)
    return parser


def _add_lake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lake", metavar="DIR", help="data folder (default $SPYMASTER_LAKE, else lake/)")


def _print(values: Any) -> None:
    print(json.dumps(values, indent=1, default=str))


# Each command imports what it needs: `--help` must not wait for numba and pyarrow.


def _simulate(args: argparse.Namespace) -> int:
    from engine.progress import Progress
    from engine.simulate.session import simulate_days

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


def _share(progress: "Progress") -> "Callable[[float], None]":
    return lambda done: progress.update(done, "")


def _replay(args: argparse.Namespace) -> int:
    from engine.commands import replay_to_dataset
    from engine.lake import Lake

    summary = replay_to_dataset(
        Lake.open(args.lake),
        dbn=args.dbn,
        dt=args.dt,
        start_time=args.start_time,
        n_bins=args.bins,
        overrides=args.set,
        out=args.out,
        dataset_id=args.publish,
        allow_cold=args.allow_cold,
    )
    if args.json:
        _print(summary.to_json())
    else:
        for line in summary.lines():
            print(line)
    return 0


def _campaign(args: argparse.Namespace) -> int:
    from engine.campaign_command import campaign_command

    report = campaign_command(
        args.file,
        args.lake,
        dry_run=args.dry_run,
        limit=args.max_variants,
        address=args.address,
        allow_cold=args.allow_cold,
        simulate_missing=args.simulate,
    )
    if args.json:
        _print(report.to_json())
    else:
        from engine.tables import print_campaign

        print_campaign(report.to_json())
    return FAILED if report.failures else 0


def _book(args: argparse.Namespace) -> int:
    from engine.commands import book_at

    values = book_at(args.files, at=args.at, depth=args.depth)
    if args.json:
        _print(values)
        return 0
    from engine.tables import print_book

    print_book(values)
    return 0


def _check(args: argparse.Namespace) -> int:
    from engine.audit.lake import check_lake
    from engine.lake import Lake

    report = check_lake(Lake.open(args.lake), args.dt, args.files, args.continuity)
    if args.json:
        _print(report)
    else:
        from engine.tables import print_check

        print_check(report)
    return 0 if report["sound"] else FAILED


def _datasets(args: argparse.Namespace) -> int:
    from engine.dataset.read import list_datasets
    from engine.lake import Lake
    from engine.tables import dataset_row, print_datasets

    rows = [dataset_row(one) for one in list_datasets(Lake.open(args.lake))]
    if args.json:
        _print(rows)
    else:
        print_datasets(rows)
    return 0


def _bench(args: argparse.Namespace) -> int:
    from engine.bench.suite import bench, keep
    from engine.tables import print_bench

    result = bench(args.seconds, args.day, lambda text: print(text, file=sys.stderr))
    if args.keep is not None:
        keep(result, args.keep)
    if args.json:
        _print(result)
    else:
        print_bench(result)
    return 0
