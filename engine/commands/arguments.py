"""What each command takes: apart from the commands, whose imports take long, so that ``--help`` waits for nothing."""

import argparse

from engine.door import ADDRESS_HELP, add_assume_symbol, add_lake, read_path


def simulate(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.simulate`."""
    parser.add_argument("out", type=read_path, metavar="OUT.dbn[.zst]")
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    parser.add_argument("--seconds", type=float, required=True, help="length of the session")
    parser.add_argument("--rate", type=float, help="mean records per second (default 1000)")
    parser.add_argument("--start", help="ISO time, New York without an offset (default 2026-02-06T09:00)")
    parser.add_argument("--symbol", help="raw symbol (default MNQH6)")
    parser.add_argument(
        "--edge",
        metavar="SPEC",
        help="plant an edge: relation=imbalance|flow|pressure, size=TICKS, and of decay, every, lead (s) and where=always|"
        "first-half|second-half|regime:SECONDS what is wanted, with commas; its answer key goes into OUT.edge.json",
    )
    parser.add_argument(
        "--days",
        type=int,
        default=1,
        help="a session on each of so many days, opened by a snapshot of the day before's last book; OUT holds the first date",
    )


def replay(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.replay`."""
    parser.add_argument("--dbn", type=read_path, help="the file; default the lake's raw file of --dt")
    parser.add_argument("--dt", help="UTC day of the session, YYYY-MM-DD; default the day in the file's name")
    parser.add_argument("--start-time", help="New York time of the first bin, HH:MM[:SS]; default the first event")
    parser.add_argument("--bins", type=int, help="stop after so many bins")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override an instrument field")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--allow-cold", action="store_true", help="publish also what opens without a snapshot")
    add_assume_symbol(parser)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=read_path, metavar="DIR", help="write to a new folder")
    target.add_argument("--publish", nargs="?", const="", metavar="DATASET_ID", help="publish into the lake")
    add_lake(parser)


def campaign(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.campaign`."""
    parser.add_argument("file", type=read_path, metavar="CAMPAIGN.yaml", help="a file, or the name of one in the lake or shipped")
    parser.add_argument("--dry-run", action="store_true", help="show the variants and which are missing; build nothing")
    parser.add_argument("--max-variants", type=int, metavar="N", help="only the first N variants")
    parser.add_argument("--address", help=ADDRESS_HELP)
    parser.add_argument("--simulate", action="store_true", help="where the day's raw file is missing, simulate it first")
    parser.add_argument("--allow-cold", action="store_true", help="build also from a file that opens without a snapshot")
    add_assume_symbol(parser)
    parser.add_argument("--json", action="store_true")
    add_lake(parser)


def book(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.book`."""
    parser.add_argument("files", type=read_path, nargs="+", metavar="FILE", help="read one after the other")
    parser.add_argument("--at", metavar="ISO", help="moment, UTC without an offset; default the end of the last file")
    parser.add_argument("--depth", type=int, default=10, help="levels shown (default 10)")
    add_assume_symbol(parser)
    parser.add_argument("--json", action="store_true")


def check(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.check`."""
    parser.add_argument("files", type=read_path, nargs="*", metavar="FILE", help="raw files to check instead of the lake's")
    parser.add_argument("--dt", help="only this day, YYYY-MM-DD")
    parser.add_argument(
        "--continuity",
        action="store_true",
        help="compare the book at each file's end with the snapshot that opens the next day's: ids, prices, sizes, queues",
    )
    add_assume_symbol(parser)
    parser.add_argument("--json", action="store_true")
    add_lake(parser)


def check_realism(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.check_realism`."""
    parser.add_argument("files", type=read_path, nargs="+", metavar="FILE", help="of the locked instrument; each has its card")
    add_assume_symbol(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable, with the reason of each band")


def check_signal(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.check_signal`."""
    parser.add_argument("signal", metavar="FILE|module:Class", help="a file with signals in it, or a class that can be imported")
    parser.add_argument("--params", metavar="JSON", help="parameters to try it with, instead of the class's own test_params")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one of them")
    parser.add_argument("--json", action="store_true", help="machine-readable")


def datasets(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.datasets`."""
    parser.add_argument("--json", action="store_true")
    add_lake(parser)


def bench(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.bench`."""
    parser.add_argument("--seconds", type=float, default=4200.0, help="length of the simulated session (default 4200)")
    parser.add_argument("--day", action="store_true", help="also 24 hours of 50 million records; minutes, and 3 GB of disk")
    parser.add_argument("--keep", metavar="DIR", type=read_path, help="write the figures there, as dated JSON")
    parser.add_argument("--json", action="store_true")


def download(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.download`."""
    parser.add_argument(
        "--symbols", required=True, metavar="ROOT|CONTRACT", help="a product, whose front month is taken, or a contract"
    )
    parser.add_argument("--start", required=True, metavar="DAY", help="first UTC day, YYYY-MM-DD")
    parser.add_argument("--end", metavar="DAY", help="the UTC day behind the last one, YYYY-MM-DD; with --every what there is")
    parser.add_argument(
        "--every", metavar="SPAN", help="go on fetching what has come since: 1d, 12h, 30m; needs --yes and --max-usd"
    )
    parser.add_argument("--schema", choices=("mbo",), default="mbo", help="what the engine reads (default mbo)")
    parser.add_argument("--dataset", default="GLBX.MDP3", help="the vendor's name of the venue's data (default GLBX.MDP3)")
    parser.add_argument("--yes", action="store_true", help="pay without being asked")
    parser.add_argument("--max-usd", type=float, metavar="X", help="refuse what costs more")
    parser.add_argument(
        "--batch", choices=("auto", "always", "never"), default="auto", help="as a batch job (default: above 1 GB)"
    )
    parser.add_argument(
        "--key-file", type=read_path, metavar="FILE", help="the key, in a file of mode 600; default $DATABENTO_API_KEY"
    )
    parser.add_argument("--budget-s", type=float, default=3600.0, help="give up after so many seconds without any progress")
    parser.add_argument("--timeout-s", type=float, default=60.0, help="a connection that is silent for so long is dead")
    parser.add_argument("--gateway", metavar="URL", help="another service than the vendor's, such as `gateway`")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    add_lake(parser)


def record(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.record`."""
    parser.add_argument("symbol", metavar="SYMBOL", help="one contract, like MNQH6")
    parser.add_argument("--dataset", default="GLBX.MDP3", help="the vendor's name of the venue's data (default GLBX.MDP3)")
    parser.add_argument(
        "--key-file", type=read_path, metavar="FILE", help="the key, in a file of mode 600; default $DATABENTO_API_KEY"
    )
    parser.add_argument("--until", metavar="MOMENT", help="end once the feed is known up to this UTC moment, 2026-02-06T21:00")
    parser.add_argument("--gateway", metavar="HOST:PORT", help="another service than the vendor's, such as `gateway`")
    parser.add_argument("--speed", type=float, default=1.0, help="the --speed at which that gateway plays (default 1)")
    parser.add_argument("--heartbeat-s", type=float, default=5.0, help="asked of the vendor, who is dead after two (default 5)")
    parser.add_argument("--budget-s", type=float, default=60.0, help="without a connection until the alarm (default 60)")
    parser.add_argument("--segment-mb", type=int, default=64, help="size of a file, MiB (default 64)")
    parser.add_argument("--ring-mb", type=int, default=64, help="shared memory for those who follow, MiB (default 64)")
    parser.add_argument("--sync-ms", type=int, default=200, help="what a power cut may cost at most (default 200)")
    parser.add_argument("--json", action="store_true", help="the last line as JSON")
    add_lake(parser)


def split(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.split`."""
    parser.add_argument("file", type=read_path, metavar="FILE", help="an mbo file of the vendor's history, of many contracts")
    parser.add_argument("--out", type=read_path, metavar="DIR", help="where the parts go (default beside the file)")
    parser.add_argument("--json", action="store_true", help="machine-readable")


def gateway(parser: argparse.ArgumentParser) -> None:
    """Of `engine.commands.gateway`."""
    parser.add_argument("files", type=read_path, nargs="*", metavar="FILE", help="mbo files of the vendor's history to play")
    parser.add_argument("--dt", action="append", default=[], metavar="DAY", help="play the lake's file of a day")
    parser.add_argument("--symbol", metavar="ROOT", help="of this product (default the instrument's)")
    parser.add_argument("--http-port", type=int, default=0, help="of the historical API; 0 is any (default)")
    parser.add_argument("--live-port", type=int, default=0, help="of the live protocol; 0 is any (default)")
    parser.add_argument("--speed", type=float, default=1.0, help="times real time; 0 is as fast as the reader (default 1)")
    parser.add_argument("--key-file", type=read_path, metavar="FILE", help="the key that opens it; made where it is missing")
    parser.add_argument("--heartbeat-s", type=float, help="between heartbeats, whatever a client asks for")
    parser.add_argument(
        "--slow-after-s", type=float, default=1.0, help="a reader that keeps it waiting so long is slow (default 1)"
    )
    parser.add_argument("--usd-per-gb", type=float, default=1.8, help="what it says that data cost (default 1.8)")
    parser.add_argument("--job-polls", type=int, default=1, help="looks at a batch job until it is done (default 1)")
    parser.add_argument(
        "--close-at-end", action="store_true", help="end live sessions at the tape's end instead of falling quiet"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="SPEC", help="KIND@POINT[:key=value,…], see the description"
    )
    parser.add_argument("--json", action="store_true", help="say where it listens as one line of JSON")
    add_lake(parser)
