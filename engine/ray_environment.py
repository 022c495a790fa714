"""How Ray is started or joined: its environment, its arguments, whether anybody answers. Imports no Ray, so that every door can
call it before Ray's import.
"""

import contextlib
import logging
import os
import shutil
import socket
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from engine.errors import ConfigError, WorkError

HEAD_PORT: Final = 6379
CLIENT_PORT: Final = 10001
CONNECT_SECONDS: Final = 5.0
STORE_SLACK_BYTES: Final = 128 << 20
TEMP_BYTES: Final = 32 << 20  # of logs and sockets; with less Ray tries for a minute and a half, and says much
_HTTP2_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and empty settings (RFC 9113, 3.4)
_HTTP2_SETTINGS: Final = 4  # the kind of frame that a server answers with


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


def default_address() -> str:
    """Which Ray is meant where none is named: the one that ``RAY_ADDRESS`` names, else one of our own."""
    return "local" if os.environ.get("RAY_ADDRESS", "") in ("", "local") else "auto"


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
    if address == "local":
        return {
            "log_to_driver": False,
            "address": "local",
            "num_cpus": min(max_workers, os.cpu_count() or 1),
            "object_store_memory": data_bytes + STORE_SLACK_BYTES,
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "_node_ip_address": "127.0.0.1",
        }
    root = Path(__file__).resolve().parent.parent
    return {
        "log_to_driver": False,
        "address": with_port(address),
        "runtime_env": {"py_modules": [str(root / name) for name in shipped]},
    }


