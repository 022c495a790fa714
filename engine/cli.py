"""The door of the engine: arguments in, one call, a table or a line out; errors become exit codes here only."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from engine.door import Command, parse, run_door

DESCRIPTION: Final = "Replay market-by-order data through the order book and the force field."
COMMANDS: Final[Mapping[str, Command]] = {
    "simulate": Command("write a believable session as a real DBN file", "engine.commands.simulate"),
    "replay": Command("turn a DBN file into bins: a folder, or a dataset of the lake", "engine.commands.replay"),
    "campaign": Command(
        "gold datasets: the variants of a file, built on Ray workers",
        "engine.commands.campaign",
        "Build the datasets of a campaign that are missing. What is there stays; a killed run goes on where it was.",
    ),
    "book": Command("the order book at a moment of one or more files", "engine.commands.book"),
    "check": Command("raw files and datasets of the lake: readable, whole, unchanged, true", "engine.commands.check"),
    "check-signal": Command(
        "the contract of a signal, run on your own: FILE or module:Class",
        "engine.commands.check_signal",
        "Run every check of the signal contract on a class and say in words what fails.\n"
        "Exit code: 0 the contract is kept, 1 it is broken, 2 the signal does not load.",
    ),
    "datasets": Command("what the lake holds", "engine.commands.datasets"),
    "bench": Command("how fast this machine is at it", "engine.commands.bench"),
}


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    arguments = sys.argv[1:] if argv is None else argv

    def call() -> int:
        args = parse(prog, DESCRIPTION, COMMANDS, arguments)
        return int(args.run(args))

    return run_door(prog, call)
