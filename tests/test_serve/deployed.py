"""A Ray of its own on loopback and Ray's own ``serve`` commands on it, as its users type them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from serve.client import fetch_health
from serve.detached import end_marked, start_head
from serve.settings import STREAM_PATH
from tests.conftest import REPO_ROOT

COMMAND: Final = str(Path(sys.executable).parent / "serve")
COMMAND_S: Final = 90.0
READY_S: Final = 120.0
SLOW: Final = "0.2"  # speed of a stream that outlasts a test: a bin each half second


@dataclass(frozen=True)
class Head:
    """The head of a Ray that ends with the test."""

    address: str
    dashboard_url: str
    environment: dict[str, str]

    def serve(self, *arguments: str) -> str:
        """Output of one of Ray's ``serve`` commands."""
        done = subprocess.run(
            [COMMAND, *arguments], cwd=REPO_ROOT, env=self.environment, capture_output=True, text=True, timeout=COMMAND_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy(self, config: dict[str, Any], folder: Path) -> None:
        """``serve deploy`` of a configuration; Serve takes it up by itself."""
        path = folder / "serve.yaml"
        path.write_text(yaml.safe_dump(config))
        self.serve("deploy", "--address", self.dashboard_url, str(path))


@contextmanager
def head_of_ray(environment: dict[str, str]) -> Iterator[Head]:
    """A Ray, its processes gone when the block ends."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        address, dashboard_url, mark = start_head()
        try:
            yield Head(address, dashboard_url, dict(os.environ) | {"PYTHONPATH": str(REPO_ROOT)})
        finally:
            end_marked(mark)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@dataclass
class Client:
    """A client that counts what it hears."""

    connection: ClientConnection
    last_bin: int = -1

    def next_bins(self, n: int) -> None:
        """Read so many bins more; each follows the one before."""
        for _ in range(n):
            while True:
                frame = self.connection.recv(timeout=30.0)
                if isinstance(frame, str) and (values := json.loads(frame))["type"] == "grid_update":
                    break
            assert self.last_bin in (-1, values["bin_seq"] - 1)
            self.last_bin = values["bin_seq"]

    def end(self) -> tuple[int, str | None]:
        """Read to the end of the connection: its close code, and the last error's code."""
        said = None
        try:
            while True:
                frame = self.connection.recv(timeout=60.0)
                if isinstance(frame, str) and (values := json.loads(frame))["type"] == "error":
                    said = values["code"]
                elif isinstance(frame, str) and values["type"] == "grid_update":
                    self.last_bin = values["bin_seq"]
        except ConnectionClosed:
            return self.connection.protocol.close_code or 0, said


@contextmanager
def watching(port: int, **query: str) -> Iterator[Client]:
    """A client of the service on a port, which has heard its first bins."""
    url = f"ws://127.0.0.1:{port}{STREAM_PATH}?{urlencode({'speed': SLOW} | query)}"
    with connect(url, compression=None, max_size=None, open_timeout=30.0, close_timeout=1.0) as connection:
        client = Client(connection)
        client.next_bins(2)
        yield client


def health(port: int) -> dict[str, Any]:
    """The body of ``/health``; empty while nothing answers."""
    try:
        return fetch_health(f"http://127.0.0.1:{port}", None)
    except Exception:
        return {}


def until(port: int, is_so: Callable[[dict[str, Any]], Any], seconds: float = READY_S) -> dict[str, Any]:
    """``/health`` once it is as wanted: Serve acts in its own time, and there is nothing to wait on but its word."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        body = health(port)
        if body and is_so(body):
            return body
        assert time.monotonic() < deadline, body
        pause.wait(0.2)
