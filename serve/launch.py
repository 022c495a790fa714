"""What a launch is made of: arguments read into settings and an instrument, refused here if anything in them cannot act.

Both doors read theirs here: ``python -m serve`` and the app builder of Ray's own ``serve run``.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.champion import read_champion, read_pointer
from engine.config import InstrumentConfig, load_instrument, require_instrument
from engine.dataset.sealed import require_open_day
from engine.door import read_day
from engine.errors import ChampionError, ConfigError
from engine.feed.record.place import symbol_folder
from engine.lake import Lake, raw_file
from engine.run.replay import Replay
from engine.source.records import open_source
from serve.access import read_host
from serve.champion import check_champion
from serve.latency import read_capture
from serve.live_recorder import LIVE, Recording, read_recording
from serve.query import HORIZONS, PERM_FIELDS
from serve.request import last_day, perm_value, read_horizons, read_model, read_number, read_start_time, refuse_idle
from serve.scaling import Scaling
from serve.settings import CHAMPION, MAX_PROJECTION, Projection, ServeSettings, StreamDefaults, require_token
from serve.trust import read_trust

MAX_REPLICAS: Final = 64
MAX_STREAMS: Final = 100_000  # of a replica


@dataclass(frozen=True)
class Launch:
    """A service that can be started."""

    settings: ServeSettings
    config: InstrumentConfig
    scaling: Scaling
    dbn: Path  # what a stream without wishes plays; of a live service the folder of recordings
    recording: Recording | None = None  # what a live service needs a recorder for


def read_launch(options: argparse.Namespace) -> Launch:
    """Read the arguments of a launch, open the day's file and check the model, so that nothing bad is ever started.

    Raises
    ------
    EngineError
        Naming the argument, what is allowed and how to mend it.
    """
    overrides: dict[str, Any] = {
        name: perm_value(name, value) for name in PERM_FIELDS if (value := getattr(options, name)) is not None
    }
    perm_names = tuple(overrides)
    if options.projection_horizons_bins is not None:
        overrides[HORIZONS] = read_horizons(options.projection_horizons_bins)
    config = load_instrument(overrides=overrides)
    if not 1 <= options.port <= 65535:
        raise ConfigError(f"--port was {options.port}; it must be 1 to 65535")
    settings = _settings(options, config, perm_names)
    scaling = _scaling(options)
    recording = read_recording(options, config.symbol, settings.lake)
    dbn = _check_day(settings, config) if recording is None else symbol_folder(settings.lake, config.symbol)
    _check_model(settings, config)
    return Launch(settings, config, scaling, dbn, recording)


def _scaling(options: argparse.Namespace) -> Scaling:
    least, most, streams = options.replicas, options.max_replicas, options.streams_per_replica
    if not 1 <= least <= MAX_REPLICAS:
        raise ConfigError(f"--replicas was {least}; it must be 1 to {MAX_REPLICAS}")
    if most is None and streams is not None:
        raise ConfigError(f"--streams-per-replica was {streams}, and the replicas do not change; give --max-replicas as well")
    if most is not None and not least <= most <= MAX_REPLICAS:
        raise ConfigError(f"--max-replicas was {most}; it must be --replicas ({least}) to {MAX_REPLICAS}")
    if streams is not None and not 1 <= streams <= MAX_STREAMS:
        raise ConfigError(f"--streams-per-replica was {streams}; it must be 1 to {MAX_STREAMS}")
    return Scaling(least, most, Scaling.streams_per_replica if streams is None else streams)


def _settings(options: argparse.Namespace, config: InstrumentConfig, perm_names: tuple[str, ...]) -> ServeSettings:
    require_instrument(config, options.product_type or config.product_type, options.symbol or config.symbol)
    model = read_model(options.model, "--model")
    refuse_idle(perm_names, model)
    return ServeSettings(
        lake=Lake.open(options.lake),
        host=options.host,
        port=options.port,
        replicas=options.replicas,
        token=require_token(options.host),
        allowed_origins=tuple(options.allow_origin),
        allowed_hosts=tuple(read_host(name) for name in options.allow_host),
        trust=read_trust(options.allow_signals, options.allow_signal),
        assumes_symbol=options.assume_symbol,
        defaults=StreamDefaults(
            dt=None if options.dt is None else read_day(options.dt).isoformat(),
            start_time=None if options.start_time is None else read_start_time(options.start_time),
            model=model,
            perm_names=perm_names,
            projection=_projection(options),
            sealed_ok=options.sealed_ok,
            is_live=options.source == LIVE,
        ),
        log_level=options.log_level,
        log_format=options.log_format,
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
    dbn = raw_file(lake, config.symbol_root, day.isoformat(), config.symbol)
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
