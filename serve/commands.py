"""What the service's commands do with their arguments: run it, ask how it is doing, follow its stream."""

import argparse
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from engine.champion import read_champion, read_pointer
from engine.config import InstrumentConfig, load_instrument, require_instrument
from engine.constants import NS_PER_DAY
from engine.dataset.sealed import require_open_day
from engine.door import FAILED, print_json, read_day
from engine.errors import ChampionError, ConfigError, WorkError
from engine.jit import cache_dir
from engine.lake import Lake, raw_file
from engine.ray_environment import prepare_ray_environment
from engine.run.replay import Replay
from engine.run.runner import Runner, Span
from engine.source.records import open_source
from serve.champion import check_champion
from serve.client import fetch_health, health_lines, stream_url
from serve.latency import read_capture
from serve.page import start_page
from serve.query import HORIZONS, PERM_FIELDS, QUERY_NAMES
from serve.request import last_day, perm_value, read_horizons, read_model, read_number, read_start_time, refuse_idle
from serve.settings import (
    CHAMPION,
    DEFAULT_HOST,
    DEFAULT_PORT,
    MAX_PROJECTION,
    TOKEN_ENV,
    Projection,
    ServeSettings,
    StreamDefaults,
    require_token,
)
from serve.tail import tail
from serve.trust import read_trust


def run(options: argparse.Namespace) -> int:
    """The service, until Ctrl-C."""
    overrides: dict[str, Any] = {
        name: perm_value(name, value) for name in PERM_FIELDS if (value := getattr(options, name)) is not None
    }
    perm_names = tuple(overrides)
    if options.projection_horizons_bins is not None:
        overrides[HORIZONS] = read_horizons(options.projection_horizons_bins)
    config = load_instrument(overrides=overrides)
    settings = _settings(options, config, perm_names)
    dbn = _check_day(settings, config)
    _check_model(settings, config)
    _check_port(settings.host, settings.port)
    return _serve(settings, config, dbn, options.address)


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


def _settings(options: argparse.Namespace, config: InstrumentConfig, perm_names: tuple[str, ...]) -> ServeSettings:
    require_instrument(config, options.product_type or config.product_type, options.symbol or config.symbol)
    if not 1 <= options.port <= 65535:
        raise ConfigError(f"--port was {options.port}; it must be 1 to 65535")
    if not 1 <= options.replicas <= 64:
        raise ConfigError(f"--replicas was {options.replicas}; it must be 1 to 64")
    model = read_model(options.model, "--model")
    refuse_idle(perm_names, model)
    return ServeSettings(
        lake=Lake.open(options.lake),
        host=options.host,
        port=options.port,
        replicas=options.replicas,
        token=require_token(options.host),
        allowed_origins=tuple(options.allow_origin),
        trust=read_trust(options.allow_signals, options.allow_signal),
        assumes_symbol=options.assume_symbol,
        defaults=StreamDefaults(
            dt=None if options.dt is None else read_day(options.dt).isoformat(),
            start_time=None if options.start_time is None else read_start_time(options.start_time),
            model=model,
            perm_names=perm_names,
            projection=_projection(options),
            sealed_ok=options.sealed_ok,
        ),
        log_level=options.log_level,
        latency=read_capture(
            options.perf_latency_jsonl,
            options.perf_window_start_et,
            options.perf_window_end_et,
            options.perf_summary_every_bins,
        ),
    )


def _projection(options: argparse.Namespace) -> Projection:
    scale, damping = options.projection_cubic_scale, options.projection_damping_lambda
    if scale is not None and not options.projection_use_cubic:
        raise ConfigError(f"--projection-cubic-scale was {scale} without --projection-use-cubic, so changes nothing; give both")
    values = {
        "cubic_scale": scale if scale is None else read_number("--projection-cubic-scale", scale),
        "damping_lambda": damping if damping is None else read_number("--projection-damping-lambda", damping),
    }
    for name, value in values.items():
        if value is not None and not 0 <= value <= MAX_PROJECTION:
            raise ConfigError(f"--projection-{name.replace('_', '-')} was {value}; it must be 0 to {MAX_PROJECTION:g}")
    return Projection(options.projection_use_cubic, **{name: float(value) for name, value in values.items() if value is not None})


