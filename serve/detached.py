"""A service without a terminal: where it is noted, the Ray that is started for it, and how both are ended.

A detached service has no driver: its Ray is started as ``ray start`` does it, and Serve keeps the replicas there. What we started
is known by a mark in its environment, never by name: ``ray stop`` would end every Ray of the machine.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import psutil  # type: ignore[import-untyped]

from engine.errors import ConfigError, WorkError
from engine.files import write_atomic
from engine.ray_environment import require_room, temp_folder

MARK: Final = "SPYMASTER_SERVICE"
START_S: Final = 120.0
END_S: Final = 60.0  # of a driver, which says goodbye first
RAY_END_S: Final = 5.0  # of Ray, which has nothing to keep
OBJECT_STORE_BYTES: Final = 128 << 20  # nothing of ours lives there


@dataclass(frozen=True)
class Noted:
    """A service of this machine, as it noted itself."""

    host: str
    port: int
    address: str  # of its Ray's head
    dashboard_url: str
    mark: str | None = None  # of the Ray that was started for it
    driver: int | None = None  # the process in a terminal; None once detached
    driver_began: float = 0.0  # Unix seconds: a number may be given to another process

    @classmethod
    def of_driver(cls, host: str, port: int, address: str, dashboard_url: str) -> Self:
        """A service that this process keeps in its terminal."""
        own = psutil.Process()
        return cls(host, port, address, dashboard_url, driver=own.pid, driver_began=own.create_time())

    @classmethod
    def find(cls, port: int) -> Self | None:
        """The service that serves on a port, if one noted itself there."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            return cls(**json.loads(_file(port).read_text()))
        return None

    def write(self) -> None:
        """Note it for ``python -m serve stop`` and ``status``."""
        path = _file(self.port)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(asdict(self)).encode())

    def remove(self) -> None:
        """It has ended."""
        _file(self.port).unlink(missing_ok=True)

    def driver_process(self) -> psutil.Process | None:
        """The process in a terminal, if it lives."""
        if self.driver is not None:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(self.driver)
                if abs(process.create_time() - self.driver_began) < 1.0:
                    return process
        return None


def _file(port: int) -> Path:
    """Where the service of a port is noted: of this user, on this machine."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "spymaster" / f"serve-{port}.json"


def start_head() -> tuple[str, str, str]:
    """Start a Ray on loopback that no process of ours holds; its head's address, its dashboard's URL, and its mark.

    Raises
    ------
    WorkError
        It does not start.
    """
    require_room()
    mark = uuid.uuid4().hex
    with _free_ports(3) as (head, dashboard, client):
        pass  # free a moment ago; Ray says so where one is taken meanwhile
    line = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats"]
    line += ["--node-ip-address=127.0.0.1", f"--port={head}", f"--ray-client-server-port={client}"]
    line += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    # A session of its own: no terminal's end reaches it.
    done = subprocess.run(
        line, env=os.environ | {MARK: mark}, start_new_session=True, capture_output=True, text=True, timeout=START_S
    )
    if done.returncode:
        end_marked(mark)
        said = [text.strip() for text in (done.stdout + done.stderr).splitlines() if text.strip()]
        raise WorkError(f"Ray did not start on this machine: {said[-1] if said else 'no word why'}; its logs are in {logs()}")
    return f"127.0.0.1:{head}", f"http://127.0.0.1:{dashboard}/", mark


def end_marked(mark: str) -> None:
    """End what was started with a mark, and what that has started: politely, and after a while without asking."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if _mark_of(process) == mark:
            with contextlib.suppress(psutil.Error):
                # A process that gave itself a title may have written it over its environment: its parent's is whole.
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    for process in _left(list(found.values()), RAY_END_S):
        with contextlib.suppress(psutil.Error):
            process.kill()


def forget_address(address: str) -> None:
    """Take back what Ray noted of an ended head, where others look for a running one."""
    note = temp_folder() / "ray_current_cluster"
    with contextlib.suppress(FileNotFoundError):
        if note.read_text().strip() == address:
            note.unlink()


def end_driver(process: psutil.Process) -> None:
    """Ask the process in a terminal to end its service, and wait for it.

    Raises
    ------
    WorkError
        It does not end.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
        if _left([process], END_S):
            raise WorkError(f"process {process.pid} did not end within {END_S:g} s of SIGTERM; end it yourself")


def require_note(port: int) -> Noted:
    """What is noted of the service on a port.

    Raises
    ------
    ConfigError
        Nothing is.
    """
    found = Noted.find(port)
    if found is None:
        raise ConfigError(f"--port was {port}, and no service of yours on this machine noted itself there; see its --port")
    return found


def logs() -> Path:
    """Where Ray keeps the logs of the last session here."""
    return temp_folder() / "session_latest" / "logs"


def _mark_of(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(MARK)
    return None


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long. One that has ended and that nobody asks how, as in many a container, runs no more."""
    if not hasattr(os, "pidfd_open"):
        return list(psutil.wait_procs(processes, seconds)[1])
    deadline = time.monotonic() + seconds
    left = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            try:
                if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    left.append(process)
            finally:
                os.close(handle)
    return left


@contextlib.contextmanager
def _free_ports(n: int) -> Iterator[list[int]]:
    with contextlib.ExitStack() as held:
        yield [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(n)]
