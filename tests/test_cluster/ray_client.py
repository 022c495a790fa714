"""The user's side of a cluster: `ray` commands on a terminal of their own, with time limits, and what they print."""

import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Final, Self

import yaml

REPO: Final = Path(__file__).resolve().parents[2]
COLUMNS: Final = 180
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class StepError(Exception):
    """A step of the run did not do what it should."""


class Client:
    """The user's side: `ray` commands with a home and temporary files of their own."""

    def __init__(self, folder: Path, cluster_file: Path) -> None:
        self.file = str(cluster_file)
        self._environment = (
            {"RAY_UP_enable_autoscaler_v2": "0"}
            | dict(os.environ)
            | {
                "HOME": str(folder),
                "TMPDIR": str(folder / "tmp"),
                "RAY_AUTH_MODE": "token",
                "RAY_USAGE_STATS_ENABLED": "0",
                "TERM": "dumb",  # no colours, and each line once
            }
        )

    @classmethod
    @contextmanager
    def open(cls, folder: Path, cluster_file: Path) -> Iterator[Self]:
        (folder / "tmp").mkdir(parents=True)
        try:
            yield cls(folder, cluster_file)
        finally:
            # Where Ray keeps its ssh connections, whatever TMPDIR says.
            name = yaml.safe_load(cluster_file.read_text(encoding="utf-8"))["cluster_name"]
            user, cluster = (hashlib.sha256(text.encode()).hexdigest()[:10] for text in (getuser(), name))
            connections = Path(f"/tmp/ray_ssh_{user}")
            shutil.rmtree(connections / cluster, ignore_errors=True)
            with suppress(OSError):  # another cluster's connections are in it
                connections.rmdir()

    def ray(
        self, arguments: list[str], timeout_s: float, *, shown: bool = True, may_fail: bool = False, **environment: str
    ) -> str:
        """Run `ray ...` at the top of the checkout, on a terminal of its own; returns what it printed."""
        if shown:
            print(f"\n$ ray {' '.join(a if ' ' not in a else repr(a) for a in arguments)}", flush=True)
        began = time.monotonic()
        with self.start(arguments, **environment) as running:
            printed = running.read(timeout_s, echo=shown)
            code = running.process.wait()
        if code and not may_fail:
            raise StepError(f"ray {arguments[0]} ended with {code}: {printed.strip()[-600:]}")
        if shown:
            print(f"  [{time.monotonic() - began:.1f} s, exit code {code}]", flush=True)
        return printed

    @contextmanager
    def start(self, arguments: list[str], **environment: str) -> "Iterator[Running]":
        """Begin `ray ...`; it and its children are ended with the context."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        line = [str(Path(sys.executable).parent / "ray"), *arguments]
        process = subprocess.Popen(
            line,
            cwd=REPO,
            env=self._environment | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Running(process, ours)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            os.close(ours)


@dataclass
class Running:
    """A command on a terminal."""

    process: subprocess.Popen[bytes]
    terminal: int

    def read(self, timeout_s: float, *, until: str | None = None, echo: bool = True) -> str:
        """What it prints until it ends, or until a text appears."""
        deadline = time.monotonic() + timeout_s
        printed = ""
        while until is None or until not in printed:
            left = deadline - time.monotonic()
            if left <= 0.0 or not select.select([self.terminal], [], [], left)[0]:
                raise StepError(f"it took longer than {timeout_s:.0f} s: {printed.strip()[-600:]}")
            try:
                block = os.read(self.terminal, 65536)
            except OSError:  # nobody holds the other end any more
                block = b""
            if not block:
                if until is not None:
                    raise StepError(f"it ended without saying {until!r}: {printed.strip()[-600:]}")
                break
            text = _CONTROL.sub("", block.decode(errors="replace")).replace("\r\n", "\n")
            printed += text
            if echo:
                print(text.replace("\n", "\n  "), end="", flush=True)
        return printed
