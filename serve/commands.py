"""What the service's commands do with their arguments: run it, end it, ask how it is doing, follow its stream."""

import argparse
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from engine.config import InstrumentConfig
from engine.constants import NS_PER_DAY
from engine.door import FAILED, print_json
from engine.errors import ConfigError, EngineError, WorkError
from engine.jit import cache_dir
from engine.ray_environment import prepare_ray_environment
from engine.run.runner import Runner, Span
from serve.client import fetch_health, health_lines, stream_url
from serve.detached import Noted, end_driver, end_marked, forget_address, logs, require_note, start_head
from serve.launch import Launch, read_launch
from serve.live_recorder import RecorderProcess
from serve.page import start_page
from serve.query import QUERY_NAMES
from serve.settings import DEFAULT_HOST, DEFAULT_PORT, TOKEN_ENV
from serve.tail import tail


def run(options: argparse.Namespace) -> int:
    """The service, until Ctrl-C; detached, until `stop`."""
    launch = read_launch(options)
    _check_port(launch.settings.host, launch.settings.port)
    return _serve(launch, options.address, options.detach)


def stop(options: argparse.Namespace) -> int:
    """Say goodbye to the clients of a service of this machine, and end it."""
    noted = require_note(options.port)
    prepare_ray_environment(is_own=noted.mark is not None)
    driver = noted.driver_process()
    if driver is not None:
        end_driver(driver)
    elif noted.driver is None:
        from serve.ray_cluster import say_goodbye

        try:
            say_goodbye(noted.address, is_ours=noted.mark is not None)
        except EngineError as error:
            if noted.mark is None:
                raise
            print(f"notice: its clients were not told: {error}", flush=True)
        finally:
            if noted.mark is not None:
                end_marked(noted.mark)
                forget_address(noted.address)
    noted.remove()
    print(f"ended the service on port {noted.port}", flush=True)
    return 0


def status(options: argparse.Namespace) -> int:
    """How the service is doing; exit code 1 when it is not well."""
    body = fetch_health(_base(options), os.environ.get(TOKEN_ENV))
    if options.json:
        print_json(body)
    else:
        print("\n".join(health_lines(body)))
    return 0 if body["status"] == "ok" else FAILED


def follow(options: argparse.Namespace) -> int:
    """The stream, a line per bin."""
    if options.bins is not None and options.bins < 1:
        raise ConfigError(f"--bins was {options.bins}; it must be at least 1")
    query = [(name, value) for name in QUERY_NAMES if (value := getattr(options, name, None)) is not None]
    tail(stream_url(_base(options), query), options.bins, os.environ.get(TOKEN_ENV))
    return 0


def _base(options: argparse.Namespace) -> str:
    if options.url and options.port:
        raise ConfigError(f"--port was {options.port} beside --url {options.url}; give one of them")
    url: str = options.url or f"http://{DEFAULT_HOST}:{options.port or DEFAULT_PORT}"
    if not url.startswith(("http://", "https://", "ws://", "wss://")):
        raise ConfigError(f"--url was {url!r}; it must start with http://, https://, ws:// or wss://")
    return url


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ConfigError(f"--host was {host}: {error.strerror}; give an address of this machine") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ConfigError(
                f"--port {port} on {host} cannot be used: {error.strerror}; end what runs there, or pass another --port"
            ) from None


def _serve(launch: Launch, address: str, is_detached: bool) -> int:
    is_own = address == "local"
    prepare_ray_environment(is_own=is_own)
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")  # Serve's own log stays in its files; ours is shown
    from serve.ray_cluster import ServeCluster  # here, since Ray is imported only where it is used

    settings, config = launch.settings, launch.config
    _compile(config)
    data = f"data {launch.dbn.name}" if launch.recording is None else "live"
    print(f"starting Ray Serve for {config.product_type}:{config.symbol}, {data} …", flush=True)
    if is_detached:
        return _detach(launch, address)
    ended = threading.Event()
    cluster = ServeCluster(address)
    noted: Noted | None = None
    recorder = None if launch.recording is None else RecorderProcess(launch.recording)
    try:
        _on_signals(ended, breaks_off=True)
        with _hang_up_held():
            if recorder is not None:
                recorder.start()
            cluster.start(launch)
            _on_signals(ended, breaks_off=False)  # again: Ray takes some of them for itself while it starts
        if not ended.is_set():
            noted = Noted.of_driver(settings.host, settings.port, cluster.head, cluster.dashboard_url)
            noted.write()
            _say_where(launch, cluster.dashboard_url, "Ctrl-C ends it")
        ended.wait()
    except KeyboardInterrupt:
        _on_signals(ended, breaks_off=False)
    except RuntimeError as error:  # Ray's word for whatever kept a replica from starting
        raise WorkError(f"Ray Serve did not start: {' '.join(str(error).split())}") from None
    finally:
        print("ending …", flush=True)
        try:
            cluster.stop()
        finally:
            if recorder is not None:
                recorder.stop()
        if noted is not None:
            noted.remove()
    print("ended", flush=True)
    return 0


def _detach(launch: Launch, address: str) -> int:
    """Deploy to a Ray that no process of ours holds, and leave."""
    from serve.ray_cluster import ServeCluster

    settings, mark, dashboard = launch.settings, None, ""
    if address == "local":
        address, dashboard, mark = start_head()
    cluster = ServeCluster(address)
    try:
        cluster.start(launch)
        dashboard = cluster.dashboard_url or dashboard
        Noted(settings.host, settings.port, cluster.head, dashboard, mark).write()
        _say_where(launch, dashboard, f"python -m serve stop --port {settings.port} ends it")
        print(f"log            {logs()}", flush=True)
    except BaseException as error:
        if mark is not None:
            end_marked(mark)
            forget_address(address)
        if isinstance(error, RuntimeError):
            raise WorkError(f"Ray Serve did not start: {' '.join(str(error).split())}") from None
        raise
    finally:
        cluster.leave()
    return 0


def _say_where(launch: Launch, dashboard_url: str, end: str) -> None:
    settings, config = launch.settings, launch.config
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"Ray dashboard  {dashboard_url or '-'}")
    query = {"product_type": config.product_type, "symbol": config.symbol}
    wishes = {"dt": settings.defaults.dt, "start_time": settings.defaults.start_time}
    query |= {name: value for name, value in wishes.items() if value is not None}
    print(f"page           http://{host}:{settings.port}/?{urlencode(query, safe=':')}")
    if start_page(settings.page_dir) is None:
        print("               not built: make page builds it in a checkout, where Node is; the stream works without it")
    print(f"serving        http://{host}:{settings.port}/  ({end})", flush=True)


@contextmanager
def _hang_up_held() -> Iterator[None]:
    """Keep a hang-up for afterwards, and from the processes that are started meanwhile: they end when we say so.

    A terminal that closes sends it to them too, and a Ray that ended by it could not say goodbye to anybody.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _on_signals(ended: threading.Event, *, breaks_off: bool) -> None:
    """Let Ctrl-C, a polite kill and a terminal that closes set ``ended``, and break off what is being waited for.

    While Ray starts it may swallow the exception, never the event.
    """

    def take(*_: Any) -> None:
        ended.set()
        if breaks_off:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored: nohup asks to go on
            signal.signal(number, take)


def _compile(config: InstrumentConfig) -> None:
    """Fill the kernel cache here, where the wait can be explained; a replica that compiles looks like one that hangs."""
    if next(Path(cache_dir()).rglob("*consume*.nbi"), None) is None:
        print("compiling the engine's kernels, once for this version: about half a minute …", flush=True)
        Runner(config, Span(0, NS_PER_DAY)).warmup()