def begin_ray(init: Callable[..., Any], arguments: dict[str, Any], level: int = logging.ERROR) -> Any:
    """Call ``ray.init``, ``init``, and return what it does; before, find out in seconds what it would try for minutes.

    Parameters
    ----------
    arguments : dict
        Its ``address`` among them: ``local`` starts a Ray, anything else joins one.
    level : int
        Of Ray's own log from then on. Until then it is silent: what goes wrong is told in our one line.

    Raises
    ------
    ConfigError
        No cluster answers at the address.
    WorkError
        Ray does not start on this machine.
    """
    address = arguments["address"]
    require_ray(address)
    try:
        context = init(**arguments, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises no narrower one
        if address == "local":
            raise _not_started(error) from error
        raise no_cluster(address, error) from error
    logging.getLogger("ray").setLevel(level)
    return context


def require_ray(address: str) -> None:
    """Refuse an address at which no Ray can be joined, or a machine on which none can start; costs milliseconds where it can.

    Raises
    ------
    ConfigError, WorkError
        As `require_answer` and `require_room`.
    """
    if address == "local":
        require_room()
    else:
        require_answer(address)


def temp_folder() -> Path:
    """Where Ray keeps its logs, its sockets, and the address of the last cluster started here.

    Source: Ray 2.60, ``ray._common.utils.get_default_system_temp_dir``.
    """
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray"


def require_room() -> None:
    """Refuse to start a Ray whose temporary folder cannot be written.

    Raises
    ------
    WorkError
        It cannot, or has too little space.
    """
    folder = next(path for path in (temp_folder(), *temp_folder().parents) if path.exists())
    mend = "free some space, or set RAY_TMPDIR to another folder with a short name"
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WorkError(f"Ray cannot start: its temporary folder {temp_folder()} cannot be written; {mend}")
    free = shutil.disk_usage(folder).free
    if free < TEMP_BYTES:
        room = f"has {free >> 20} MB of space, which must be {TEMP_BYTES >> 20}"
        raise WorkError(f"Ray cannot start: its temporary folder {temp_folder()} {room}; {mend}")


def _not_started(error: Exception) -> WorkError:
    return WorkError(
        f"Ray did not start on this machine: {_one_line(error)}; its logs are in {temp_folder()}/session_latest/logs. Free "
        "memory and disk space, set RAY_TMPDIR to a short path, or name a running Ray with --address"
    )


class _Meant(NamedTuple):
    """Where Ray will look, empty where it searches this machine; who says so; and how to mend that."""

    address: str
    said: str
    mend: str


def _meant(address: str) -> _Meant:
    """What ``auto`` and any other address lead to, in the order in which Ray decides it."""
    others = "start one (ray start --head, ray up) or use --address local"
    if address != "auto":
        return _Meant(address, f"--address was {address!r}", others)
    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", "auto"):
        return _Meant(named, f"the environment's RAY_ADDRESS was {named!r}", "unset RAY_ADDRESS or use --address local")
    file = temp_folder() / "ray_current_cluster"
    with contextlib.suppress(FileNotFoundError):
        noted = file.read_text().strip()
        if noted and not _runs_here():
            return _Meant(
                noted,
                f"--address was 'auto' and {file} says {noted!r}",
                f"remove that file, which an ended Ray left, or {others}",
            )
    return _Meant("", "--address was 'auto'", others)


def _runs_here() -> bool:
    """Whether the head of exactly one Ray runs on this machine: that one Ray joins, whatever its file says."""
    titles = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is not ours
            titles.append(path.read_bytes().split(b"\0")[0])
    return sum(title.endswith(b"gcs_server") for title in titles) == 1


def with_port(address: str) -> str:
    """A head's address as Ray takes it, with its port; what is no address is left to `require_answer`."""
    if address in ("local", "auto") or "//" in address:
        return address
    with contextlib.suppress(ValueError):
        if _split(address).port is None:
            return f"{address}:{HEAD_PORT}"
    return address


def _split(address: str) -> SplitResult:
    return urlsplit(address if "//" in address else f"//{address}")


def require_answer(address: str) -> None:
    """Find out in seconds whether a Ray listens at a cluster's address; Ray itself would try for minutes.

    Raises
    ------
    ConfigError
        None does, or it is no address; the line says where the address came from.
    """
    meant = _meant(address)
    if not meant.address:
        return
    if meant.address == "local":
        raise ConfigError(f"--address was 'auto', which joins a running Ray, but {meant.said}; {meant.mend}")
    try:
        url = _split(meant.address)
        port = url.port or (CLIENT_PORT if url.scheme == "ray" else HEAD_PORT)
        if url.scheme in ("http", "https"):
            raise ConfigError(
                f"{meant.said}, the address of a dashboard, which takes jobs (ray job submit) and no drivers; give "
                f"HOST:{HEAD_PORT} or ray://HOST:{CLIENT_PORT}, {meant.mend}"
            )
        with socket.create_connection((url.hostname or "", port), CONNECT_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("1", "true") and not _speaks_grpc(connection):
                raise ConfigError(f"{meant.said}, where something listens that is no Ray cluster; {meant.mend}")
    except (OSError, ValueError) as error:
        raise no_cluster(address) from error


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether the other side greets as a gRPC server does: another program that has the port now does not."""
    connection.sendall(_HTTP2_GREETING)
    heard = b""
    while len(heard) <= 3:  # length of the first frame, then its kind
        try:
            block = connection.recv(64)
        except TimeoutError:
            return False
        if not block:
            return False
        heard += block
    return heard[3] == _HTTP2_SETTINGS


def no_cluster(address: str, error: Exception | None = None) -> ConfigError:
    """What is said where no cluster answers, or one that cannot be joined (``error``: Ray's word)."""
    meant = _meant(address)
    if error is None or (address == "auto" and not meant.address):
        return ConfigError(f"{meant.said}, where no Ray cluster answers; {meant.mend}")
    return ConfigError(f"{meant.said}, where no Ray cluster can be joined ({_one_line(error)}); {meant.mend}")


def _one_line(error: BaseException) -> str:
    """What Ray says, and what lies behind it, in one line."""
    told = " ".join(f"{error}".split()) or type(error).__name__
    if error.__cause__ is not None:
        told += f": {_one_line(error.__cause__)}"
    return told[:300]
