"""The whole service on real Ray Serve, as a user starts and ends it."""

import contextlib
import json
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

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from engine.config import load_instrument
from engine.lake import Lake
from engine.run.replay import Replay
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal
from engine.source.records import open_source
from serve.cli import main
from serve.client import fetch_health
from serve.page import start_page
from serve.request import read_request
from serve.settings import PAGE_DIR, STREAM_PATH, StreamDefaults
from tests.conftest import REPO_ROOT
from tests.sessions import join
from tests.test_serve.conftest import Promote
from tests.test_serve.server import listen

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

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, **query: str) -> Any:
        url = f"ws://127.0.0.1:{self.port}{STREAM_PATH}?{urlencode(query)}"
        return connect(url, compression=None, max_size=None, close_timeout=1)


@pytest.fixture
def started(lake: Lake) -> Iterator[Started]:
    """The service, once it says that it serves."""
    port = free_port()
    mark = f"{os.getpid()}-{port}"
    ray_folder = tempfile.mkdtemp(prefix="sm-", dir="/tmp")  # short: unix socket paths are limited
    environment = os.environ | {MARK: mark, "RAY_TMPDIR": ray_folder, "PYTHONUNBUFFERED": "1"}
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
        yield Started(process, port, mark, lines)
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


def require_end_by_ctrl_c(started: Started) -> None:
    """Ctrl-C, as a terminal sends it: to the whole group. Clients are told, and nothing is left."""
    processes = marked_processes(started.mark)
    assert len(processes) > 5
    with started.connect() as connection:
        listen(connection, n_bins=2)
        os.killpg(started.process.pid, signal.SIGINT)
        said = []
        with contextlib.suppress(ConnectionClosed):
            said = [json.loads(frame) for frame in connection if isinstance(frame, str)]
        assert said[-1]["code"] == "going_away"
        assert connection.protocol.close_code == 1001
    assert started.process.wait(END_S) == 0, "\n".join(started.lines)
    assert wait_for_end(processes, END_S) == []
    assert marked_processes(started.mark) == []
    assert started.lines[-1] == "ended"
    assert not any("Traceback" in line for line in started.lines), "\n".join(started.lines)


@pytest.mark.timeout(300)
def test_the_service_from_start_to_ctrl_c(
    started: Started, lake: Lake, promote: Promote, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any(line.startswith("Ray dashboard  http://127.0.0.1:") for line in started.lines), started.lines
    assert fetch_health(started.base, None)["status"] == "ok"
    assert any("not built: make page" in line for line in started.lines) == (start_page(PAGE_DIR) is None)

    # Nothing of ours can be reached from another machine.
    open_ports = listening(marked_processes(started.mark))
    assert ("127.0.0.1", started.port) in open_ports
    assert [address for address in open_ports if address[0] not in LOOPBACK] == []

    # A second one is refused before it starts anything.
    assert main(["--lake", str(lake.root), "--port", str(started.port)]) == 2
    assert f"--port {started.port}" in capsys.readouterr().err

    # A promotion reaches a running stream within two seconds, without a hole.
    with started.connect(speed="10") as connection:
        head = listen(connection, n_bins=60)
        champion = promote(lake, {"d2_weight": 0.5})
        begin = time.monotonic()  # the pointer has moved
        texts = []
        swapped_after = None
        for frame in connection:
            if isinstance(frame, str):
                texts.append(json.loads(frame))
                if texts[-1]["type"] == "runtime_config":
                    swapped_after = time.monotonic() - begin
    assert swapped_after is not None
    assert swapped_after < 2.0
    change = next(i for i, text in enumerate(texts) if text["type"] == "runtime_config")
    assert texts[change]["reason"] == "model_change"
    assert texts[change + 1]["bin_seq"] == texts[change]["effective_bin_seq"]
    assert texts[change + 1]["runtime_model_ready"] is True
    assert [bin_["bin_seq"] for bin_ in head.bins + texts if bin_["type"] == "grid_update"] == list(range(400))

    # A stream that starts now carries the champion's scores, bit for bit those of a sweep.
    config = load_instrument()
    request = read_request([], config, lake, StreamDefaults())
    dataset = join(Replay(open_source([request.dbn], config, request.dt), config))
    model = make_signal(
        champion.signal, champion.parameters, SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    )
    expected = model.run({name: dataset.grid[name] for name in model.required_columns})
    with started.connect(speed="0") as connection:
        heard = listen(connection)
    scores = np.array([header["runtime_model_score"] for header in heard.bins])
    assert scores.tobytes() == expected["score"].tobytes()
    assert [header["mid_price"] for header in heard.bins] == dataset.fields["mid_price"].tolist()

    # The server sees a client's farewell a moment after the client has sent it.
    deadline = time.monotonic() + 10.0
    while (body := fetch_health(started.base, None))["clients"] and time.monotonic() < deadline:
        pass
    assert (body["champion"]["version"], body["swaps"], body["clients"]) == (1, 1, 0)
    assert body["lag_ms"] is not None

    require_end_by_ctrl_c(started)
    assert any("INFO serve.champion: serving champion version 1" in line for line in started.lines), "\n".join(started.lines)