def _check_day(settings: ServeSettings, config: InstrumentConfig) -> Path:
    """Open what a stream without wishes would open, so that a bad file is refused before anything starts."""
    lake, defaults = settings.lake, settings.defaults
    day = read_day(defaults.dt or last_day(lake, config.symbol_root))
    if not defaults.sealed_ok:
        require_open_day(lake, config.symbol, day.isoformat())
    dbn = raw_file(lake, config.symbol_root, day.isoformat())
    source = open_source([dbn], config, day, assumes_symbol=settings.assumes_symbol)
    Replay(source, config, start_time=defaults.start_time, block_bins=1)
    return dbn


def _check_model(settings: ServeSettings, config: InstrumentConfig) -> None:
    """Refuse to start with a version that cannot serve, or beside a champion that may not be loaded; say what will not act.

    A champion that is damaged is the watcher's to report.
    """
    lake, defaults = settings.lake, settings.defaults
    if isinstance(defaults.model, int):
        version = read_champion(lake, defaults.model)
        settings.trust.require(version)
        check_champion(version, config, lake)
        return
    try:
        if defaults.model != CHAMPION or read_pointer(lake).version is None:
            return
        champion = read_champion(lake)
    except (ChampionError, OSError):
        return
    settings.trust.require(champion)
    if defaults.perm_names:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in defaults.perm_names)
        print(
            f"notice: {flags} changes the instrument's own signal only, and champion version {champion.version} scores; add "
            "--model instrument to have the former",
            flush=True,
        )


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


def _serve(settings: ServeSettings, config: InstrumentConfig, dbn: Path, address: str) -> int:
    prepare_ray_environment(is_own=address == "local")
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")  # Serve's own log stays in its files; ours is shown
    from serve.deployment import ServeCluster  # here, since Ray is imported only where it is used

    ended = threading.Event()
    cluster = ServeCluster(address)
    _compile(config)
    print(f"starting Ray Serve for {config.product_type}:{config.symbol}, data {dbn.name} …", flush=True)
    try:
        _on_signals(ended, breaks_off=True)
        cluster.start(settings, config)
        _on_signals(ended, breaks_off=False)  # again: Ray takes some of them for itself while it starts
        if not ended.is_set():
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            print(f"Ray dashboard  {cluster.dashboard_url or '-'}")
            query = {"product_type": config.product_type, "symbol": config.symbol}
            wishes = {"dt": settings.defaults.dt, "start_time": settings.defaults.start_time}
            query |= {name: value for name, value in wishes.items() if value is not None}
            print(f"page           http://{host}:{settings.port}/?{urlencode(query, safe=':')}")
            if start_page(settings.page_dir) is None:
                print("               not built: make page builds it in a checkout, where Node is; the stream works without it")
            print(f"serving        http://{host}:{settings.port}/  (Ctrl-C ends it)", flush=True)
        ended.wait()
    except KeyboardInterrupt:
        _on_signals(ended, breaks_off=False)
    except RuntimeError as error:  # Ray's word for whatever kept a replica from starting
        raise WorkError(f"Ray Serve did not start: {' '.join(str(error).split())}") from None
    finally:
        print("ending …", flush=True)
        cluster.stop()
    print("ended", flush=True)
    return 0


def _on_signals(ended: threading.Event, *, breaks_off: bool) -> None:
    """Let Ctrl-C and a polite kill set ``ended``, and break off what is being waited for.

    While Ray starts it may swallow the exception, never the event.
    """

    def take(*_: Any) -> None:
        ended.set()
        if breaks_off:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, take)


def _compile(config: InstrumentConfig) -> None:
    """Fill the kernel cache here, where the wait can be explained; a replica that compiles looks like one that hangs."""
    if next(Path(cache_dir()).rglob("*consume*.nbi"), None) is None:
        print("compiling the engine's kernels, once for this version: about half a minute …", flush=True)
        Runner(config, Span(0, NS_PER_DAY)).warmup()
