"""What ends a service and what does not: a closed terminal, a killed driver, ``stop``; its clients are told each time."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.lake import Lake
from serve.detached import Noted
from tests.conftest import REPO_ROOT
from tests.test_serve.deployed import health, watching
from tests.test_serve.started import END_S, MARK, Started, free_port, marked_processes, wait_for_end

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def close_terminal(service: Started) -> None:
    """A hang-up, as a terminal that closes sends it: to the whole group, Ray's processes among it."""
    os.killpg(service.process.pid, signal.SIGHUP)


def kill_driver(service: Started) -> None:
    """Nobody is asked."""
    service.process.kill()


def stop(port: int) -> tuple[int, str]:
    """``python -m serve stop``, from another terminal: its exit code, and all it says."""
    command = [sys.executable, "-m", "serve", "stop", "--port", str(port)]
    done = subprocess.run(command, cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90.0)
    return done.returncode, done.stdout


def stop_it(service: Started) -> None:
    """From another terminal."""
    assert stop(service.port) == (0, f"ended the service on port {service.port}\n")


def titles(pids: list[int]) -> set[str]:
    """What processes call themselves."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found.add(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
    return found


@pytest.mark.parametrize(
    ("end", "code"),
    [(close_terminal, 0), (kill_driver, -signal.SIGKILL), (stop_it, 0)],
    ids=["terminal closed", "driver killed", "stopped"],
)
def test_a_service_in_a_terminal_ends_with_a_word_to_its_clients(
    started: Started, end: Callable[[Started], None], code: int
) -> None:
    processes = marked_processes(started.mark)
    with watching(started.port) as client, ThreadPoolExecutor(1) as aside:  # a client reads on, and so hears the goodbye
        heard = aside.submit(client.end)
        end(started)
        assert heard.result() == (1001, "going_away")
    assert started.process.wait(END_S) == code, "\n".join(started.lines)
    left = wait_for_end(processes, END_S)
    if end is kill_driver:  # these two wait a minute more for a head that has gone, then end as well
        assert titles(left) <= {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
    else:
        assert left == []
    assert health(started.port) == {}


def test_a_detached_service_needs_nobody_and_stop_ends_it(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    mark = f"{os.getpid()}-{port}"
    ray_folder = tempfile.mkdtemp(prefix="sm-", dir="/tmp")  # short: unix socket paths are limited
    for name, value in {MARK: mark, "RAY_TMPDIR": ray_folder, "XDG_STATE_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "serve", "--lake", str(lake.root), "--port", str(port), "--detach"]
    try:
        launcher = subprocess.Popen(command, cwd=REPO_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        said, _ = launcher.communicate(timeout=120.0)
        assert launcher.returncode == 0, said
        assert f"python -m serve stop --port {port} ends it" in said
        with contextlib.suppress(ProcessLookupError):  # what a shell does to its jobs when its terminal closes
            os.killpg(launcher.pid, signal.SIGHUP)
        with watching(port) as client:
            client.next_bins(3)
            assert Noted.find(port) is not None
            with ThreadPoolExecutor(1) as aside:  # a client reads on, and so hears the goodbye
                heard = aside.submit(client.end)
                assert stop(port) == (0, f"ended the service on port {port}\n")
                assert heard.result() == (1001, "going_away")
        assert marked_processes(mark) == []
        assert Noted.find(port) is None
        code, said = stop(port)
        assert (code, said.count("\n")) == (2, 1)
        assert f"--port was {port}, and no service of yours" in said
    finally:
        for pid in marked_processes(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
