"""Ray Serve around the app: the replica, and the app builder that Ray's own ``serve run`` and ``serve deploy`` call.

serve run serve.deployment:build symbol=MNQH6 lake=/srv/spymaster/lake
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig
from starlette.applications import Starlette

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from serve.allocator import return_freed_memory
from serve.app import build_app
from serve.arguments import Arguments
from serve.door import Door, raise_descriptor_limit
from serve.launch import read_launch
from serve.limits import changed_settings
from serve.listener import open_listener, run_listener
from serve.logs import log_to_stderr
from serve.metrics import push_metrics
from serve.ports import Port, has_token_guard, keep_grpc_on_loopback, listening, require_closed
from serve.scaling import STREAMS, Scaling
from serve.service import Service
from serve.settings import ServeSettings, is_loopback

logger = logging.getLogger(__name__)

APP_NAME: Final = "vacuum-pressure"
DEPLOYMENT_NAME: Final = "streams"
MAX_ONGOING: Final = 10_000  # behind a proxy each WebSocket holds one, and past it even /health would hang
QUIET: Final = LoggingConfig(log_level="WARNING", enable_access_log=False)
_HEAD: Final = "node:__internal_head__"  # a resource of Ray's that the head alone has
_SLIVER: Final = 0.001
LOOK_S: Final = 5.0


@ray_serve.ingress()
class Streams:
    """One replica: a `Service` behind its own listening socket; a proxy of Serve's, where one runs, reaches it too.

    Parameters
    ----------
    settings : ServeSettings
        As at launch; their limits are what a ``user_config`` changes.
    config : InstrumentConfig
        The instrument.
    driver : int, optional
        Process on this machine whose end ends the Ray that we run on, and so us.
    """

    def __init__(self, settings: ServeSettings, config: InstrumentConfig, driver: int | None = None) -> None:
        log_to_stderr(settings.log_level, settings.log_format)
        return_freed_memory()
        raise_descriptor_limit()
        self._driver = driver
        self._limits = settings.limits
        self._is_closed = is_loopback(settings.host) or not has_token_guard()
        if self._is_closed:
            keep_grpc_on_loopback()
        self._service = Service(settings, config)
        self._door = Door()
        self._service.before_goodbye = self._door.shut  # a client that was told comes back at once, and not to us
        self._service.figures.sockets = self._door.figures
        self._listener = open_listener(settings.host, settings.port)  # a connection waits until the app has started
        self._ports: set[Port] | None = listening()

    def __serve_build_asgi_app__(self) -> Starlette:
        jobs = (self._listen, self._push_metrics, self._watch_driver, self._watch_replicas)
        return build_app(self._service, jobs)

    async def _listen(self, app: Starlette) -> None:
        await run_listener(app, self._listener, self._door)

    async def _push_metrics(self, _: Starlette) -> None:
        await push_metrics(self._service)

    async def _watch_driver(self, _: Starlette) -> None:
        """Say goodbye while there is time: Ray ends this process about a second after the driver's."""
        if self._driver is not None and await ended(self._driver):
            n_clients = await self._service.go_away()
            logger.error("process %d, which ran this service, has ended; %d clients were told", self._driver, n_clients)

    async def _watch_replicas(self, _: Starlette) -> None:
        """Keep what ``/health`` says of all replicas: a client's request reaches one of them."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._service.deployments = await asyncio.to_thread(told_of_replicas)

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take new limits between two requests; what is not allowed changes nothing and is told in ``/health``.

        Serve calls it with the ``user_config`` of a deployment, first once the replica has started.
        """
        service = self._service
        try:
            settings = changed_settings(service.settings, self._limits, user_config)
        except ConfigError as error:  # raised, it would cost the replica and all its streams
            logger.error("a user_config was refused, and the limits stay: %s", error)
            service.refuse_settings(str(error))
            return
        service.change_settings(settings)
        logging.getLogger("serve").setLevel(settings.log_level)

    async def check_health(self) -> None:
        """Refuse to serve beside a port that others reach; Serve asks first once it has opened what it opens."""
        if self._ports is not None and self._is_closed:
            require_closed(self._ports, listening())
        self._ports = None

    async def record_autoscaling_stats(self) -> dict[str, int]:
        """What `serve.scaling.replicas_for_streams` decides by."""
        return {STREAMS: len(self._service.streams)}

    async def figures(self) -> dict[str, Any]:
        """This replica's counts, for whoever asks them all."""
        return {"clients": len(self._service.streams), "sessions": self._service.hub.n_sessions}

    async def go_away(self) -> int:
        """Close every stream with 1001; called on all replicas before the service ends."""
        return await self._service.go_away()


def told_of_replicas() -> dict[str, Any] | None:
    """What Serve knows of our deployment: its state, replicas by theirs; clients and sessions of all replicas.

    None where Serve does not answer: streams go on without it.
    """
    try:
        found = ray_serve.status().applications.get(APP_NAME)
        if found is None or DEPLOYMENT_NAME not in found.deployments:
            return None
        answers = ray_serve.get_app_handle(APP_NAME).broadcast("figures").results(timeout_s=LOOK_S)
    except (RayError, RayServeException, TimeoutError) as error:
        logger.warning("Ray Serve does not say how the replicas are: %s", error)
        return None
    states = found.deployments[DEPLOYMENT_NAME].replica_states
    return {
        "status": found.status.value,
        "replicas": {str(getattr(state, "value", state)): n for state, n in states.items()},
        "clients": sum(answer["clients"] for answer in answers),
        "sessions": sum(answer["sessions"] for answer in answers),
    }


async def ended(pid: int) -> bool:
    """Wait for the end of a process of this machine; False where the system cannot tell."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(handle, over.set)
        await over.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


def application(
    settings: ServeSettings,
    config: InstrumentConfig,
    scaling: Scaling,
    *,
    node: str = _HEAD,
    driver: int | None = None,
) -> Any:
    """The service as an application of Ray Serve.

    Parameters
    ----------
    node : str
        Resource of the node that keeps the replicas where only it could reach them, by default the head.
    driver : int, optional
        As `Streams` takes it.
    """
    deployment = ray_serve.deployment(
        name=DEPLOYMENT_NAME,
        **scaling.options(),
        max_ongoing_requests=MAX_ONGOING,
        max_constructor_retry_count=3,  # a port that is taken stays taken
        max_surge_percent=100,  # a port is shared: the new one answers before the old one goes
        graceful_shutdown_timeout_s=settings.limits.close_s + 1.0,
        graceful_shutdown_wait_loop_s=0.1,
        # A stream is light; a sweep on the same machine keeps its processors.
        ray_actor_options={"num_cpus": 0, "resources": {node: _SLIVER} if is_loopback(settings.host) else {}},
        logging_config=QUIET,
    )(Streams)
    return deployment.bind(settings, config, driver)


def build(arguments: Arguments) -> Any:
    """The service from typed arguments: what ``serve run``, ``serve deploy`` and a RayService name as ``serve.deployment:build``.

    Raises
    ------
    EngineError
        An argument is not allowed; nothing is started then, and what runs stays.
    """
    launch = read_launch(arguments.options())
    return application(launch.settings, launch.config, launch.scaling)


def __getattr__(name: str) -> Any:
    """``app``: the service with no argument given, which ``serve build`` writes down. Made when asked for, not on import."""
    if name == "app":
        return build(Arguments())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
