"""What every door shares: a parser that refuses in one line, exit codes, and the ladder from errors to them."""

import argparse
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from engine.errors import ConfigError, EngineError, WorkError, no_room
from engine.lake import user_path

BAD_INPUT: Final = 2
FAILED: Final = 1
DISTRIBUTION: Final = "spymaster-orderflow"  # as pyproject.toml names it
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
    """A command of a door: its line in the listing, and where its function stands.

    ``module`` is ``"package.module"``, whose ``run`` is meant, or ``"package.module:function"``. It is imported when the command
    is called, so that a listing waits for nothing. ``arguments`` is given where importing that module takes long; else the module
    holds ``add_arguments(parser)`` beside ``run(args)``.
    """

    help: str
    module: str
    description: str = ""
    arguments: Callable[[argparse.ArgumentParser], None] | None = None

    def fill(self, parser: argparse.ArgumentParser) -> None:
        """Add what the command takes, and what is called with it."""
        module, _, function = self.module.partition(":")
        arguments = self.arguments or import_module(module).add_arguments
        arguments(parser)
        parser.set_defaults(run=lambda args: getattr(import_module(module), function or "run")(args))


@dataclass(frozen=True)
class Door:
    """A command line: its commands, and what it does where none is named (else a command must be named)."""

    description: str
    commands: Mapping[str, Command]
    bare: Command | None = None
    allow_abbrev: bool = True

    def main(self, argv: Sequence[str], prog: str) -> int:
        """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""

        def call() -> int:
            args = self.parse(argv, prog)
            return int(args.run(args))

        return run_door(prog, call)

    def parse(self, argv: Sequence[str], prog: str) -> argparse.Namespace:
        """The arguments of one command; only what that command needs is imported.

        Raises
        ------
        ConfigError
            The command or an argument is not known.
        """
        parser = OneLineParser(
            prog=prog, description=self.description, formatter_class=_help_formatter, allow_abbrev=self.allow_abbrev
        )
        wanted = next((word for word in argv if not word.startswith("-")), "")
        if self.bare is not None and (not argv or wanted != argv[0]):
            self.bare.fill(parser)
            parser.epilog = f"commands ({prog} COMMAND --help):\n" + self.listing()
        else:
            self.add_commands(parser.add_subparsers(required=True, metavar="COMMAND", title="commands"), [wanted])
        return parser.parse_args(argv)

    def fill(self, parser: argparse.ArgumentParser) -> None:
        """Give ``parser`` everything that the door takes, all its commands imported: what a shell completes."""
        if self.bare is not None:
            self.bare.fill(parser)
        self.add_commands(parser.add_subparsers(metavar="COMMAND", title="commands"), self.commands)

    def listing(self) -> str:
        """Its commands, a line each."""
        width = max(len(name) for name in self.commands)
        return "\n".join(f"  {name:{width}}  {command.help}" for name, command in self.commands.items())

    def add_commands(self, chosen: Any, wanted: Collection[str]) -> None:
        """Add the commands to what `argparse.ArgumentParser.add_subparsers` gave, those ``wanted`` with their arguments."""
        for name, command in self.commands.items():
            one = chosen.add_parser(
                name,
                help=command.help,
                description=command.description or _sentence(command.help),
                formatter_class=_help_formatter,
                allow_abbrev=self.allow_abbrev,
            )
            if name in wanted:
                command.fill(one)


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28)


def run_door(prog: str, call: Callable[[], int]) -> int:
    """Run a command; the exit code: 0 well, 1 the work failed, 2 bad input, 130 stopped with Ctrl-C. Errors are one line.

    What the output cannot show is shown as ``?`` (stdout) or as its number (stderr), and a reader who goes, as in ``| head``,
    changes nothing: the command runs on to its end, and its exit code is its own.
    """
    with _lasting_output():
        try:
            try:
                return call()
            finally:
                if sys.stdout is not None:  # as with `>&-`
                    sys.stdout.flush()  # here, where a full disk is one line
        except WorkError as error:
            print(f"{prog}: {error}", file=sys.stderr)
            return FAILED
        except EngineError as error:
            print(f"{prog}: {error}", file=sys.stderr)
            return BAD_INPUT
        except OSError as error:
            print(f"{prog}: {no_room(error) or error}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print(f"{prog}: stopped", file=sys.stderr)
            return INTERRUPTED


class _LastingPipe(io.FileIO):
    """A descriptor to write to whose reader may go: from then on it leads nowhere, for us and for the processes we start."""

    is_gone = False
    bears_all = False  # also a full disk: of stderr, whose failing could be told nowhere

    def write(self, data: Any, /) -> int:
        """Write to whoever still reads."""
        try:
            return super().write(data)
        except OSError as error:
            # What is buffered above must not fail once more when Python ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            self.is_gone = True
            if not (self.bears_all or isinstance(error, BrokenPipeError)):
                raise
            return memoryview(data).nbytes


def reader_has_gone(out: TextIO) -> bool:
    """Whether nobody reads any more what goes to a stream of a door; a command without an end may then end."""
    pipe = _raw(out)
    return isinstance(pipe, _LastingPipe) and pipe.is_gone


@contextmanager
def _lasting_output() -> Iterator[None]:
    """Put outputs in place of the standard ones that bear any letter and any reader."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _lasting(sys.stdout, "replace"), _lasting(sys.stderr, "backslashreplace", bears_all=True)
    try:
        yield
    finally:
        for ours in {sys.stdout, sys.stderr} - {*before}:
            ours.flush()
        sys.stdout, sys.stderr = before


def _lasting(stream: TextIO, errors: str, *, bears_all: bool = False) -> TextIO:
    raw = _raw(stream)
    if not isinstance(stream, io.TextIOWrapper) or type(raw) is not io.FileIO:
        return stream  # closed, a notebook's, a test's, or ours already
    stream.flush()
    pipe = _LastingPipe(stream.fileno(), "w", closefd=False)
    pipe.bears_all = bears_all
    is_buffered = stream.buffer is not raw  # else Python runs with -u
    return io.TextIOWrapper(
        io.BufferedWriter(pipe) if is_buffered else pipe,
        stream.encoding,
        errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _raw(stream: TextIO) -> Any:
    """What a text stream writes to in the end; None where that is not a descriptor."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def version() -> str:
    """The version of the installed distribution; ``unknown`` where these files were not installed."""
    from importlib.metadata import PackageNotFoundError, version  # here, since it takes as long as all the rest of a door

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def add_lake(parser: argparse.ArgumentParser) -> None:
    """``--lake``, the same everywhere."""
    parser.add_argument("--lake", metavar="DIR", help=LAKE_HELP)


def add_assume_symbol(parser: argparse.ArgumentParser) -> None:
    """``--assume-symbol``, the same everywhere."""
    parser.add_argument(
        "--assume-symbol",
        action="store_true",
        help="take a file of one instrument that nowhere says whose records it holds as the locked contract's",
    )


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


def read_path(text: str) -> Path:
    """A path as typed: shells read ``~`` at the start of a word only, so not in ``--out=~/x``.

    Raises
    ------
    argparse.ArgumentTypeError
        It names the home folder of nobody.
    """
    try:
        return user_path(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
