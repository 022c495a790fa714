"""`cluster/local.yaml` against Ray's own validator, and against what was learned about clusters over ssh."""

import copy
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from jsonschema.exceptions import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.conftest import REPO_ROOT

CLUSTER = REPO_ROOT / "cluster"
CHECKOUT = "/opt/spymaster"
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CLUSTER / "local.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What `cluster/environment.sh` leaves behind on a node where `ray up` has asked for the second autoscaler."""
    before = {"PATH": "/usr/bin:/bin", "HOME": "/home/someone", "RAY_enable_autoscaler_v2": "1", "RAY_NODE_TYPE_NAME": "x"}
    script = f". {CLUSTER}/environment.sh; . {CLUSTER}/environment.sh; env -0"
    out = subprocess.run(["bash", "-euc", script], env=before, check=True, capture_output=True, text=True, timeout=20).stdout
    return dict(entry.split("=", 1) for entry in out.split("\0") if entry)


def start_commands(raw: dict[str, Any]) -> list[str]:
    return [command for name in STARTS for command in raw[name] if " start " in command]


def test_ray_accepts_it_and_wants_every_worker(raw: dict[str, Any]) -> None:
    config = prepare_config(copy.deepcopy(raw))
    validate_config(config)
    node_type = config["available_node_types"][config["head_node_type"]]
    assert node_type["min_workers"] == node_type["max_workers"] == len(raw["provider"]["worker_ips"]) > 0


def test_ray_refuses_a_key_it_does_not_know(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="rsync_excludes"):
        validate_config(prepare_config(copy.deepcopy(raw) | {"rsync_excludes": []}))


def test_a_cluster_of_one_is_allowed(raw: dict[str, Any]) -> None:
    alone = copy.deepcopy(raw)
    alone["provider"]["worker_ips"] = []
    validate_config(prepare_config(alone))


@pytest.mark.parametrize("kind", STARTS)
def test_ray_is_called_by_its_absolute_path_after_the_environment_is_read(raw: dict[str, Any], kind: str) -> None:
    for command in raw[kind]:
        assert command.startswith(f". {CHECKOUT}/cluster/environment.sh; ")
        assert set(re.findall(r"(\S*)\bray (?:start|stop)", command)) == {f"{CHECKOUT}/.venv/bin/"}
    assert [(c.endswith("ray stop"), "ray start" in c) for c in raw[kind]] == [(True, False), (False, True)]


@pytest.mark.parametrize(("failures", "code", "said"), [(0, 0, 1), (2, 0, 3), (3, 1, 3)])
def test_a_worker_is_tried_three_times(raw: dict[str, Any], tmp_path: Path, failures: int, code: int, said: int) -> None:
    """Run as Ray runs it, in a shell of its own, with a `ray` that fails so many times."""
    fake = tmp_path / "ray"
    fake.write_text(
        f"""#!/bin/bash
        [ "$1" = start ] || exit 0
        echo start >> {tmp_path}/log
        [ "$(wc -l < {tmp_path}/log)" -gt {failures} ]
        """
    )
    fake.chmod(0o755)
    command = raw["worker_start_ray_commands"][1].replace(f"{CHECKOUT}/.venv/bin/ray", str(fake))
    command = command.replace(f". {CHECKOUT}/cluster/environment.sh;", "")
    environment = {"PATH": "/usr/bin:/bin", "SSH_CONNECTION": "198.51.100.7 50022 10.0.0.11 22", "RAY_HEAD_IP": "10.0.0.10"}
    assert subprocess.run(["bash", "-c", f"true && ({command})"], env=environment, timeout=20).returncode == code
    assert (tmp_path / "log").read_text().count("start") == said


