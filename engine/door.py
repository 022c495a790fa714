"""What every door shares: a parser that refuses in one line, exit codes, and the ladder from errors to them."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from importlib import import_module
from typing import Any, Final, NoReturn

from engine.errors import ConfigError, EngineError, WorkError

BAD_INPUT: Final = 2
FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT
LAKE_HELP: Final = "data folder (default $SPYMASTER_LAKE, else lake/)"
ADDRESS_HELP: Final = (
    "'local' starts a Ray on this machine, 'auto' joins the running one, else a cluster's address; "
    "default: auto where RAY_ADDRESS is set, else local"
)


class OneLineParser(argparse.ArgumentParser):
    """Refuses in one line, like everything else."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into ours."""
        raise ConfigError(f"{message}; see {self.prog} --help")


@dataclass(frozen=True)
class Command:
    """A command of a door: its line in the listing, and the module that holds ``add_arguments(parser)`` and ``run(args)``.

    The module is imported when the command is called, so that a listing waits for nothing.
    """

    help: str
    module: str
    description: str = ""


def parse(prog: str, description: str, commands: Mapping[str, Command], argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command; only that command's module is imported.

    Raises
    ------
    ConfigError
        The command or an argument is not known.
    """
    parser = OneLineParser(prog=prog, description=description, formatter_class=argparse.RawTextHelpFormatter)
    chosen = parser.add_subparsers(required=True, metavar="COMMAND")
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, command in commands.items():
        one = chosen.add_parser(name, help=command.help, description=command.description or _sentence(command.help))
        if name == wanted:
            module = import_module(command.module)
            module.add_arguments(one)
            one.set_defaults(run=module.run)
    return parser.parse_args(argv)


def run_door(prog: str, call: Callable[[], int]) -> int:
    """Run a command; the exit code: 0 well, 1 the work failed, 2 bad input, 130 stopped with Ctrl-C. Errors are one line."""
    try:
        return call()
    except WorkError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return FAILED
    except EngineError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        return INTERRUPTED


def add_lake(parser: argparse.ArgumentParser) -> None:
    """``--lake``, the same everywhere."""
    parser.add_argument("--lake", metavar="DIR", help=LAKE_HELP)


def default_address() -> str:
    """Which Ray is meant where none is named."""
    return "auto" if os.environ.get("RAY_ADDRESS") else "local"


def print_json(values: Any) -> None:
    """Machine-readable output."""
    print(json.dumps(values, indent=1, default=str))


def read_day(text: str, name: str = "--dt") -> date:
    """A UTC day given as ``YYYY-MM-DD``.

    Raises
    ------
    ConfigError
        It is not one; ``name`` says what was given.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or text != day.isoformat():  # the library takes weeks and basic forms too
        raise ConfigError(f"{name} was {text!r}; give a UTC day as YYYY-MM-DD, like 2026-02-06")
    return day


def read_clock(text: str, name: str = "start time") -> time:
    """A New York time of day given as ``HH:MM`` or ``HH:MM:SS``.

    Raises
    ------
    ConfigError
        It is not one; ``name`` says what was given.
    """
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        clock = None
    # The library takes more than these two forms, and more with each version: 0925, T09:25, 09:25Z, 24:00.
    if clock is None or clock.tzinfo is not None or text not in (clock.isoformat("minutes"), clock.isoformat("seconds")):
        raise ConfigError(f"{name} was {text!r}; give New York wall-clock time as HH:MM or HH:MM:SS, like 09:25")
    return clock


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
