"""What another machine can reach of a running program: every TCP port, tried from another network namespace.

    sudo .venv/bin/python tests/test_cluster/port_scan.py --pid PID      PID: `make demo` or `python -m serve`

Two ways, since each sees what the other cannot: a connection to each port of an address that other hosts see, made from such a
host; and the kernel's list of listening sockets, which also shows those bound to a single address that no scan here may try.
"""

import argparse
import ipaddress
import re
import socket
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, from anywhere

from tests.processes import descendants
from tests.test_cluster.namespaces import network, network_namespace, why_not

TOOLS: Final = ("ip",)
SCAN_SECONDS: Final = 240.0
_LISTEN: Final = "0A"
# Runs on the other host: prints each port that takes a connection.
_SCAN: Final = """
import socket, sys
for port in range(1, 65536):
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((sys.argv[1], port)) == 0:
            print(port)
"""


@dataclass(frozen=True, order=True)
class Listener:
    """A socket that waits for connections."""

    port: int
    address: str
    pid: int
    title: str


def scan() -> set[int]:
    """TCP ports of this machine that take a connection from another host."""
    with network() as made, network_namespace(made, 0) as (name, _), socket.socket() as known:
        known.bind((made.gateway, 0))
        known.listen()
        line = ["ip", "netns", "exec", name, sys.executable, "-c", _SCAN, made.gateway]
        printed = subprocess.run(line, check=True, capture_output=True, text=True, timeout=SCAN_SECONDS).stdout
        found = {int(port) for port in printed.split()}
        if known.getsockname()[1] not in found:
            raise RuntimeError(f"the scan missed port {known.getsockname()[1]}, which is open: it proves nothing")
        return found - {known.getsockname()[1]}


def listeners(pids: Collection[int]) -> list[Listener]:
    """Listening TCP sockets of these processes."""
    by_inode: dict[str, tuple[str, int]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            columns = row.split()
            if columns[3] == _LISTEN:
                address, _, port = columns[1].partition(":")
                by_inode[columns[9]] = (_readable(address), int(port, 16))
    found: set[Listener] = set()
    for pid in pids:
        try:
            targets = [str(link.readlink()) for link in (Path("/proc") / str(pid) / "fd").iterdir()]
            title = (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue  # it ended meanwhile
        for target in targets:
            match = re.fullmatch(r"socket:\[(\d+)\]", target)
            if match and match[1] in by_inode:
                host, number = by_inode[match[1]]
                found.add(Listener(number, host, pid, title[:100]))
    return sorted(found)


def exposed(pids: Collection[int]) -> list[Listener]:
    """Listening sockets of these processes that others could reach: by the kernel's list or by trial."""
    reachable = scan()
    return [one for one in listeners(pids) if not ipaddress.ip_address(one.address).is_loopback or one.port in reachable]


def _readable(address: str) -> str:
    """The kernel writes addresses as 32-bit words of this machine's byte order, in hex."""
    words = [int(address[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(address), 8)]
    ip = ipaddress.ip_address(b"".join(words))
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pid", type=int, required=True, help="the program: it and all its descendants are looked at")
    pid = parser.parse_args().pid
    if (reason := why_not(TOOLS)) is not None:
        print(reason, file=sys.stderr)
        return 2
    ours = {pid, *descendants(pid)}
    found = exposed(ours)
    for one in found:
        print(f"OPEN  {one.address}:{one.port}  pid {one.pid}  {one.title}")
    print(f"{len(ours)} processes, {len(listeners(ours))} listening sockets, {len(found)} of them open to others")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
