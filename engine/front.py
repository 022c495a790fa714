"""``spymaster``: one door over the doors of engine, tune and serve. It names them and imports one when it is asked for.

A command that a door gets is here without a word: its line is the door's own, and its place is beside the others of its door.
"""

import argparse
import difflib
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from engine.door import Command, Door, OneLineParser, read_path, run_door, version
from engine.errors import ConfigError

PROG: Final = "spymaster"
COLUMNS: Final = 80
SHELLS: Final = ("bash", "zsh", "fish")
FILES: Final = ("sweep", "campaign", "instrument")
COMPLETION_HELP: Final = """\
Print a script that teaches a shell the commands, their options and choices, and where a file or a folder is meant.

  bash   source <(spymaster completion bash)          in ~/.bashrc
  zsh    eval "$(spymaster completion zsh)"           in ~/.zshrc, after compinit
  fish   spymaster completion fish | source           in ~/.config/fish/config.fish
"""
SCHEMA_HELP: Final = """\
Print the JSON Schema (Draft 2020-12) of a sweep, campaign or instrument file. An editor with yaml-language-server checks a YAML
file as you type, and offers its keys, when the file begins with the line that --header prints:

  spymaster schema sweep --out sweep.schema.json --header

With --out the schema goes into that file, and --header names it by its whole path. Without --out nothing is written, and
--header names a sweep.schema.json that lies beside the YAML file.
"""


@dataclass(frozen=True)
class Mount:
    """One door of the three: the module whose ``DOOR`` is meant, and where its commands stand here.

    With a ``word`` they stand behind it (``spymaster serve tail``), and the word alone is what the door does without a command.
    """

    module: str
    group: str
    word: str = ""

    @property
    def door(self) -> Door:
        """Its commands."""
        door: Door = import_module(self.module).DOOR
        return door

    def names(self) -> Iterator[tuple[str, Command]]:
        """Every command as it is typed after ``spymaster``."""
        door = self.door
        if self.word and door.bare is not None:
            yield self.word, door.bare
        for name, command in door.commands.items():
            yield f"{self.word} {name}".lstrip(), command


MOUNTS: Final = (
    Mount("engine.cli", "data"),
    Mount("tune.cli", "research"),
    Mount("serve.cli", "live", word="serve"),
    Mount("engine.front", "more"),
)
# What the help of a screen's height shows with a line each, group by group; the rest of a door's commands it only names.
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "begin": ("demo",),
    "data": ("simulate", "replay", "campaign", "check", "check-signal", "datasets"),
    "research": ("list-signals", "sweep", "compare", "score", "judge", "promote"),
    "live": ("serve", "serve status", "serve tail"),
    "more": ("help", "schema", "completion"),
}


def main(argv: Sequence[str] | None = None, prog: str = PROG) -> int:
    """Run one command of any door; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_door(prog, lambda: _call(arguments, prog))


def _call(arguments: Sequence[str], prog: str) -> int:
    if not arguments:
        raise ConfigError(f"no command was given; {prog} --help lists them, {prog} help COMMAND says what one takes")
    word = arguments[0]
    if word in ("-h", "--help"):
        print(overview(groups()))
        return 0
    if word == "--version":
        print(f"{PROG} {version()}")
        return 0
    if word.startswith("-"):
        raise ConfigError(f"unknown option {word}; a command comes first, or one of --help and --version; see {prog} --help")
    mount = find_mount(word, prog)
    if mount.word:
        return mount.door.main(arguments[1:], f"{prog} {mount.word}")
    return mount.door.main(arguments, prog)


def find_mount(word: str, prog: str = PROG) -> Mount:
    """The door that knows a command.

    Raises
    ------
    ConfigError
        None does; the line names those that are written nearly so.
    """
    for mount in MOUNTS:
        if mount.word == word or (not mount.word and word in mount.door.commands):
            return mount
    known = {name.split(" ")[-1]: name for name in commands()}
    begun = [name for last, name in known.items() if last.startswith(word)]
    near = begun or [known[name] for name in difflib.get_close_matches(word, known, n=3)]
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"unknown command {word!r}; {guess}{prog} --help lists them all")


def commands() -> dict[str, Command]:
    """Every command of every door by what is typed for it."""
    return {name: command for mount in MOUNTS for name, command in mount.names()}


def groups() -> dict[str, dict[str, Command]]:
    """The commands by group: first those that are shown with a line each, in that order, then the rest of the group's door."""
    known = commands()
    found: dict[str, dict[str, Command]] = {group: {} for group in SHOWN}
    placed = {name: group for group, names in SHOWN.items() for name in names if name in known}
    for name, group in placed.items():
        found[group][name] = known[name]
    for mount in MOUNTS:
        found[mount.group] |= {name: command for name, command in mount.names() if name not in placed}
    return {group: members for group, members in found.items() if members}


