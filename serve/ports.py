"""The ports of a replica's process: where it listens, and Serve's own gRPC port kept where nobody else reaches it.

That port unpickles what it receives: whoever reaches it without a token runs what he likes here. Ray 2.60 opens it on all
addresses in every replica, uses it for its proxies and handles only where told to (``RAY_SERVE_USE_GRPC_BY_DEFAULT``), and has
no option for its address. So it is bound to loopback; and because a private function is replaced for that, a replica looks at
its sockets before it serves, and does not serve where one of them is open to others.
"""

import ipaddress
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

import psutil  # type: ignore[import-untyped]
from ray.serve._private import replica as serve_replica

OPENER: Final = "add_port_to_grpc_server"  # of Ray 2.60, as ray.serve._private.replica imports it
EVERYWHERE: Final = "[::]"  # how it asks for all addresses


class Port(NamedTuple):
    """A socket that takes connections."""

    address: str
    number: int

    @property
    def is_loopback(self) -> bool:
        ip = ipaddress.ip_address(self.address.partition("%")[0])
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return (mapped or ip).is_loopback


class OpenPortError(RuntimeError):
    """A replica would have a port that others reach."""


def listening() -> set[Port]:
    """TCP ports on which this process takes connections."""
    found = psutil.Process().net_connections(kind="tcp")
    return {Port(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN}


def has_token_guard(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Ray asks for its token on every port of its own, Serve's gRPC port among them."""
    return environment.get("RAY_AUTH_MODE") == "token"


def keep_grpc_on_loopback() -> None:
    """Bind the gRPC port, which Serve opens once the replica is constructed, to loopback.

    Raises
    ------
    OpenPortError
        This Ray opens it in another way.
    """
    original: Callable[[Any, str], int] | None = getattr(serve_replica, OPENER, None)
    if original is None:
        raise OpenPortError(
            f"this Ray has no ray.serve._private.replica.{OPENER}, by which 2.60 opens a replica's gRPC port on all addresses; "
            "find how it does so now and keep it on loopback in serve/ports.py, or run the Ray of requirements.txt"
        )

    def on_loopback(server: Any, address: str) -> int:
        host, _, port = address.rpartition(":")
        return original(server, f"127.0.0.1:{port}" if host == EVERYWHERE else address)

    setattr(serve_replica, OPENER, on_loopback)


def require_closed(before: Collection[Port], after: Collection[Port]) -> None:
    """Refuse what was opened beyond loopback.

    Parameters
    ----------
    before : collection of Port
        What Ray itself, and whoever runs it, answers for: its worker's port, and our own listener.

    Raises
    ------
    OpenPortError
        Naming each.
    """
    found = sorted(port for port in set(after) - set(before) if not port.is_loopback)
    if found:
        named = ", ".join(f"{port.address}:{port.number}" for port in found)
        raise OpenPortError(
            f"this Ray opened {named} in a replica, where others reach it, and it unpickles what it receives; run it with "
            "RAY_AUTH_MODE=token, or run the Ray of requirements.txt"
        )
