"""Load on the service, from a process of its own, beside a bare uvicorn that sends the same frames in the same minutes.

    python -m tests.bench.serving steady [--clients 100] [--seconds 30]    lag, processors, memory, skipped bins, ratios
    python -m tests.bench.serving storm [--clients 100] [--bin 600]        all resume at one bin at once: time to the first frame
    python -m tests.bench.serving rush                                     one client at speed=0: bins a second, processor time
    python -m tests.bench.serving churn [--connects 2000]                  connect, read a bin, leave: memory and descriptors
    python -m tests.bench.serving fanout [--clients 1000] [--seconds 30]   our listener alone, without engine, beside the echo
    python -m tests.bench.serving soak [--hours 8] [--clients 100]         steady, with 1,000 reconnects an hour

The service runs without Ray in a process of its own, over a simulated session. ``--url http://127.0.0.1:8002 --pid PID`` loads
one that runs already (PID is its replica's). ``--private`` where every client has a session of its own. ``--json`` prints one
object. Client, service and echo share this machine's processors: with two of them a thousand clients leave little to spare, so
the ratios tell more than the milliseconds, and a neighbour that takes turns spoils both.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from serve.door import raise_descriptor_limit
from tests.bench.serving.modes import churn, fanout, rush, soak, steady, storm
from tests.bench.serving.session import Target, running, simulated

MODES = {"steady": steady, "storm": storm, "rush": rush, "churn": churn, "fanout": fanout, "soak": soak}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tests.bench.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--bin", type=int, default=600, help="where a storm resumes")
    parser.add_argument("--connects", type=int, default=2000)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--query", default="", help="added to the stream's address")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    if (args.url is None) != (args.pid is None):
        parser.error("--url needs --pid, and --pid needs --url")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run one mode and print its figures."""
    args = _arguments(argv)
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as folder:
        if args.url:
            target = running(args.url, args.pid, args.query)
            figures = asyncio.run(MODES[args.mode](target, args))
        else:
            lake = simulated(Path(folder), _session_s(args))
            with Target.started(lake, args.clients + 64, args.query) as target:
                figures = asyncio.run(MODES[args.mode](target, args))
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<28} {value}")
    return 0


def _session_s(args: argparse.Namespace) -> int:
    """How long a session must be for a mode, seconds."""
    longest = {
        "steady": args.seconds,
        "storm": args.bin / 10,
        "rush": 210.0,
        "churn": 0.1 * args.connects,
        "fanout": 0.0,
        "soak": args.hours * 3600,
    }
    return round(longest[args.mode]) + 90


if __name__ == "__main__":
    sys.exit(main())