def overview(found: Mapping[str, Mapping[str, Command]]) -> str:
    """The help that fits a screen of 80 columns and 24 lines, of commands by group."""
    width = max(len(name) for names in SHOWN.values() for name in names)
    indent = max(len(group) for group in found) + 2
    lines = [f"usage: {PROG} COMMAND ...    more: {PROG} help COMMAND or GROUP; --version", ""]
    for group, members in found.items():
        label = group
        rest = []
        for name, command in members.items():
            if name in SHOWN[group]:
                lines.append(f"{label:{indent}}{name:{width}}  {command.help}")
                label = ""
            else:
                rest.append(name)
        if rest:
            named = textwrap.shorten(", ".join(rest), COLUMNS - indent - len("also: "), placeholder=" …", break_on_hyphens=False)
            lines.append(f"{label:{indent}}also: {named}")
    return "\n".join(lines)


def group_help(group: str) -> str:
    """All commands of a group, a line each."""
    members = groups()[group]
    width = max(len(name) for name in members)
    return "\n".join([f"{PROG}, {group}:", "", *(f"  {name:{width}}  {one.help}" for name, one in members.items())])


def help_command(args: argparse.Namespace) -> int:
    """``spymaster help [COMMAND | GROUP]``."""
    if len(args.words) == 1 and args.words[0] in groups():
        print(group_help(args.words[0]))
        return 0
    return _call([*args.words, "--help"], PROG)


def completion_command(args: argparse.Namespace) -> int:
    """``spymaster completion SHELL``."""
    from engine.commands.completion import script  # here, since shtab is needed by nothing else

    print(script(whole_parser(), args.shell))
    return 0


def whole_parser() -> OneLineParser:
    """One parser of all that may be typed, for a shell to complete; nothing is parsed with it."""
    parser = OneLineParser(prog=PROG)
    parser.add_argument("--version", action="version", version="", help="the version")
    chosen = parser.add_subparsers(metavar="COMMAND")
    for mount in MOUNTS:
        door = mount.door
        if mount.word:
            door.fill(chosen.add_parser(mount.word, help=door.bare.help if door.bare else door.description))
        else:
            door.add_commands(chosen, door.commands)
    for action in chosen.choices["help"]._actions:
        if action.dest == "words":
            action.choices = list(dict.fromkeys([*chosen.choices, *groups()]))
    return parser


def _help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="COMMAND", help=f"a command, or a group: {', '.join(SHOWN)}")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def _schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", choices=FILES)
    parser.add_argument("--out", type=read_path, metavar="FILE.json", help="write the schema there")
    parser.add_argument("--header", action="store_true", help="print the line with which an editor finds the schema")


DOOR: Final = Door(
    "The whole of Spymaster behind one word.",
    {
        "help": Command("what a command takes, or all of a group", "engine.front:help_command", arguments=_help),
        "schema": Command("JSON Schema of a YAML file, for editors", "engine.commands.schema", SCHEMA_HELP, _schema),
        "completion": Command(
            "completion for bash, zsh or fish", "engine.front:completion_command", COMPLETION_HELP, _completion
        ),
    },
)
