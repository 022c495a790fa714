"""The recorder that a live service needs: used where one runs, else started for it, looked after, and ended with it."""

import argparse
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine.door import read_day
from engine.errors import ConfigError, WorkError
from engine.feed.download.key import read_key
from engine.feed.record.recorder import is_recorded, read_state
from engine.lake import Lake

LIVE: Final = "live"
START_S: Final = 15.0  # for the first record, or a word on why none comes
_END_S: Final = 10.0
_LOOK_S: Final = 0.1
_WAITS_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0)  # before it is started again; the last one from then on
_STANDS_S: Final = 60.0  # one that ran for so long is started again at once
_STANDING: Final = ("live", "quiet", "closed")


@dataclass(frozen=True)
class Recording:
    """Whose records, where to, and where from: ``gateway`` as HOST:PORT, None for the vendor's own."""

    lake: Lake
    symbol: str
    key_file: Path | None = None
    gateway: str | None = None

    def command(self) -> list[str]:
        """The recorder's; the key is in none of its words."""
        words = [sys.executable, "-m", "engine", "record", self.symbol, "--lake", str(self.lake.root)]
        words += [] if self.gateway is None else ["--gateway", self.gateway]
        return words if self.key_file is None else [*words, "--key-file", str(self.key_file)]


def read_recording(options: argparse.Namespace, symbol: str, lake: Lake) -> Recording | None:
    """What a launch says of the live feed; None where it replays.

    Raises
    ------
    ConfigError
        It is live and names a day, has no key and no recorder that runs, or is not live and names a gateway or a key.
    """
    if options.source != LIVE:
        for flag, given in (("--gateway", options.gateway), ("--key-file", options.key_file)):
            if given is not None:
                raise ConfigError(f"{flag} was {given} without --source live, so changes nothing; give both, or neither")
        return None
    today = datetime.now(UTC).date()
    if options.dt is not None and read_day(options.dt) != today:
        raise ConfigError(
            f"--dt was {options.dt} beside --source live, which is the day under way; leave --dt out, or replay that day with "
            "--source replay"
        )
    if not is_recorded(lake, symbol):
        read_key(options.key_file)
        if options.detach:
            raise ConfigError(
                f"--detach was given and nobody records {symbol}; a recorder ends with who starts it, so start python -m engine "
                "record first"
            )
    if options.gateway is not None:
        host, _, port = options.gateway.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--gateway was {options.gateway!r}; give HOST:PORT, like 127.0.0.1:13000")
    return Recording(lake, symbol, options.key_file, options.gateway)


class RecorderProcess:
    """One recorder in a process of its own; one that falls is started again, for as long as this is wanted.

    It has a session of its own: a Ctrl-C of the terminal is ours to pass on. Where we are killed it goes on, and whoever starts
    next uses it.
    """

    def __init__(self, recording: Recording, say: Callable[[str], None] = lambda line: print(line, flush=True)) -> None:
        self._recording, self._say = recording, say
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="recorder", daemon=True)

    @property
    def pid(self) -> int | None:
        """Of the one that was started here; None where another is used."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start one where none runs, and wait until its feed stands.

        Raises
        ------
        WorkError
            It ended at once; what it said stands above.
        """
        recording = self._recording
        if is_recorded(recording.lake, recording.symbol):
            self._say(f"recorder       {recording.symbol} is being recorded already; that recorder is used, and goes on")
            return
        self._process = subprocess.Popen(recording.command(), stdin=subprocess.DEVNULL, start_new_session=True)
        self._say(f"recorder       process {self._process.pid} records {recording.symbol}")
        until_s = time.monotonic() + START_S
        while not self._stands() and time.monotonic() < until_s:
            if self._process.poll() is not None:
                raise WorkError(
                    f"the recorder of {recording.symbol} ended with code {self._process.returncode}; see its line above"
                )
            self._ending.wait(_LOOK_S)
        self._keeper.start()

    def _stands(self) -> bool:
        """Whether there are records, or it is known why none come."""
        state = read_state(self._recording.lake, self._recording.symbol)
        assert self._process is not None
        if state is None or state["pid"] != self._process.pid:
            return False
        return state["day"] is not None or state["feed"]["kind"] in _STANDING

    def _keep(self) -> None:
        n_falls = 0
        while (process := self._process) is not None:
            began_s = time.monotonic()
            code = process.wait()
            if self._ending.is_set():
                return
            n_falls = 0 if time.monotonic() - began_s > _STANDS_S else n_falls
            wait_s = _WAITS_S[min(n_falls, len(_WAITS_S) - 1)]
            n_falls += 1
            self._say(f"alarm: the recorder ended with code {code}; it is started again in {wait_s:g} s")
            if self._ending.wait(wait_s):
                return
            self._process = subprocess.Popen(self._recording.command(), stdin=subprocess.DEVNULL, start_new_session=True)

    def stop(self) -> None:
        """End the one that was started here, in good order."""
        self._ending.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._say(f"alarm: the recorder, process {process.pid}, did not end in {_END_S:g} s and was killed")
            process.kill()
            process.wait()
