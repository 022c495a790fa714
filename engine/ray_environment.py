"""How Ray is started or joined: its environment, its arguments, whether anybody answers. Imports no Ray, so that every door can
call it before Ray's import.
"""

import os
import socket
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from engine.errors import ConfigError

HEAD_PORT: Final = 6379
CLIENT_PORT: Final = 10001
CONNECT_SECONDS: Final = 5.0
STORE_SLACK_BYTES: Final = 128 << 20


def prepare_ray_environment(*, is_own: bool, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set Ray's environment; a value the user has set stays.

    Parameters
    ----------
    is_own : bool
        Whether a Ray of our own is started on this machine, and not a running cluster joined. Every port of it then
        listens on loopback only: Ray turns ``127.0.0.1`` into the machine's outer address unless clusters are switched off
        by a variable named for the two systems where that is the default.
    environment : mapping, optional
        Default the process's own.

    Source: ray.md, "Decide first"; Ray 2.60, ``services.get_node_ip_address``.
    """
    values = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",  # nobody listens there
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    if is_own:
        values |= {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    for name, value in values.items():
        environment.setdefault(name, value)


def init_arguments(address: str, max_workers: int, data_bytes: int, shipped: Sequence[str]) -> dict[str, Any]:
    """Arguments of ``ray.init`` for a Ray on this machine, on loopback only, or for a cluster that runs.

    Parameters
    ----------
    address : str
        ``local`` starts one on this machine; ``auto`` joins the running one; anything else is the address of a cluster's head.
    data_bytes : int
        What the object store must hold beside its own needs.
    shipped : sequence of str
        Packages of ours that a cluster's workers are sent.

    Raises
    ------
    ConfigError
        No cluster answers at that address.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        return quiet | {
            "address": "local",
            "num_cpus": min(max_workers, os.cpu_count() or 1),
            "object_store_memory": data_bytes + STORE_SLACK_BYTES,
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "_node_ip_address": "127.0.0.1",
        }
    require_answer(address)
    root = Path(__file__).resolve().parent.parent
    return quiet | {"address": address, "runtime_env": {"py_modules": [str(root / name) for name in shipped]}}


def require_answer(address: str) -> None:
    """Find out in seconds whether anybody listens at a cluster's address; Ray itself would try for minutes.

    Raises
    ------
    ConfigError
        Nobody does, or it is no address.
    """
    if address == "auto":
        return
    url = urlsplit(address if "//" in address else f"//{address}")
    try:
        port = url.port or (CLIENT_PORT if url.scheme == "ray" else HEAD_PORT)
        socket.create_connection((url.hostname or "", port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise no_cluster(address) from error


def no_cluster(address: str) -> ConfigError:
    """What is said where no cluster answers."""
    return ConfigError(
        f"--address was {address!r}, where no Ray cluster answers; start one (ray start --head, ray up) or use --address local"
    )
