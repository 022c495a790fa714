"""Nothing of a running service is open to other machines."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from engine.config import load_instrument
from engine.lake import Lake
from engine.ray_environment import prepare_ray_environment
from engine.simulate.session import simulate
from tests.conftest import REPO_ROOT
from tests.processes import descendants, marked
from tests.test_cluster.namespaces import why_not
from tests.test_cluster.port_scan import TOOLS, exposed, listeners

pytestmark = pytest.mark.timeout(420)
MARK = "SPYMASTER_TEST_MARK"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a minute of a session."""
    config, lake = load_instrument(), Lake(tmp_path / "lake")
    folder = lake.raw_dir(config.symbol_root, config.product_type)
    folder.mkdir(parents=True)
    simulate(folder / "20260206.dbn.zst", seed=1, seconds=60, rate=200.0, start="2026-02-06T14:30:00", symbol=config.symbol)
    return lake


def test_the_scan_tells_an_open_socket_from_one_on_loopback() -> None:
    if (reason := why_not(TOOLS)) is not None:
        pytest.skip(reason)
    script = (
        "import socket, sys\nall = [socket.create_server((h, 0)) for h in ('127.0.0.1', '0.0.0.0')]\nprint(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert sorted(one.address for one in listeners([other.pid])) == ["0.0.0.0", "127.0.0.1"]
        assert [one.address for one in exposed([other.pid])] == ["0.0.0.0"]
        other.communicate(b"\n")


def test_a_port_scan_finds_nothing_of_the_ray_that_a_sweep_starts() -> None:
    if (reason := why_not(TOOLS)) is not None:
        pytest.skip(reason)
    prepare_ray_environment(is_own=True)
    from tune.search import ray_session

    with ray_session("local", 1, 16 << 20):
        ours = {os.getpid(), *descendants(os.getpid())}
        assert len({one.pid for one in listeners(ours)}) > 3, "Ray's own processes were not found"
        assert exposed(ours) == []


@pytest.mark.slow
def test_a_port_scan_from_another_host_finds_nothing_of_a_running_service(lake: Lake) -> None:
    if (reason := why_not(TOOLS)) is not None:
        pytest.skip(reason)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mark = f"{MARK}={uuid.uuid4().hex}"
    service = subprocess.Popen(
        [sys.executable, "-m", "serve", "--lake", str(lake.root), "--port", str(port)],
        cwd=REPO_ROOT,
        env={**os.environ, MARK: mark.partition("=")[2]},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said:
            row = service.stdout.readline()
            assert row, f"the service ended: {said}"
            said += row
        ours = marked(mark)
        sockets = listeners(ours)
        assert port in {one.port for one in sockets}
        assert len({one.pid for one in sockets}) > 3, "Ray's own processes were not found"
        assert exposed(ours) == []
    finally:
        service.send_signal(signal.SIGINT)
        try:
            service.communicate(timeout=60)
        finally:
            for pid in marked(mark):
                os.kill(pid, signal.SIGKILL)
