"""`demo`: from nothing to a leaderboard, a champion and a live page, by the commands a user types.

Each step is a process of its own: the engine knows neither `tune` nor `serve`.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from engine.door import INTERRUPTED, add_lake
from engine.errors import WorkError
from engine.lake import Lake

SWEEP: Final = "demo_planted_edge"
DAY: Final = "2026-02-06"  # the smoke sweep's; simulated with a planted edge where it is missing
START_TIME: Final = "09:05"
GATE_REFUSED: Final = 3  # exit code of a promotion
_NONE_PASSED: Final = (
    "nothing passed the gate, so nothing was promoted: what served before goes on, at first the instrument's own signal"
)
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Step:
    """One command of the demo: what is said before it, and its words after ``python``."""

    title: str
    words: Sequence[str]
    passes_over: Mapping[int, str] = field(default_factory=dict)  # exit codes that do not end the demo, and what is said then


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--dt", default=DAY, metavar="YYYY-MM-DD", help=f"day that is served (default {DAY}, which is simulated)")
    parser.add_argument("--start-time", default=START_TIME, metavar="HH:MM", help=f"New York time (default {START_TIME})")
    parser.add_argument("--port", type=int, metavar="N", help="port of the page (default 8002)")
    parser.add_argument(
        "--live",
        action="store_true",
        help="as a live market: a gateway of ours plays the day to a recorder that is served",
    )
    add_lake(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code: that of the first step that failed, or of the service once Ctrl-C has ended it."""
    lake = Lake.open(args.lake)
    todo = steps(lake, args.dt, args.start_time, args.port)
    if not args.live:
        return run_steps(todo)
    code = run_steps(todo[:-1])
    return code if code else serve_live(lake, args.dt, args.port)


def serve_live(lake: Lake, dt: str, port: int | None) -> int:
    """Play a day of the lake to a live service until Ctrl-C; the exit code.

    The gateway is the loopback stand-in for the vendor. Its key is made on the spot, in a file that goes with it.

    Raises
    ------
    WorkError
        The gateway does not start.
    """
    where = ["--lake", str(lake.root)]
    with tempfile.TemporaryDirectory(prefix="spymaster-demo-") as folder:
        key = Path(folder) / "key"
        words = [sys.executable, "-m", "engine", "gateway", "--dt", dt, "--key-file", str(key), "--json", *where]
        # A session of its own: a Ctrl-C is for the service first, which is still to say goodbye.
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as gateway:
            try:
                line = gateway.stdout.readline() if gateway.stdout else ""
                if not line:
                    raise WorkError("the gateway did not start; see its line above")
                told = json.loads(line)
                source = ["--source", "live", "--gateway", f"{told['live_host']}:{told['live_port']}", "--key-file", str(key)]
                serve = ["-m", "serve", *source, *where, *([] if port is None else ["--port", str(port)])]
                title = "a live market: gateway, recorder, engine, stream, page; scored by the champion where there is one"
                return run_steps([Step(title, serve)])
            finally:
                gateway.terminate()


def steps(lake: Lake, dt: str, start_time: str, port: int | None) -> list[Step]:
    """The demo's commands over a lake, in their order; ``port`` None leaves the service its own."""
    where = ["--lake", str(lake.root)]
    serve = ["-m", "serve", "--dt", dt, "--start-time", start_time, *where]
    promote = ["-m", "tune", "promote", "--best", "--sweep", SWEEP, *where]
    return [
        Step(f"a sweep over a simulated session with a planted edge, into {lake.root}", ["-m", "tune", "sweep", SWEEP, *where]),
        Step(
            "its best run becomes the champion, if one passes the gate: what it found was planted, and is no news of a market",
            promote,
            {GATE_REFUSED: _NONE_PASSED},
        ),
        Step("a stream, scored by the champion where there is one", serve if port is None else [*serve, "--port", str(port)]),
    ]


def run_steps(todo: Sequence[Step]) -> int:
    """Run Python commands one after the other, until one does not end well; a Ctrl-C ends the running one.

    Returns
    -------
    int
        Exit code of the last command that ran, 130 where a Ctrl-C came before the last one ended well.

    Raises
    ------
    WorkError
        A command was killed.
    """
    turn = _Turn()
    before = {number: signal.signal(number, turn.end) for number in _ENDS}
    try:
        for number, step in enumerate(todo, start=1):
            print(f"[{number}/{len(todo)}] {step.title}", flush=True)
            code = turn.run(step.words)
            if code < 0 and not turn.is_ended:
                raise WorkError(f"step {number}, python {' '.join(step.words)}, was killed by signal {-code}; run the demo again")
            goes_on = code == 0 or code in step.passes_over
            if turn.is_ended and (code < 0 or (goes_on and number < len(todo))):
                return INTERRUPTED
            if code in step.passes_over:
                print(step.passes_over[code], flush=True)
            elif code != 0:
                return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


class _Turn:
    """The command that runs now; whatever asks this process to end asks that command instead, as a Ctrl-C would."""

    def __init__(self) -> None:
        self.is_ended = False
        self._command: subprocess.Popen[bytes] | None = None

    def run(self, words: Sequence[str]) -> int:
        """Run one command to its end; its exit code, negative where a signal killed it."""
        # A group of its own: a terminal's Ctrl-C goes to the whole group in front, and the command would get it twice.
        self._command = subprocess.Popen([sys.executable, *words], process_group=0)
        if self.is_ended:  # asked between two commands
            self._command.send_signal(signal.SIGINT)
        code = self._command.wait()
        self._command = None
        return code

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.is_ended = True
        if self._command is not None:
            self._command.send_signal(signal.SIGINT)
