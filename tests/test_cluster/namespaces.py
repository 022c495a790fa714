"""Hosts on one machine: a network, process and mount namespace each, on a bridge, with an sshd where wanted.

Nothing outside them changes but a bridge and the hosts' ends of it, and all of it goes when the context ends. Needs root and
Linux. Process namespaces because ``ray stop`` ends every Ray process it can see; mount namespaces because each host has a
``/tmp``, a home and a checkout of its own.
"""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUBNETS: Final = tuple(f"10.213.{number}" for number in range(1, 255))  # of these hosts only; each run takes one that is free
START_SECONDS: Final = 20.0
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def why_not(tools: Sequence[str]) -> str | None:
    """The reason why namespaces cannot be made here, and how to mend it; None where they can."""
    if os.geteuid() != 0:
        return "namespaces need root: run it with sudo"
    packages = {"ip": "iproute2", "unshare": "util-linux", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync"}
    missing = [packages.get(tool, tool) for tool in tools if shutil.which(tool, path=f"{os.environ['PATH']}:{_PATH}") is None]
    if missing:
        return f"not installed: {', '.join(missing)}; apt-get install {' '.join(missing)}"
    return None


@dataclass(frozen=True)
class Network:
    """A bridge that hosts hang on."""

    bridge: str
    subnet: str

    @property
    def gateway(self) -> str:
        """This machine's own address on it."""
        return f"{self.subnet}.1"


@contextmanager
def network() -> Iterator[Network]:
    """A bridge of its own for hosts, with addresses that nothing here uses."""
    used = _run("ip", "-4", "route", "show", "table", "all")
    first = os.getpid() % len(SUBNETS)
    subnet = next(one for one in SUBNETS[first:] + SUBNETS[:first] if f"{one}." not in used)
    made = Network(f"smbr{os.getpid() % 100_000}", subnet)
    _run("ip", "link", "add", made.bridge, "type", "bridge")
    try:
        _run("ip", "address", "add", f"{made.gateway}/24", "dev", made.bridge)
        _run("ip", "link", "set", made.bridge, "up")
        yield made
    finally:
        _run("ip", "link", "delete", made.bridge)


@contextmanager
def network_namespace(on: Network, number: int) -> Iterator[tuple[str, str]]:
    """A network namespace with one interface on the bridge; yields its name and its address."""
    name, address = f"sm{os.getpid() % 100_000}n{number}", f"{on.subnet}.{10 + number}"
    outer, inner = f"{name}o", f"{name}i"
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _run("ip", "link", "set", outer, "master", on.bridge, "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", inner)
        _run("ip", "-n", name, "link", "set", inner, "up")
        yield name, address
    finally:
        _run("ip", "netns", "delete", name)


@dataclass(frozen=True)
class Host:
    """A machine as `ray up` sees one: an address and an ssh key that opens it."""

    name: str
    address: str
    home: Path  # what is root's home there, as seen from here
    key: Path

    def ssh(self, command: str, timeout_s: float) -> str:
        """Output of a command run there; raises when it fails or takes too long."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "LogLevel=ERROR")
        flags = [flag for option in options for flag in ("-o", option)]
        line = ["ssh", "-F", "none", "-i", str(self.key), *flags, f"root@{self.address}", command]
        return subprocess.run(line, check=True, capture_output=True, text=True, timeout=timeout_s).stdout


@contextmanager
def ssh_host(on: Network, number: int, folder: Path, key: Path, mounts: dict[Path, Path]) -> Iterator[Host]:
    """A host with its own sshd.

    Parameters
    ----------
    folder : Path
        Empty folder that becomes its home and its ``/tmp``.
    key : Path
        Private key whose public half, ``<key>.pub``, opens root's account.
    mounts : dict of Path to Path
        Path on the host, which must exist here or lie under ``/srv``, to the folder that is seen there.
    """
    home, tmp = folder / "home", folder / "tmp"
    for path in (home / ".ssh", tmp):
        path.mkdir(parents=True)
        path.chmod(0o700)
    tmp.chmod(0o1777)
    shutil.copy(f"{key}.pub", home / ".ssh" / "authorized_keys")
    (home / ".bashrc").touch()
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / "host_key"))
    root_home = Path(pwd.getpwuid(0).pw_dir)
    sshd_config = f"""
        HostKey {root_home}/host_key
        AuthorizedKeysFile {root_home}/.ssh/authorized_keys
        PermitRootLogin prohibit-password
        PasswordAuthentication no
        UsePAM no
        Subsystem sftp internal-sftp
    """
    (home / "sshd_config").write_text("\n".join(line.strip() for line in sshd_config.splitlines()))
    lines = [
        "mount -t tmpfs tmpfs /srv",
        "mount -t tmpfs tmpfs /run",
        "mkdir -p /run/sshd",
        "mount -t tmpfs -o size=1g tmpfs /dev/shm",
    ]
    for there, here in mounts.items():
        lines += [f"mkdir -p '{there}'", f"mount --bind '{here}' '{there}'"]
    # Home and /tmp last: the folders above may lie in either.
    lines += [f"mount --bind '{home}' /mnt", f"mount --bind '{tmp}' /tmp", f"mount --move /mnt '{root_home}'"]
    lines += [f"cd / && exec /usr/sbin/sshd -D -e -f {root_home}/sshd_config"]
    with network_namespace(on, number) as (name, address), open(folder / "sshd.log", "wb") as log:
        script = " && ".join([f"hostname {name}", *lines])
        spaces = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        init = subprocess.Popen(
            ["ip", "netns", "exec", name, *spaces, "bash", "-c", script],
            stdout=log,
            stderr=log,
            env={"PATH": _PATH},
        )
        try:
            _wait_for_port(address, 22, init, folder / "sshd.log")
            yield Host(name, address, home, key)
        finally:
            init.kill()  # its first process goes with it, and with that every process of the namespace
            init.wait(START_SECONDS)


def _wait_for_port(address: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until sshd answers; there is no event to wait for across namespaces."""
    waited = 0.0
    while waited < START_SECONDS:
        try:
            socket.create_connection((address, port), 0.2).close()
            return
        except OSError:
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                waited += 0.2
                continue
            break
    raise RuntimeError(f"sshd of {address} did not come up: {log.read_text().strip()}")


def _run(*line: str) -> str:
    result = subprocess.run(line, capture_output=True, text=True, timeout=START_SECONDS)
    if result.returncode:
        raise RuntimeError(f"{' '.join(line)}: {result.stderr.strip()}")
    return result.stdout
