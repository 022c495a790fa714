"""`ray up cluster/local.yaml` for real, on hosts made of namespaces: start, a smoke sweep, its leaderboard, stop.

    sudo .venv/bin/python tests/test_cluster/ray_up_in_namespace.py [--workers N] [--environment DIR]

Each host has its own network, processes, ``/tmp``, home and ``/opt/spymaster``, and all see one lake at ``/srv/spymaster/lake``.
The file is used as it stands but for what a user edits: addresses, account, key; and the sizes, so that it fits beside other
work. The hosts reach no package registry, so the environment of ``/opt/spymaster`` is made before their network is, by the same
``make setup`` that `ray up` runs; there it finds nothing left to do. ``--environment`` keeps it for the next time.

Prints every command and what it printed. Exit code 0 when all of it worked; every step has a time limit; whatever was made is
removed at the end.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import yaml

REPO: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))  # run as a script, from anywhere

from tests.test_cluster.namespaces import Host, network, ssh_host, why_not  # noqa: E402
from tests.test_cluster.ray_client import Client, StepError  # noqa: E402

CHECKOUT: Final = Path("/opt/spymaster")
LAKE: Final = Path("/srv/spymaster/lake")
CLUSTER_FILE: Final = REPO / "cluster" / "local.yaml"
TOOLS: Final = ("ip", "unshare", "sshd", "ssh", "rsync", "make")
OBJECT_STORE_BYTES: Final = 300_000_000
JOIN_SECONDS: Final = 240.0
FIGURES_SECONDS: Final = 60.0
STOP_SECONDS: Final = 120.0  # a worker whose head is gone gives up after a minute
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1, help="hosts beside the head (default 1)")
    parser.add_argument("--environment", type=Path, metavar="DIR", help="keep the hosts' .venv here, or use the one kept")
    options = parser.parse_args()
    if (reason := why_not(TOOLS)) is not None:
        print(reason, file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            run(options.workers, options.environment, stack)
    except (StepError, RuntimeError) as error:
        print(f"FAILED after {time.monotonic() - began:.0f} s: {error}", file=sys.stderr)
        return 1
    print(f"\nall of it worked, in {time.monotonic() - began:.0f} s; namespaces, processes and files are gone")
    return 0


def run(n_workers: int, environment: Path | None, stack: ExitStack) -> None:
    """The whole path; what it makes is undone by the stack."""
    work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spymaster-ray-up-", ignore_cleanup_errors=True)))
    stack.enter_context(mount_point(CHECKOUT))
    prepared = environment or work / "prepared"
    prepare_checkout(prepared)
    key = work / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=20)
    lake = work / "lake"
    lake.mkdir()
    made = stack.enter_context(network())
    hosts: list[Host] = []
    for number in range(n_workers + 1):
        checkout = work / f"checkout{number}"
        subprocess.run(["cp", "--archive", "--link", str(prepared), str(checkout)], check=True, timeout=300)
        folder = work / f"host{number}"
        folder.mkdir()
        hosts.append(stack.enter_context(ssh_host(made, number, folder, key, {CHECKOUT: checkout, LAKE: lake})))
    head, workers = hosts[0], hosts[1:]
    print(
        f"hosts: head {head.address}, workers {', '.join(w.address for w in workers) or 'none'}; this machine is {made.gateway}"
    )

    client = stack.enter_context(Client.open(work / "client", write_cluster_file(work, head, workers, key)))
    client.ray(["get-auth-token", "--generate"], 60, shown=False)
    client.ray(["up", "-y", client.file, "--no-config-cache"], 600)
    wait_for_nodes(client, 1 + len(workers))
    refuse_strangers(client, head)
    smoke = f"{CHECKOUT}/lake/research/vp_harness/configs/smoke_perm_derivative.yaml"
    client.ray(["submit", client.file, str(REPO / "tune" / "sweep.py"), "--", smoke, "--address", "auto"], 900)
    board = client.ray(["exec", client.file, "python -m tune compare --top 5"], 180)
    if "perm_derivative" not in board:
        raise StepError("the leaderboard shows no run of perm_derivative")
    rows = sorted((lake / "research" / "vp_harness" / "results" / "runs_meta.parquet").glob("*"))
    print(f"results in the shared lake: {len(rows)} part files")
    if not rows:
        raise StepError("the sweep left no results in the lake")
    if workers:
        every_host_worked(hosts)
    submit_a_job(client)
    serve_on_it(client, hosts)
    client.ray(["down", "-y", client.file], 180)
    wait_for_end(hosts)


def write_cluster_file(work: Path, head: Host, workers: list[Host], key: Path) -> Path:
    """The cluster file with a user's edits made, under another name."""
    text = CLUSTER_FILE.read_text(encoding="utf-8")
    cluster: dict[str, Any] = yaml.safe_load(text)
    cluster["cluster_name"] = f"spymaster-{os.getpid()}"
    cluster["provider"] |= {"head_ip": head.address, "worker_ips": [worker.address for worker in workers]}
    cluster["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        smaller = [command.replace('--num-cpus="$(nproc)"', "--num-cpus=1") for command in cluster[name]]
        cluster[name] = [re.sub(r"--object-store-memory=\d+", f"--object-store-memory={OBJECT_STORE_BYTES}", c) for c in smaller]
    path = work / "local.yaml"
    path.write_text(yaml.safe_dump(cluster, sort_keys=False, width=1000), encoding="utf-8")
    return path


def prepare_checkout(folder: Path) -> None:
    """Make ``/opt/spymaster/.venv`` in ``folder``: `make setup` in a mount namespace where the folder is seen at that path."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = yaml.safe_load(CLUSTER_FILE.read_text(encoding="utf-8"))
    for there, here in cluster["file_mounts"].items():
        if there.startswith(f"{CHECKOUT}/"):
            source, target = REPO / here, folder / Path(there).relative_to(CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            slash = "/" if source.is_dir() else ""
            excludes = [f"--exclude={pattern}" for pattern in cluster["rsync_exclude"]]
            subprocess.run(["rsync", "-a", *excludes, f"{source}{slash}", f"{target}{slash}"], check=True, timeout=120)
    script = f"mount --bind '{folder}' {CHECKOUT} && exec make -C {CHECKOUT} setup"
    environment = os.environ | {"PATH": _SYSTEM_PATH}
    step = subprocess.run(["unshare", "--mount", "bash", "-c", script], env=environment, timeout=900)
    if step.returncode:
        raise StepError(f"make setup of the hosts' environment ended with {step.returncode}")


def wait_for_nodes(client: Client, wanted: int) -> None:
    """Until the head counts so many nodes."""
    script = "import ray; ray.init('auto', logging_level='ERROR'); print('nodes alive:', sum(n['Alive'] for n in ray.nodes()))"
    count = f'python -c "{script}"'
    deadline = time.monotonic() + JOIN_SECONDS
    while time.monotonic() < deadline:
        if f"nodes alive: {wanted}" in client.ray(["exec", client.file, count], 90, shown=False, may_fail=True):
            client.ray(["exec", client.file, "ray status"], 90)
            return
    client.ray(["exec", client.file, "tail -n 40 /tmp/ray/session_latest/logs/monitor*"], 60, may_fail=True)
    raise StepError(f"{wanted} nodes were not there after {JOIN_SECONDS:.0f} s")


def refuse_strangers(client: Client, head: Host) -> None:
    """From outside: no dashboard, and no cluster without its token."""
    try:
        socket.create_connection((head.address, 8265), 2.0).close()
    except ConnectionRefusedError:
        print(f"\ndashboard from outside, {head.address}:8265: refused, as it must be")
    else:
        raise StepError("the dashboard answers from outside")
    status = ["status", "--address", f"{head.address}:6379"]
    if "Node status" not in client.ray(status, 60, shown=False, may_fail=True):
        raise StepError("the cluster does not tell its status to one with the right token")
    if "Node status" in client.ray(status, 60, shown=False, may_fail=True, RAY_AUTH_TOKEN="0" * 64):
        raise StepError("the cluster tells its status to one with a wrong token")
    print(f"status from outside, {head.address}:6379: told to the right token, refused to a wrong one")


def every_host_worked(hosts: list[Host]) -> None:
    """Each host has one processor, and the sweep runs two trials at a time: so each must have held a trial's actor."""
    for host in hosts:
        actors = host.ssh("cat /tmp/ray/session_latest/logs/worker-*.out | grep -c '^:actor_name:' || true", 20).strip()
        print(f"actors that ran on {host.address}: {actors}")
        if actors == "0":
            raise StepError(f"{host.address} took no part in the sweep")


def submit_a_job(client: Client) -> None:
    """A sweep handed over by Ray's Jobs API, through the dashboard's tunnel."""
    port = free_port()
    print(f"\n$ ray dashboard --port {port} {client.file}", flush=True)
    with client.start(["dashboard", "--port", str(port), client.file]) as tunnel:
        deadline = time.monotonic() + 60.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except ConnectionRefusedError:
                if tunnel.process.poll() is not None or time.monotonic() > deadline:
                    raise StepError(f"no tunnel: {tunnel.read(5.0, echo=False)}") from None
                time.sleep(0.5)
        config = f"{CHECKOUT}/lake/research/vp_harness/configs/tune_perm_derivative.yaml"
        sweep = [f"{CHECKOUT}/.venv/bin/python", f"{CHECKOUT}/tune/sweep.py", config, "--limit", "8", "--address", "auto"]
        printed = client.ray(["job", "submit", "--address", f"http://127.0.0.1:{port}", "--", *sweep], 300)
        if "8 points" not in printed or "0 failed" not in printed:
            raise StepError("the job did not end with its points")


def serve_on_it(client: Client, hosts: list[Host]) -> None:
    """The stream of the simulated session, served by the cluster and read on this machine through ssh alone."""
    port = free_port()
    served = f"python -m serve --address auto --port {port}"
    print(f"\n$ ray exec --port-forward {port} {client.file} '{served}'", flush=True)
    with client.start(["exec", "--port-forward", str(port), client.file, served]) as running:
        running.read(240, until="(Ctrl-C ends it)")
        line = [sys.executable, "-m", "serve", "tail", "--port", str(port), "--speed", "0", "--bins", "3"]
        print(f"\n$ python {' '.join(line[1:])}", flush=True)
        tail = subprocess.run(line, cwd=REPO, capture_output=True, text=True, timeout=120)
        print("  " + tail.stdout.replace("\n", "\n  ") + tail.stderr, flush=True)
        if tail.returncode:
            raise StepError(f"serve tail ended with {tail.returncode}")
        show_figures(hosts)
        os.write(running.terminal, b"\x03")  # Ctrl-C
        running.read(90)


def show_figures(hosts: list[Host]) -> None:
    """Our own metrics on the hosts' Prometheus endpoints; Ray sends them every ten seconds."""
    deadline = time.monotonic() + FIGURES_SECONDS
    while time.monotonic() < deadline:
        for host in hosts:
            with urlopen(f"http://{host.address}:6385/metrics", timeout=10.0) as answer:
                lines = [row for row in answer.read().decode().splitlines() if row.startswith("ray_spymaster_")]
            if any(row.startswith("ray_spymaster_bins_served_total") for row in lines):
                print(f"metrics of {host.address}:6385:")
                for row in lines:
                    if "_bucket{" not in row:
                        print(f"  {re.sub(r'{.*}', '', row)}")
                return
        time.sleep(1.0)
    raise StepError(f"no host showed the bins served within {FIGURES_SECONDS:.0f} s")


def free_port() -> int:
    """A port that is free on this machine's loopback; the hosts have all of theirs free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_end(hosts: list[Host]) -> None:
    """Until no host runs Ray."""
    for host in hosts:
        began = time.monotonic()
        while (left := host.ssh("pgrep -c 'raylet|gcs_server' || true", 20).strip()) != "0":
            if time.monotonic() - began > STOP_SECONDS:
                raise StepError(f"{host.address} still runs {left} processes of Ray {STOP_SECONDS:.0f} s after ray down")
            time.sleep(1.0)
        print(f"Ray on {host.address} ended, {time.monotonic() - began:.0f} s after it was looked at")


@contextmanager
def mount_point(path: Path) -> Iterator[None]:
    """An empty folder to mount on, gone again afterwards if it was made here."""
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if is_new:
            path.rmdir()


if __name__ == "__main__":
    sys.exit(main())
