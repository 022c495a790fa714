"""The service as Ray's users know it: ``serve deploy cluster/serve.yaml`` on a real Ray, and what each change costs a client."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from websockets.exceptions import ConnectionClosed

from engine.lake import Lake
from tests.conftest import REPO_ROOT
from tests.test_serve.conftest import Promote
from tests.test_serve.deployed import COMMAND, Head, head_of_ray, health, until, watching
from tests.test_serve.started import free_port, listening

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    # Ray Serve's own models, when they are imported.
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`:DeprecationWarning"),
]


@dataclass
class Deployed:
    """The service of ``cluster/serve.yaml``, over a lake and on a port of the test's."""

    head: Head
    lake: Lake
    port: int
    folder: Path
    config: dict[str, Any]

    def again(self) -> None:
        """Deploy what the configuration says by now."""
        self.head.deploy(self.config, self.folder)

    @property
    def args(self) -> dict[str, Any]:
        return self.config["applications"][0]["args"]

    @property
    def of_replicas(self) -> dict[str, Any]:
        return self.config["applications"][0]["deployments"][0]

    def replicas(self) -> list[psutil.Process]:
        """Processes that listen on the port."""
        found = []
        for process in psutil.process_iter():
            try:
                if any(one.laddr.port == self.port and one.status == "LISTEN" for one in process.net_connections("tcp")):
                    found.append(process)
            except psutil.Error:
                pass
        return found


@pytest.fixture(scope="module")
def deployed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    lake = Lake.open(folder / "lake")
    lake.raw_dir("MNQ").mkdir(parents=True)
    shutil.copy(raw, lake.raw_dir("MNQ"))
    ray_folder = tempfile.mkdtemp(prefix="sm-", dir="/tmp")  # short: unix socket paths are limited
    config = yaml.safe_load((REPO_ROOT / "cluster" / "serve.yaml").read_text())
    port = free_port()
    config["applications"][0]["args"] |= {
        "lake": str(lake.root),
        "port": port,
        "max_replicas": 2,
        "streams_per_replica": 2,
        "perm_zscore_window_bins": 60,
        "perm_zscore_min_periods": 20,
    }
    try:
        with head_of_ray({"RAY_TMPDIR": ray_folder}) as head:
            service = Deployed(head, lake, port, folder, config)
            service.again()
            until(port, lambda body: body["status"] == "ok")
            yield service
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)


def test_serve_status_and_serve_config_show_it(deployed: Deployed) -> None:
    until(deployed.port, lambda body: (body["deployments"] or {}).get("replicas") == {"RUNNING": 1})
    shown = yaml.safe_load(deployed.head.serve("status", "--address", deployed.head.dashboard_url))
    assert shown["proxies"] == {}
    assert shown["applications"]["vacuum-pressure"]["status"] == "RUNNING"
    assert shown["applications"]["vacuum-pressure"]["deployments"]["streams"]["replica_states"] == {"RUNNING": 1}
    kept = yaml.safe_load(deployed.head.serve("config", "--address", deployed.head.dashboard_url))
    assert kept["import_path"] == "serve.deployment:build"
    assert kept["args"] == deployed.args


