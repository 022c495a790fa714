"""`completion`: a script for a shell, made from the parsers themselves."""

import argparse
from collections.abc import Iterator

import shtab

from engine.door import read_path


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """What the shell reads to complete commands, options and choices, and files where an option is a path.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of everything that may be typed. Its actions are marked on the way.
    shell : str
        One that `shtab` knows: bash, zsh, fish.
    """
    for action in _actions(parser):
        if action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is read_path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every action of a parser and of the parsers below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
