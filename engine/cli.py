"""The door of the engine: arguments in, one call, a table or a line out; errors become exit codes here only."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from engine.commands import arguments
from engine.door import Command, Door

COMMANDS: Final[Mapping[str, Command]] = {
    "simulate": Command(
        "write a believable session as a real DBN file", "engine.commands.simulate", arguments=arguments.simulate
    ),
    "replay": Command("a DBN file becomes bins: a folder, or a dataset", "engine.commands.replay", arguments=arguments.replay),
    "campaign": Command(
        "gold datasets: a file's variants, on Ray workers",
        "engine.commands.campaign",
        "Build the datasets of a campaign that are missing. What is there\nstays; a killed run goes on where it was.",
        arguments.campaign,
    ),
    "book": Command("the order book at a moment of one or more files", "engine.commands.book", arguments=arguments.book),
    "check": Command(
        "raw files and datasets: readable, whole, unchanged, true", "engine.commands.check", arguments=arguments.check
    ),
    "check-signal": Command(
        "the signal contract, run on a class of your own",
        "engine.commands.check_signal",
        "Run every check of the signal contract on a class and say in words\nwhat fails. Exit code: 0 the contract is kept, "
        "1 it is broken,\n2 the signal does not load.",
        arguments.check_signal,
    ),
    "check-realism": Command(
        "how like a real market a file behaves, figure by figure",
        "engine.commands.check_realism",
        "The realism card: volatility clustering, tails, reversal, depth, spread,\nqueue life, cancels and the memory of trades' "
        "signs, each beside the\nreal hour's and the band around it. Exit code: 0 all inside, 1 one is not.",
        arguments.check_realism,
    ),
    "download": Command(
        "the vendor's history into the lake: cost first, then files",
        "engine.commands.download",
        "Ask the vendor what a span of a product's front month costs, say it, and\nfetch it: streamed where it is small, as a "
        "batch job where it is large. What a\nkilled download has paid for is gone on with, not bought again.",
        arguments.download,
    ),
    "gateway": Command(
        "a loopback stand-in for the vendor, for tests and demos",
        "engine.commands.gateway",
        "Play DBN files over the vendor's two protocols on this machine only, with\nfaults on demand. It is no market: for tests "
        "and demonstrations. A fault is\nKIND@POINT[:key=value,…]: status@metadata.get_cost:code=429,times=2,\n"
        "cut@timeseries.get_range:after=4096, stall@live.records:after=1000. Kinds over\nHTTP: status, hold, mute, slow, cut, "
        "stall, end, garbage, work, expire; live:\nrefuse, stall, quiet, auth, late_start, aged_out, error, close, cut, reset,\n"
        "half_close, garbage, duplicate, swap, omit, slow_reader.",
        arguments.gateway,
    ),
    "rolls": Command(
        "propose when a product's front month changes; write it down",
        "engine.commands.rolls",
        "From the trade date of a roll on, from 18:00 in New York the evening before,\na product's root stands for its next "
        "contract: in downloads, replays,\ncampaigns and streams. --rule calendar is the exchange's convention for equity\n"
        "indices, --rule volume what was traded. Lines of the file that differ from the\nproposal are told and stay.",
        arguments.rolls,
    ),
    "audit-recording": Command(
        "a recorded day against the vendor's history of it",
        "engine.commands.audit_recording",
        "Compare what was recorded live with the vendor's file of the same day:\nrecord by record (omitted, doubled, added, "
        "swapped, altered), then bin by\nbin. A hole that the recording names and a correction of the vendor's are\nreasons; "
        "exit code 1 where a difference has none. A dated report is kept beside\nthe recording.",
        arguments.audit_recording,
    ),
    "record": Command(
        "a contract's live feed into the lake, and to whoever follows it",
        "engine.commands.record",
        "Record a contract's live feed: DBN files a day under lake/recordings, synced\nall the time, and a ring in shared memory "
        "for whoever follows it (`serve`).\nA lost connection is gone on with exactly, or the hole is named; so is a killed\n"
        "recorder. One recorder a contract and lake. Ctrl-C and SIGTERM end it well: the\n"
        "session is over then for all who follow.",
        arguments.record,
    ),
    "split": Command("a file of many contracts, cut by contract", "engine.commands.split", arguments=arguments.split),
    "datasets": Command("what the lake holds", "engine.commands.datasets", arguments=arguments.datasets),
    "demo": Command("from nothing to a leaderboard, a champion and a page", "engine.commands.demo"),
    "bench": Command("how fast this machine is at it", "engine.commands.bench", arguments=arguments.bench),
}
DOOR: Final = Door("Replay market-by-order data through the order book and the force field.", COMMANDS)


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine") -> int:
    """Run one command; the exit code: 0 well, 1 failed, 2 bad input, 130 stopped with Ctrl-C."""
    return DOOR.main(sys.argv[1:] if argv is None else argv, prog)