def test_a_replica_listens_on_loopback_only(deployed: Deployed) -> None:
    (replica,) = deployed.replicas()
    ports = listening([replica.pid])
    assert ("127.0.0.1", deployed.port) in ports
    assert len(ports) > 2  # its listener, Ray's worker, and Serve's gRPC port
    assert [address for address, _ in ports if address not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")] == []


def test_limits_change_without_a_restart_and_bad_ones_change_nothing(deployed: Deployed) -> None:
    (replica,) = deployed.replicas()
    with watching(deployed.port) as client:
        deployed.of_replicas["user_config"] = {"limits": {"max_clients": 1}}
        deployed.again()
        client.next_bins(4)
        until(deployed.port, lambda body: body["limits"]["max_clients"] == 1)
        with pytest.raises(ConnectionClosed, match="1 clients are connected and that is the limit"), watching(deployed.port):
            pass
        for bad, words in (
            ({"limits": {"max_client": 5}}, "has 'max_client'; allowed are: max_clients"),
            ({"limits": {"max_clients": 0}}, "max_clients was 0; it must be a whole number from 1"),
            ({"limit": {}}, "has 'limit'; allowed are: limits, log_level"),
        ):
            deployed.of_replicas["user_config"] = bad
            deployed.again()
            body = until(deployed.port, lambda body, words=words: any(words in alarm["message"] for alarm in body["alarms"]))
            assert body["limits"]["max_clients"] == 1
            client.next_bins(2)
        deployed.of_replicas["user_config"] = {"limits": {"max_clients": 256}}
        deployed.again()
        body = until(deployed.port, lambda body: body["limits"]["max_clients"] == 256)
        assert body["alarms"] == []
        client.next_bins(2)
    assert deployed.replicas() == [replica]


def test_a_promotion_costs_nothing(deployed: Deployed, promote: Promote) -> None:
    with watching(deployed.port) as client:
        champion = promote(deployed.lake, {"d2_weight": 0.5})
        until(deployed.port, lambda body: body["champion"] and body["champion"]["version"] == champion.version)
        client.next_bins(3)


def test_another_replica_costs_nothing_and_one_less_a_reconnect(deployed: Deployed) -> None:
    """Two streams are one replica's: with four there are two, without any one again."""
    with watching(deployed.port) as first:
        with watching(deployed.port), watching(deployed.port), watching(deployed.port):
            until(deployed.port, lambda body: (body["deployments"] or {}).get("replicas") == {"RUNNING": 2})
            first.next_bins(3)
            assert len(deployed.replicas()) == 2
        until(deployed.port, lambda body: (body["deployments"] or {}).get("replicas") == {"RUNNING": 1}, 60.0)


def test_a_killed_controller_costs_nothing(deployed: Deployed) -> None:
    with watching(deployed.port) as client:
        (controller,) = (one for one in psutil.process_iter() if is_controller(one, deployed.head))
        controller.kill()
        controller.wait()
        client.next_bins(6)
        until(deployed.port, lambda body: body["status"] == "ok")


def test_other_arguments_cost_a_reconnect_and_no_bin(deployed: Deployed) -> None:
    (before,) = deployed.replicas()
    with watching(deployed.port) as client:
        deployed.args["start_time"] = "09:25"
        deployed.again()
        assert client.end() == (1001, "going_away")
        with watching(deployed.port, resume_from=str(client.last_bin + 1), start_time="09:25") as again:
            assert again.last_bin == client.last_bin + 2
    before.wait(30.0)


def test_arguments_that_are_not_allowed_change_nothing(deployed: Deployed) -> None:
    good = dict(deployed.args)
    with watching(deployed.port) as client:
        deployed.args["dt"] = "2026-02-07"
        deployed.again()
        shown: dict[str, Any] = {}
        while shown.get("status") != "DEPLOY_FAILED":
            shown = yaml.safe_load(deployed.head.serve("status", "--address", deployed.head.dashboard_url))
            shown = shown["applications"]["vacuum-pressure"]
        assert "2026-02-07" in shown["message"]
        client.next_bins(2)
    deployed.config["applications"][0]["args"] = good
    deployed.again()


def test_a_killed_replica_cuts_its_clients_and_another_one_goes_on(deployed: Deployed) -> None:
    (replica,) = deployed.replicas()
    with watching(deployed.port) as client:
        replica.send_signal(signal.SIGKILL)
        assert client.end() == (1006, None)
    until(deployed.port, lambda body: body["status"] == "ok")
    with watching(deployed.port, resume_from=str(client.last_bin + 1)) as again:
        assert again.last_bin == client.last_bin + 2


def is_controller(process: psutil.Process, head: Head) -> bool:
    """Whether it is Serve's controller on this Ray."""
    try:
        return "ServeController" in " ".join(process.cmdline()) and head.environment["RAY_TMPDIR"] in str(process.environ())
    except psutil.Error:
        return False


def test_the_service_ends_with_its_application(deployed: Deployed) -> None:
    with watching(deployed.port) as client:
        deployed.config["applications"] = []
        deployed.again()
        assert client.end() == (1001, "going_away")
    assert health(deployed.port) == {}


def test_serve_run_takes_arguments_and_ctrl_c_ends_it(deployed: Deployed) -> None:
    arguments = [f"lake={deployed.lake.root}", f"port={deployed.port}", "symbol=MNQH6", "perm_zscore_window_bins=240"]
    line = [COMMAND, "run", "--address", deployed.head.address, "--name", "by-hand", "serve.deployment:build", *arguments]
    running = subprocess.Popen(
        line, cwd=REPO_ROOT, env=deployed.head.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(deployed.port, lambda body: body["status"] == "ok")
        with watching(deployed.port) as client, ThreadPoolExecutor(1) as aside:
            heard = aside.submit(client.end)
            running.send_signal(signal.SIGINT)
            assert heard.result() == (1001, "going_away")
        running.wait(60.0)
    finally:
        running.kill()
        running.wait()


def test_serve_build_writes_the_service_down(deployed: Deployed) -> None:
    environment = deployed.head.environment | {"SPYMASTER_LAKE": str(deployed.lake.root)}
    path = deployed.folder / "built.yaml"
    line = [COMMAND, "build", "serve.deployment:app", "--output-path", str(path)]
    written = subprocess.run(line, cwd=REPO_ROOT, env=environment, capture_output=True, text=True, timeout=90.0)
    assert written.returncode == 0, written.stderr
    (app,) = yaml.safe_load(path.read_text())["applications"]
    assert (app["import_path"], app["deployments"][0]["name"]) == ("serve.deployment:app", "streams")
    assert app["deployments"][0]["ray_actor_options"]["resources"] == {"node:__internal_head__": 0.001}
