"""Ray Serve around the app: replicas, resources, metrics, goodbye. Nothing else in this package knows Ray."""

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from typing import Any, Final

import ray
from ray import serve as ray_serve
from ray.serve._private import replica as serve_replica
from ray.serve.schema import LoggingConfig
from ray.util import get_node_ip_address
from ray.util.metrics import Counter, Gauge, Histogram
from starlette.applications import Starlette

from engine.config import InstrumentConfig
from engine.ray_environment import begin_ray, with_port
from serve.allocator import return_freed_memory
from serve.app import build_app
from serve.door import Door, raise_descriptor_limit
from serve.figures import Figures
from serve.listener import open_listener, run_listener
from serve.service import Service
from serve.settings import ServeSettings, is_loopback

APP_NAME: Final = "vacuum-pressure"
DEPLOYMENT_NAME: Final = "streams"
MAX_ONGOING: Final = 10_000  # behind a proxy each WebSocket holds one, and past it even /health would hang
METRICS_PERIOD_S: Final = 1.0
_GRPC_PORT_OPENER: Final = "add_port_to_grpc_server"
_LAG_BOUNDARIES_MS: Final = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0]
_OBJECT_STORE_BYTES: Final = 128 << 20  # nothing of ours lives there


@ray_serve.ingress()
class Streams:
    """One replica: a `Service` behind its own listening socket; a proxy of Serve's, where one runs, reaches it too."""

    def __init__(self, settings: ServeSettings, config: InstrumentConfig) -> None:
        _log_to_stderr(settings.log_level)
        return_freed_memory()
        raise_descriptor_limit()
        if is_loopback(settings.host):
            _keep_replica_on_loopback()
        self._service = Service(settings, config)
        self._door = Door()
        self._listener = open_listener(settings.host, settings.port)  # a connection waits until the app has started

    def __serve_build_asgi_app__(self) -> Starlette:
        return build_app(self._service, (self._listen, self._push_metrics))

    async def _listen(self, app: Starlette) -> None:
        await run_listener(app, self._listener, self._door)

    async def _push_metrics(self, _: Starlette) -> None:
        await push_metrics(self._service.figures, lambda: len(self._service.streams))

    async def go_away(self) -> int:
        """Close every stream with 1001; called on all replicas before the service ends."""
        return await self._service.go_away()


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

    def start(self, settings: ServeSettings, config: InstrumentConfig) -> None:
        """Start or join Ray, deploy the replicas and wait until they are ready.

        Raises
        ------
        ConfigError, WorkError
            No Ray answers at the address, or none starts here.
        RuntimeError
            A replica does not start; Ray's words say why.
        """
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        own: dict[str, Any] = {"dashboard_host": "127.0.0.1", "object_store_memory": _OBJECT_STORE_BYTES}
        arguments = {"address": with_port(self._address), **(own if self._is_own else {})}
        context = begin_ray(ray.init, arguments, logging.WARNING)
        self.dashboard_url = f"http://{context.dashboard_url}/" if context.dashboard_url else ""
        quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
        ray_serve.start(proxy_location="Disabled", logging_config=quiet)
        deployment = ray_serve.deployment(
            name=DEPLOYMENT_NAME,
            num_replicas=settings.replicas,
            max_ongoing_requests=MAX_ONGOING,
            max_constructor_retry_count=3,  # a port that is taken stays taken
            graceful_shutdown_timeout_s=settings.limits.close_s + 1.0,
            graceful_shutdown_wait_loop_s=0.1,
            # A stream is light; a sweep on the same machine keeps its processors.
            ray_actor_options={"num_cpus": 0, "resources": _placement(settings.host)},
            logging_config=quiet,
        )(Streams)
        application = deployment.bind(settings, config)
        try:
            self._handle = ray_serve.run(application, name=APP_NAME, route_prefix="/", logging_config=quiet)
        except RuntimeError as error:
            raise RuntimeError(_last_word(error)) from error

    def stop(self) -> None:
        """Say goodbye to the clients, then end what was started here."""
        try:
            if self._handle is not None:
                self._handle.broadcast("go_away").results()
                if not self._is_own:
                    ray_serve.delete(APP_NAME)
        finally:
            ray.shutdown()


def _placement(host: str) -> dict[str, float]:
    """Resources that tie replicas to this node where only it could reach them; none where others can."""
    here: str = get_node_ip_address()  # type: ignore[no-untyped-call]
    return {f"node:{here}": 0.001} if is_loopback(host) else {}


def _last_word(error: RuntimeError) -> str:
    """Why a replica did not start, in one line: the end of what Serve kept of its traceback."""
    application = ray_serve.status().applications.get(APP_NAME)
    words = [deployment.message for deployment in application.deployments.values()] if application else []
    lines = [line.strip() for line in "\n".join(words).splitlines() if line.strip()]
    causes = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (causes or lines or [str(error)])[-1]


async def push_metrics(figures: Figures, n_clients: Callable[[], int]) -> None:
    """Carry a replica's counters to Ray's metrics once a second, until cancelled."""
    bins = Counter("spymaster_bins_served", "Bins sent to clients")
    dropped = Counter("spymaster_bins_dropped", "Bins skipped for slow readers")
    swaps = Counter("spymaster_model_swaps", "Signals that took over in open streams")
    clients = Gauge("spymaster_clients", "Open streams")
    lag = Histogram("spymaster_bin_lag_ms", "Sending after due, milliseconds", boundaries=_LAG_BOUNDARIES_MS)
    counted = (0, 0, 0)
    while True:
        await asyncio.sleep(METRICS_PERIOD_S)
        now = (figures.bins_served, figures.bins_dropped, figures.swaps)
        for counter, value, before in zip((bins, dropped, swaps), now, counted, strict=True):
            if value > before:
                counter.inc(value - before)
        counted = now
        clients.set(n_clients())
        for lag_ms in figures.take_new_lags():
            lag.observe(lag_ms)


def _keep_replica_on_loopback() -> None:
    """Bind the replica's own gRPC port, which Serve opens on all addresses after this constructor, to loopback.

    Serve has no option for it. Only its proxy on this machine uses the port, and only when told to.
    """
    original: Callable[[Any, str], int] = getattr(serve_replica, _GRPC_PORT_OPENER)

    def on_loopback(server: Any, address: str) -> int:
        host, _, port = address.rpartition(":")
        return original(server, f"127.0.0.1:{port}" if host == "[::]" else address)

    setattr(serve_replica, _GRPC_PORT_OPENER, on_loopback)


def _log_to_stderr(level: str) -> None:
    """Show our own log lines; Ray carries a worker's stderr to the terminal that started it."""
    ours = logging.getLogger("serve")
    if not ours.handlers:
        handler = logging.StreamHandler(sys.__stderr__)  # sys.stderr is Serve's here: it keeps warnings only, in a file
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        ours.addHandler(handler)
        ours.propagate = False
    ours.setLevel(level)
