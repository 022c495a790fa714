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
    "datasets": Command("what the lake holds", "engine.commands.datasets"),
    "demo": Command("from nothing to a leaderboard, a champion and a live page", "engine.commands.demo"),
    "bench": Command("how fast this machine is at it", "engine.commands.bench"),
}


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    arguments = sys.argv[1:] if argv is None else argv

    def call() -> int:
        args = parse(prog, DESCRIPTION, COMMANDS, arguments)
        return int(args.run(args))

    return run_door(prog, call)
