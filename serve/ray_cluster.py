"""The Ray that the service runs on: started here and ending with us, or joined; the replicas on it, and their end."""

import logging
import os
import re
from typing import Any

import ray
from ray import serve as ray_serve
from ray.serve.exceptions import RayServeException
from ray.util import get_node_ip_address

from engine.errors import ConfigError
from engine.ray_environment import begin_ray, with_port
from serve.deployment import APP_NAME, QUIET, application
from serve.detached import OBJECT_STORE_BYTES
from serve.launch import Launch


class ServeCluster:
    """The Ray this service runs on: started for it, or joined.

    Parameters
    ----------
    address : str
        ``local`` starts one that ends with us; ``auto`` or ``host:port`` joins a running one.
    """

    def __init__(self, address: str = "local") -> None:
        self._is_own = address == "local"
        self._address = address
        self._handle: Any = None
        self.dashboard_url = ""
        self.head = ""  # address of its head

    def start(self, launch: Launch) -> None:
        """Start or join Ray, deploy the replicas and wait until they are ready.

        Raises
        ------
        ConfigError, WorkError
            No Ray answers at the address, or none starts here.
        RuntimeError
            A replica does not start; Ray's words say why.
        """
        self.join()
        ray_serve.start(proxy_location="Disabled", logging_config=QUIET)
        here: str = get_node_ip_address()  # type: ignore[no-untyped-call]
        driver = os.getpid() if self._is_own else None
        built = application(launch.settings, launch.config, launch.scaling, node=f"node:{here}", driver=driver)
        try:
            self._handle = ray_serve.run(built, name=APP_NAME, route_prefix="/", logging_config=QUIET)
        except RuntimeError as error:
            raise RuntimeError(_last_word(error)) from error

    def join(self, *, shows_log: bool = True) -> None:
        """Start or join Ray, and no more.

        Parameters
        ----------
        shows_log : bool
            Whether what replicas log is printed here, too.

        Raises
        ------
        ConfigError, WorkError
            As `start`.
        """
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        own: dict[str, Any] = {"dashboard_host": "127.0.0.1", "object_store_memory": OBJECT_STORE_BYTES}
        arguments = {"address": with_port(self._address), "log_to_driver": shows_log, **(own if self._is_own else {})}
        context = begin_ray(ray.init, arguments, logging.WARNING)
        self.dashboard_url = f"http://{context.dashboard_url}/" if context.dashboard_url else ""
        self.head = str(context.address_info["address"])

    def leave(self) -> None:
        """Let go of a Ray that goes on, and the replicas with it."""
        ray.shutdown()

    def stop(self) -> None:
        """Say goodbye to the clients, then end what was started here."""
        try:
            if self._handle is not None:
                self._handle.broadcast("go_away").results()
                if not self._is_own:
                    ray_serve.delete(APP_NAME)
        finally:
            ray.shutdown()


def say_goodbye(address: str, *, is_ours: bool) -> None:
    """Tell the clients of the service on a Ray that is joined for it, and take the service away from there.

    Parameters
    ----------
    is_ours : bool
        Whether that Ray is ended next, and the replicas with it.

    Raises
    ------
    ConfigError
        No Ray answers there, or no service of ours runs on it.
    """
    cluster = ServeCluster(address)
    cluster.join(shows_log=False)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # how slow a replica is in ending is nobody's concern
    try:
        handle = ray_serve.get_app_handle(APP_NAME)
        handle.broadcast("go_away").results()
        if not is_ours:
            ray_serve.delete(APP_NAME)
    except RayServeException as error:
        raise ConfigError(f"the Ray at {address} runs no {APP_NAME}: {' '.join(str(error).split())}") from error
    finally:
        cluster.leave()


def _last_word(error: RuntimeError) -> str:
    """Why a replica did not start, in one line: the end of what Serve kept of its traceback."""
    found = ray_serve.status().applications.get(APP_NAME)
    words = [deployment.message for deployment in found.deployments.values()] if found else []
    lines = [line.strip() for line in "\n".join(words).splitlines() if line.strip()]
    causes = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (causes or lines or [str(error)])[-1]
