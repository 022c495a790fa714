"""The door of tune: arguments in, one call, a table or a line out; errors become exit codes here only."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from engine.door import ADDRESS_HELP, Command, Door, add_lake, read_path

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

Runs are ranked out of sample and net of costs: each part of a session trades the threshold that the parts before it chose.
"""
SWEEP_HELP: Final = """\
Run every point of a sweep file, in parallel, on Ray Tune. Without a file: a small sweep on a simulated session.

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
JUDGE_HELP: Final = """\
Judge a score series of your own as a sweep judges a signal: the same rules, costs, out-of-sample folds and luck. It is counted
in the same trial ledger and kept as a run, which `compare` shows as series:NAME. The same scores under the same rules are the
same run, counted once. Without --threshold the levels are percentiles of the first 3000 bins' scores, which are then not judged.

Nothing here can see whether scores from outside look ahead, so such a run cannot be promoted.
"""
REPORT_HELP: Final = """\
Write one page about a sweep that needs nothing beside itself: what the judge says, the leaderboard, luck, which parameters
matter, results over time, and what it was all made from. It loads nothing from anywhere and runs no script, so it may be sent
as a file. A sweep that still runs, or was stopped, is told as far as it came.
"""
TRADES_HELP: Final = """\
The trades behind a run's figures: its signal is scored again over its dataset and walked by the judge's kernels, and must come to
what the run's row says. A run whose signal has changed since, whose scores came from outside or whose session is sealed has none.
"""
PROMOTE_HELP: Final = """\
Make a run the champion: an immutable version in lake/models, registered in MLflow, and the pointer that every serving replica
watches is moved to it. The alias `champion` in the MLflow registry follows the pointer; the pointer is the truth.

A gate stands before it: out-of-sample lower bound above 0 (over all sessions of the candidate together), deflated Sharpe
ratio and max-t test passed, strict rules, at least 30 trades out of sample and min_signals in all, a trial that the ledger
has counted, and the instrument that this environment serves. With --best the first run of the leaderboard that passes is
taken. --force with --because "WHY" promotes all the same: the reason and what failed are kept in the version and shown in
/health and on the page.

Exit code: 0 promoted, 1 MLflow failed, 2 bad input, 3 the gate refused and nothing was changed.

With --none the pointer says that no champion serves: the instrument's own signal does, with its perm_* values.
"""


SESSIONS_HELP: Final = "also each session of every row; --json always has them"
SEAL_HELP: Final = """\
Hold sessions out: no sweep, score, judge, simulation or campaign reads them from then on, nor any dataset that shares a
minute of their records, whatever it is called. A seal is never taken away. What was tried on them before is counted and told:
only a session on which nothing was tried is unseen. With --show: the sealed sessions, and every look that was made at them.

