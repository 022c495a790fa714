"""What changes the running of the service and not a number: addresses, limits, folders. Never hashed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import ConfigError
from engine.lake import Lake
from serve.trust import Trust

if TYPE_CHECKING:
    from serve.latency import Capture

TOKEN_ENV: Final = "SPYMASTER_TOKEN"
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8002
STREAM_PATH: Final = "/v1/vacuum-pressure/stream"
SERVICE_NAME: Final = "vacuum-pressure"
CHAMPION: Final = "champion"
INSTRUMENT: Final = "instrument"
MAX_PROJECTION: Final = 1e6  # of what scales or damps a projection
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS: Final = ("text", "json")
_PACKAGE: Final = Path(__file__).resolve().parent
_BROUGHT: Final = _PACKAGE / "built_page"  # in a wheel; a checkout builds it beside the page's sources
PAGE_DIR: Final = _BROUGHT if _BROUGHT.is_dir() else _PACKAGE.parent / "frontend" / "dist"

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_MIN_TOKEN_CHARS: Final = 16


@dataclass(frozen=True)
class Limits:
    """Bounds on time and memory of one replica."""

    max_clients: int = 2048  # streams; one more is told to try later
    queue_bins: int = 256  # that a slow reader of a paced stream may be behind, before whole bins are skipped
    batch_bins: int = 16  # bins computed per turn where there is no pace
    max_sessions: int = 8  # shared replays that run at once, each with a thread and a ring of its own
    max_private: int = 32  # replays of one client's own, at its own speed or place
    ring_bins: int = 4096 + 512  # bins of a shared session that are kept: a whole backfill, and the time to read it
    ring_bytes: int = 192 << 20  # of them: more than that many bins at radius 50
    linger_s: float = 10.0  # a shared session goes on without viewers, so that a page loaded anew finds it
    ahead_s: float = 5.0  # a client that asks for a bin so little ahead of a shared session waits for it
    heartbeat_s: float = 1.0  # without any other frame
    start_workers: int = 2  # threads that open the sources of private replays and fast-forward their books
    bin_workers: int = 4  # threads that compute bins of private replays
    champion_poll_s: float = 0.25
    close_s: float = 2.0  # how long a stream may take to say goodbye
    recent_bytes: int = 32 << 20  # of one stream's recent bins, kept to warm another signal: 4,000 bins at radius 50


@dataclass(frozen=True)
class Projection:
    """How a client is to draw the spectrum's score ahead: ``projection_model`` of ``runtime_config``. engine.md, section 5."""

    use_cubic: bool = False
    cubic_scale: float = 1.0 / 6.0
    damping_lambda: float = 0.0  # 1/s


@dataclass(frozen=True)
class StreamDefaults:
    """What a stream gets whose query does not say."""

    dt: str | None = None  # YYYY-MM-DD; else the last day in the lake
    start_time: str | None = None  # HH:MM[:SS] in New York; else the day's first event
    model: str | int = CHAMPION  # or INSTRUMENT, or a version
    perm_names: tuple[str, ...] = ()  # perm_* fields that were set at launch
    projection: Projection = Projection()
    sealed_ok: bool = False  # days with a sealed session may be played
    is_live: bool = False  # the day under way, from its recorder; else a day of the lake


@dataclass(frozen=True)
class ServeSettings:
    """Everything a replica needs beside the instrument."""

    lake: Lake
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    replicas: int = 1
    token: str | None = field(default=None, repr=False)  # not in a log that shows settings
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()  # names by which it may be asked for, beside its own
    page_dir: Path = PAGE_DIR
    defaults: StreamDefaults = StreamDefaults()
    limits: Limits = Limits()
    trust: Trust = Trust()
    log_level: str = "INFO"
    log_format: str = "text"  # or "json", an object a line
    latency: "Capture | None" = None
    assumes_symbol: bool = False  # of raw files that do not say whose records they hold


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine only."""
    return host in _LOOPBACK


def require_token(host: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token that guards the service, or None where only this machine reaches it and none is set.

    Raises
    ------
    ConfigError
        When the address is open to others and no token, or a short one, is set.
    """
    token = environment.get(TOKEN_ENV) or None
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"--host was {host}, which others can reach; a token is then required. "
            f"Set {TOKEN_ENV} to at least {_MIN_TOKEN_CHARS} characters, or use --host {DEFAULT_HOST}"
        )
    if token is not None and len(token) < _MIN_TOKEN_CHARS:
        raise ConfigError(f"{TOKEN_ENV} has {len(token)} characters; it must have at least {_MIN_TOKEN_CHARS}")
    return token
