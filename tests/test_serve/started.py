"""``python -m serve`` on a real Ray as a process group of its own: what it started, where it listens, that all of it ends."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.sync.client import connect

from engine.lake import Lake
from serve.settings import STREAM_PATH
from tests.conftest import REPO_ROOT

MARK = "SPYMASTER_TEST_MARK"
START_S = 180.0
END_S = 30.0
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def marked_processes(mark: str) -> list[int]:
    """Processes that carry our mark in their environment: what we started, and all it started."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to read
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def wait_for_end(pids: list[int], seconds: float) -> list[int]:
    """Those of the processes that still run after so long."""
    deadline = time.monotonic() + seconds
    left = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    left.append(pid)
            finally:
                os.close(handle)
    return left


def listening(pids: list[int]) -> list[tuple[str, int]]:
    """Addresses and ports on which the processes accept TCP connections."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(entry)
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    found = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # listening
                words, port = fields[1].split(":")
                raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
                found.append((socket.inet_ntop(family, raw), int(port, 16)))
    return found


def free_port() -> int:
    """A free port that the kernel gives to nobody by itself: Ray's processes open dozens of those meanwhile."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port below 32,000")


@dataclass
class Started:
    """``python -m serve`` as a process group of its own."""

    process: subprocess.Popen[str]
    port: int
    mark: str
    lines: list[str]
    ray_folder: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, **query: str) -> Any:
        url = f"ws://127.0.0.1:{self.port}{STREAM_PATH}?{urlencode(query)}"
        return connect(url, compression=None, max_size=None, close_timeout=1)


@contextlib.contextmanager
def starting(lake: Lake, **environment: str) -> Iterator[Started]:
    """The service under some more of the environment, once it says that it serves; killed with the block."""
    port = free_port()
    mark = f"{os.getpid()}-{port}"
    ray_folder = tempfile.mkdtemp(prefix="sm-", dir="/tmp")  # short: unix socket paths are limited
    environment = {**os.environ, MARK: mark, "RAY_TMPDIR": ray_folder, "PYTHONUNBUFFERED": "1", **environment}
    command = [sys.executable, "-m", "serve", "--lake", str(lake.root), "--port", str(port)]
    command += ["--perm-zscore-window-bins", "60", "--perm-zscore-min-periods", "20"]
    process = subprocess.Popen(
        command,
        cwd=REPO_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    ready = threading.Event()

    def read() -> None:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("serving "):
                ready.set()
        ready.set()  # it has ended: no use in waiting on

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(START_S), "\n".join(lines)
        assert any(line.startswith("serving ") for line in lines), "\n".join(lines)
        yield Started(process, port, mark, lines, Path(ray_folder))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        left = marked_processes(mark)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reader.join()
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(ray_folder, ignore_errors=True)
