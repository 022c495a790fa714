"""The door of serve: arguments in, one call, a table or a line out; errors become exit codes here only."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from engine.door import ADDRESS_HELP, Command, Door, add_lake
from engine.ray_environment import default_address
from serve.query import PERM_FIELDS, QUERY_NAMES
from serve.settings import DEFAULT_HOST, DEFAULT_PORT, TOKEN_ENV
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
    parser.add_argument("--source", default="replay", choices=("replay",), help="where events come from")
    add_lake(parser)
    parser.add_argument("--replicas", type=int, default=1, help="processes that serve streams; default 1")
    parser.add_argument("--address", default=default_address(), help=ADDRESS_HELP)
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="origin of another web page that may connect"
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
    perm = parser.add_argument_group("the instrument's own signal, which scores while no champion is promoted")
    for name in PERM_FIELDS:
        perm.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="X", help=f"instead of {name} of the instrument file")


def _status(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _tail(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    parser.add_argument("--bins", type=int, metavar="N", help="end after N bins; default at the end of the data")
    for name in QUERY_NAMES:
        if name != "token":
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="X", help="passed to the stream")


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help=f"the service; default http://{DEFAULT_HOST}:{DEFAULT_PORT}")
    parser.add_argument("--port", type=int, help="the service's port on this machine, instead of --url")


COMMANDS: Final[Mapping[str, Command]] = {
    "status": Command(
        "how it is doing", "serve.commands:status", "How the service is doing; exit code 1 when it is not well.", _status
    ),
    "tail": Command(
        "its stream, a line per bin",
        "serve.commands:follow",
        "The stream, a line per bin; checks the frames' order as it goes.",
        _tail,
    ),
}
DOOR: Final = Door(
    "Serve one instrument's bins and its signal's scores on Ray Serve; Ctrl-C ends it.",
    COMMANDS,
    bare=Command("page, API and stream; Ctrl-C ends it", "serve.commands:run", arguments=_run),
    allow_abbrev=False,
)


def main(argv: Sequence[str] | None = None, prog: str = "python -m serve") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    return DOOR.main(sys.argv[1:] if argv is None else argv, prog)