def test_every_node_says_its_address_and_its_size_and_keeps_fixed_ports(raw: dict[str, Any]) -> None:
    wanted = {
        "--node-ip-address",
        "--num-cpus",
        "--object-store-memory",
        "--node-manager-port",
        "--object-manager-port",
        "--runtime-env-agent-port",
        "--dashboard-agent-grpc-port",
        "--dashboard-agent-listen-port",
        "--metrics-export-port",
        "--min-worker-port",
        "--max-worker-port",
        "--disable-usage-stats",
    }
    head, worker = start_commands(raw)
    flags = [set(re.findall(r"--[a-z-]+", command)) - {"--force"} for command in (head, worker)]
    assert wanted <= flags[0] & flags[1]
    assert flags[0] - flags[1] == {
        "--head",
        "--autoscaling-config",
        "--port",
        "--dashboard-host",
        "--dashboard-port",
        "--ray-client-server-port",
    }
    assert flags[1] - flags[0] == {"--address"}
    ports = re.findall(r"-port=(\d+)", head)
    assert len(ports) == len(set(ports))
    assert set(re.findall(r"-port=(\d+)", worker)) < set(ports)
    for port in ports:
        assert port in (CLUSTER / "README.md").read_text(encoding="utf-8"), f"the firewall table leaves out {port}"


def test_the_dashboard_listens_on_loopback_only(raw: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in start_commands(raw)[0]


def test_the_nodes_own_address_is_the_one_ssh_came_in_on(raw: dict[str, Any]) -> None:
    for command in start_commands(raw):
        (argument,) = re.findall(r'--node-ip-address=("\$\(.*?\)")', command)
        line = ["bash", "-c", f"echo {argument}"]
        connection = {"SSH_CONNECTION": "198.51.100.7 50022 10.0.0.10 22", "PATH": "/usr/bin:/bin"}
        assert subprocess.run(line, env=connection, check=True, capture_output=True, text=True).stdout == "10.0.0.10\n"


def test_nodes_ask_for_a_token_send_no_statistics_and_use_the_first_autoscaler(environment: dict[str, str]) -> None:
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert environment["RAY_USAGE_STATS_REPORT_URL"].startswith("http://127.0.0.1:")
    assert environment["RAY_enable_autoscaler_v2"] == "0"
    assert "RAY_NODE_TYPE_NAME" not in environment


def test_nodes_find_our_python_and_the_lake(environment: dict[str, str], raw: dict[str, Any]) -> None:
    assert environment["PATH"] == f"{CHECKOUT}/.venv/bin:/usr/bin:/bin"
    assert not environment["SPYMASTER_LAKE"].startswith(CHECKOUT)
    (check,) = raw["initialization_commands"]
    assert environment["SPYMASTER_LAKE"] in check


def test_every_node_gets_the_token(raw: dict[str, Any]) -> None:
    assert raw["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_no_mounted_folder_holds_data_or_an_environment(raw: dict[str, Any]) -> None:
    """Ray reads all files of a mounted folder at each start, excluded ones too."""
    for there, here in raw["file_mounts"].items():
        path = PurePosixPath(here)
        assert not path.is_absolute()
        assert path.parts[0] not in (".", "..", ".venv", ".git")
        assert path.parts[0] != "lake" or path.parts[-1] == "configs"
        assert there == here if here.startswith("~") else PurePosixPath(there) == PurePosixPath(CHECKOUT) / path


def test_what_is_copied_can_be_set_up_and_is_small(raw: dict[str, Any], tmp_path: Path) -> None:
    """The same rsync as Ray's; then everything that `make setup` and the smoke sweep read must be there."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed: apt-get install rsync")
    excludes = [f"--exclude={pattern}" for pattern in raw["rsync_exclude"]]
    for there, here in raw["file_mounts"].items():
        if here.startswith("~"):
            continue
        source, target = REPO_ROOT / here, tmp_path / PurePosixPath(there).relative_to(CHECKOUT)
        assert source.exists(), f"{here} is not in the checkout"
        target.parent.mkdir(parents=True, exist_ok=True)
        slash = "/" if source.is_dir() else ""
        subprocess.run(["rsync", "-a", *excludes, f"{source}{slash}", f"{target}{slash}"], check=True, timeout=60)
    copied = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in copied if "node_modules/" in name or "__pycache__/" in name]
    assert sum(path.stat().st_size for path in copied.values()) < 50e6
    project = (REPO_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'"(LICENSE|README\.md)"', project))
    rule = re.search(r"^\$\(VENV\)/\.ready: (.*)$", (REPO_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert rule is not None
    needed = {"Makefile", *named, *rule[1].split()}
    needed |= {"engine/instrument.yaml", "tune/sweep.py", "serve/__main__.py", "cluster/environment.sh"}
    needed |= {"lake/research/vp_harness/configs/smoke_perm_derivative.yaml"}
    assert needed <= set(copied)
