"""The door of serve: arguments in, one call, a table or a line out; errors become exit codes here only."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from engine.door import ADDRESS_HELP, Command, Door, add_assume_symbol, add_lake, read_path
from engine.ray_environment import default_address
from serve.query import PERM_FIELDS, QUERY_NAMES
from serve.settings import CHAMPION, DEFAULT_HOST, DEFAULT_PORT, LOG_FORMATS, LOG_LEVELS, TOKEN_ENV
from serve.trust import ALLOW_ENV


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--product-type", help="must be the instrument's own (default)")
    parser.add_argument("--symbol", help="must be the instrument's own (default)")
    parser.add_argument("--dt", metavar="YYYY-MM-DD", help="day of a stream that does not say; default the lake's last day")
    parser.add_argument(
        "--start-time", metavar="HH:MM", help="New York time of such a stream's first bin; default its first event"
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help=f"default {DEFAULT_HOST}; on another one {TOKEN_ENV} must be set")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}")
    parser.add_argument("--source", default="replay", choices=("replay", "live"), help="where events come from")
    _live(parser)
    parser.add_argument(
        "--sealed-ok", action="store_true", help="also play days with a sealed session: a look by eye, not counted"
    )
    add_assume_symbol(parser)
    add_lake(parser)
    parser.add_argument("--replicas", type=int, default=1, metavar="N", help="processes that serve streams; default 1")
    parser.add_argument("--max-replicas", type=int, metavar="N", help="more of them while there are more streams, up to N")
    parser.add_argument(
        "--streams-per-replica", type=int, metavar="N", help="with --max-replicas: streams that one is for; default 100"
    )
    parser.add_argument("--detach", action="store_true", help="serve on without this terminal; %(prog)s stop ends it")
    parser.add_argument("--address", default=default_address(), help=ADDRESS_HELP)
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="origin of another web page that may connect"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which the service may be asked for beside this machine's own; with a token any, unless one is named here",
    )
    foreign = parser.add_argument_group("champions whose signal is not built in; without these none is loaded")
    foreign.add_argument("--allow-signals", action="store_true", help="load whatever is promoted: its source runs here")
    foreign.add_argument(
        "--allow-signal",
        action="append",
        default=[],
        metavar="HASH",
        help=f"load the signal whose source has this SHA-256; may be given again; also {ALLOW_ENV}=HASH,HASH or all",
    )
    parser.add_argument("--log-level", default="INFO", choices=LOG_LEVELS, help="of the service's own log; default INFO")
    parser.add_argument(
        "--log-format", default="text", choices=LOG_FORMATS, help="lines to read, or an object of JSON a line; default text"
    )
    parser.add_argument(
        "--model",
        default=CHAMPION,
        metavar="instrument|champion|VERSION",
        help="what scores in a stream that does not say; default champion, and the instrument's own signal while there is none",
    )
    _projection(parser)
    _latency(parser)
    perm = parser.add_argument_group(
        "the instrument's own signal, which scores with --model instrument, or while there is no champion"
    )
    for name in PERM_FIELDS:
        perm.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="X", help=f"instead of {name} of the instrument file")


def _projection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how clients are to draw the score ahead; said in runtime_config, not computed here")
    group.add_argument("--projection-horizons-bins", metavar="N,N", help="instead of those of the instrument file")
    group.add_argument("--projection-use-cubic", action="store_true", help="add cubic_scale * s3 * h^3")
    group.add_argument("--projection-cubic-scale", metavar="X", help="default 1/6; with --projection-use-cubic")
    group.add_argument("--projection-damping-lambda", metavar="X", help="times exp(-X * h); default 0")


def _live(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "the live feed, with --source live: recorded by a process of its own, which is started where none runs"
    )
    group.add_argument("--key-file", type=read_path, metavar="FILE", help="holds the vendor's key; else DATABENTO_API_KEY")
    group.add_argument("--gateway", metavar="HOST:PORT", help="instead of the vendor's own, such as python -m engine gateway's")


def _latency(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how long a bin takes from its records to the socket")
    group.add_argument("--perf-latency-jsonl", type=read_path, metavar="FILE", help="append a line of JSON per bin sent")
    group.add_argument("--perf-window-start-et", metavar="HH:MM", help="only bins that end at this New York time or later")
    group.add_argument("--perf-window-end-et", metavar="HH:MM", help="only bins that end before it")
    group.add_argument("--perf-summary-every-bins", type=int, metavar="N", help="log quantiles every N bins; default 200")


def _status(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"of the service on this machine; default {DEFAULT_PORT}")


def _tail(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    parser.add_argument("--bins", type=int, metavar="N", help="end after N bins; default at the end of the data")
    for name in QUERY_NAMES:
        if name != "token":
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="X", help="passed to the stream")


def _model_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("when", metavar="DAY|ISO-TIME", help="YYYY-MM-DD, or a moment; without a zone New York's is meant")
    parser.add_argument("--symbol", help="default every symbol that has a record")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    add_lake(parser)


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help=f"the service; default http://{DEFAULT_HOST}:{DEFAULT_PORT}")
    parser.add_argument("--port", type=int, help="the service's port on this machine, instead of --url")


COMMANDS: Final[Mapping[str, Command]] = {
    "status": Command(
        "how it is doing", "serve.commands:status", "How the service is doing; exit code 1 when it is not well.", _status
    ),
    "stop": Command(
        "end the one on this machine",
        "serve.commands:stop",
        "Say goodbye to the clients of the service on a port of this machine, and end it.",
        _stop,
    ),
    "model-at": Command(
        "which model spoke at any bin",
        "serve.spoken:model_at",
        "Which model spoke at a moment, or on a day: from the chained record that every stream writes, each link of it checked.",
        _model_at,
    ),
    "tail": Command(
        "its stream, a line per bin",
        "serve.commands:follow",
        "The stream, a line per bin; checks the frames' order as it goes.",
        _tail,
    ),
}
DOOR: Final = Door(
    "Serve one instrument's bins and its signal's scores on Ray Serve; Ctrl-C or a hang-up ends it, unless --detach.",
    COMMANDS,
    bare=Command("page, API and stream; Ctrl-C ends it", "serve.commands:run", arguments=_run),
    allow_abbrev=False,
)


def main(argv: Sequence[str] | None = None, prog: str = "python -m serve") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    return DOOR.main(sys.argv[1:] if argv is None else argv, prog)