python -m serve plays a day with a sealed session only with --sealed-ok: what one watches, one has seen.
"""
UNSEAL_HELP: Final = """\
Try the candidate of a run (its signal, parameters, rules and threshold, nothing else) on the sealed sessions; print what it
came to. A candidate has one look at a session; a second one is refused with what the first one showed. Each look is a trial
in the ledger.
"""
LEDGER_HELP: Final = """\
Write everything that was ever tried, sealed and looked at in this lake into one file, or add such a file to this lake. Adding
merges: nothing is lost or changed by it, and the same file again adds nothing. Take it along wherever a lake's data go.
"""


def _common(parser: argparse.ArgumentParser) -> None:
    add_lake(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _sweep(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument(
        "config",
        type=read_path,
        nargs="?",
        metavar="CONFIG.yaml",
        help="a file, or the name of one in the lake or shipped; default: the smoke sweep",
    )
    parser.add_argument("--address", help=ADDRESS_HELP)
    _signals(parser)
    parser.add_argument("--resume", metavar="SWEEP", help="go on with the sweep of this id")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N points")
    parser.add_argument("--sessions", action="store_true", help=SESSIONS_HELP)


def _compare(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--signal", help="only this signal")
    parser.add_argument("--dataset", help="only this dataset")
    parser.add_argument("--min-signals", type=int, default=5, help="trades a row needs to count (default 5)")
    parser.add_argument("--top", type=int, default=20, help="runs shown (default 20)")
    parser.add_argument(
        "--all", action="store_true", help="also runs under looser rules: the reference form, no fee, no delay, lookahead"
    )
    parser.add_argument("--sessions", action="store_true", help=SESSIONS_HELP)
    parser.add_argument("--sort", choices=SORTS, default=SORTS[0], help=f"what is best (default {SORTS[0]})")
    parser.add_argument("--sweep", metavar="SWEEP", help="only the points of this sweep, whichever sweep scored them first")
    parser.add_argument("--each-threshold", action="store_true", help="a row for each threshold of a run, not its best alone")
    parser.add_argument("--arrow", type=read_path, metavar="FILE", help="write it as an Arrow IPC stream and print nothing")


def _signals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signals",
        type=read_path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="a file with signals of your own, known beside the built-in ones; may be given again",
    )


def _list_signals(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    _signals(parser)


def _one_signal(parser: argparse.ArgumentParser, *, or_champion: bool = False) -> None:
    _common(parser)
    _signals(parser)
    parser.add_argument("--signal", required=not or_champion)
    parser.add_argument("--dataset-id", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the signal")


def _score(parser: argparse.ArgumentParser) -> None:
    _one_signal(parser, or_champion=True)
    parser.add_argument(
        "--champion",
        type=int,
        metavar="VERSION",
        help="instead of --signal: a version's signal and parameters, begun with the fitted state that it carries; what a stream "
        "of that session scores",
    )
    parser.add_argument(
        "--out", type=read_path, required=True, metavar="FILE.parquet", help="bin_seq, score, ready; metadata inside"
    )


def _judge(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument(
        "--scores", type=read_path, required=True, metavar="FILE.parquet", help="bin_seq, score, and perhaps ready"
    )
    parser.add_argument("--dataset-id", required=True)
    parser.add_argument("--name", help="what it is called on the leaderboard (default the file's name)")
    parser.add_argument("--column", default="score", help="name of the scores in the file (default score)")
    parser.add_argument("--threshold", type=float, action="append", metavar="T", help="level to trade at; may stand again")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a rule: tp_ticks, sl_ticks, cooldown_bins and so on"
    )


def _report(parser: argparse.ArgumentParser) -> None:
    add_lake(parser)
    parser.add_argument("sweep", metavar="SWEEP", help="id of a sweep, or the name of its file: the latest of that name")
    parser.add_argument("--out", type=read_path, metavar="FILE.html", help="default: report.html beside the sweep's state")
    parser.add_argument("--open", action="store_true", help="also show it in the browser")


def _trades(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("--threshold", type=float, help="score level to trade at; default the run's best in sample")
    _signals(parser)
    parser.add_argument("--built-in-only", action="store_true", help="run no code of a signal that is not built in")
    parser.add_argument("--arrow", type=read_path, metavar="FILE", help="write them as an Arrow IPC stream and print nothing")


def _online_sim(parser: argparse.ArgumentParser) -> None:
    _one_signal(parser)
    parser.add_argument("--bin-budget-ms", type=float, default=100.0, metavar="MS", help="time a bin may take (default 100)")


def _promote(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("run_id", nargs="?", metavar="RUN_ID")
    parser.add_argument("--threshold", type=float, help="score level to trade at; default the run's best")
    parser.add_argument("--best", action="store_true", help="the best run of --sweep")
    parser.add_argument("--sweep", metavar="SWEEP", help="id of a sweep")
    _signals(parser)
    parser.add_argument("--force", action="store_true", help="whatever the gate finds; needs --because")
    parser.add_argument("--because", metavar="WHY", help="the reason, kept with the version and shown; needs --force")
    parser.add_argument("--rollback", action="store_true", help="back to what served before")
    parser.add_argument("--none", action="store_true", help="back to the instrument's own signal; --rollback undoes it")
    parser.add_argument("--show", action="store_true", help="what is in service, and the history")


def _seal(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("dataset_ids", nargs="*", metavar="DATASET", help="ids of datasets to hold out")
    parser.add_argument("--show", action="store_true", help="what is sealed, and the looks at it")


def _unseal(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("--threshold", type=float, help="score level to trade at; default the run's best")
    parser.add_argument("--dataset", action="append", default=[], metavar="ID", help="a sealed one; may stand again; default all")
    _signals(parser)


def _ledger(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("action", choices=("export", "import"))
    parser.add_argument("file", type=read_path, metavar="FILE", help="a .zip")


COMMANDS: Final[Mapping[str, Command]] = {
    "sweep": Command("run a sweep on Ray and show its leaderboard", "tune.commands:sweep", SWEEP_HELP, _sweep),
    "list-signals": Command("the signals and their parameters", "tune.commands:list_signals", arguments=_list_signals),
    "list-datasets": Command("the datasets of the lake", "tune.commands:list_lake_datasets", arguments=_common),
    "compare": Command("the leaderboard over all sweeps", "tune.board_commands:compare", arguments=_compare),
    "report": Command("a sweep as one page to show", "tune.report.command:report", REPORT_HELP, _report),
    "trades": Command("the trades of a run, one by one", "tune.board_commands:trades", TRADES_HELP, _trades),
    "score": Command("a signal's series over a dataset, as a parquet file", "tune.score_command:score", arguments=_score),
    "judge": Command("a score series of your own before the same judge", "tune.commands:judge", JUDGE_HELP, _judge),
    "online-sim": Command(
        "one signal bin by bin, timed, equal to the batch", "tune.commands:online_sim", ONLINE_HELP, _online_sim
    ),
    "promote": Command("make a run the champion; roll back; none; show", "tune.commands:promote", PROMOTE_HELP, _promote),
    "seal": Command("hold sessions out of everything", "tune.record_commands:seal", SEAL_HELP, _seal),
    "unseal": Command("one counted look of a run's candidate at them", "tune.record_commands:unseal", UNSEAL_HELP, _unseal),
    "ledger": Command("the trial ledger as a file: export, import", "tune.record_commands:ledger", LEDGER_HELP, _ledger),
}
DOOR: Final = Door(DESCRIPTION, COMMANDS)


def main(argv: Sequence[str] | None = None, prog: str = "python -m tune") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    return DOOR.main(sys.argv[1:] if argv is None else argv, prog)
