"""One stream's wishes: the query of its URL, checked against the instrument before anything is opened."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from engine.config import InstrumentConfig, require_instrument, validate
from engine.dataset.sealed import require_open_day
from engine.door import read_clock, read_day
from engine.errors import ConfigError, DatasetError
from engine.files import NUMBER
from engine.hours import UTC_DAY, read_session_kind, utc_days
from engine.lake import RAW_SUFFIXES, Lake
from engine.run.cut import cut
from engine.source.records import Source, open_source
from engine.source.rolls import Stretch
from engine.source.sessions import Wanted, wanted
from serve.live_day import LiveDay, live_day
from serve.moment import Moment, read_moment
from serve.query import HORIZONS, MODEL, PERM_FIELDS, QUERY_NAMES, SWITCHES
from serve.settings import CHAMPION, INSTRUMENT, Projection, StreamDefaults

MAX_SPEED: Final = 10_000.0
MAX_BACKFILL: Final = 4096  # bins
AT_BACKFILL: Final = 1024  # bins up to the one that ``at`` names, where the query does not say
MAX_VALUE: Final = 200  # characters of a query's value
MAX_NUMBER: Final = 40  # characters of a number
_SHOWN: Final = 60
_EXACT: Final = 2**53  # beyond it a float skips whole numbers
_TRUTHS: Final = {**dict.fromkeys(("true", "1", "yes", "on"), True), **dict.fromkeys(("false", "0", "no", "off"), False)}


@dataclass(frozen=True)
class StreamRequest:
    """A stream that can be opened."""

    config: InstrumentConfig
    dbn: Path  # the session's last file
    dt: date
    start_time: str | None
    speed: float  # market seconds per second; 0 is as fast as the client reads
    resume_from: int  # first bin_seq to send
    resumes: bool = False  # that bin was asked for; else a session that runs already is joined where it stands
    backfill: int | None = None  # bins before the place of a running session to send first; whoever resumes had them
    at: Moment | None = None  # open paused there
    perm_names: tuple[str, ...] = ()  # perm_* fields that the client, or whoever started the service, has set
    checkpoints: Path | None = None  # folder of kept books
    keyframes: Path | None = None  # folder of kept states of whole replays
    model: str | int = CHAMPION  # what scores: INSTRUMENT, CHAMPION, or a version
    projection: Projection = Projection()
    assumes_symbol: bool = False  # take a file that does not say whose records it holds
    before: tuple[Path, ...] = ()  # the session's files that are read before that one
    stretch: Stretch | None = None  # what of the session is the contract's; None for all of the UTC day
    live: LiveDay | None = None  # the day under way, instead of a file

    def source(self, config: InstrumentConfig) -> Source:
        """Its records.

        Raises
        ------
        SourceError
            A file cannot be read, or is not the contract's.
        """
        paths = [*self.before, self.dbn]
        return open_source(paths, config, self.dt, assumes_symbol=self.assumes_symbol, stretch=self.stretch)


def read_request(
    query: Sequence[tuple[str, str]],
    config: InstrumentConfig,
    lake: Lake,
    defaults: StreamDefaults,
    assumes_symbol: bool = False,
) -> StreamRequest:
    """Check a stream's query and find its data.

    Raises
    ------
    ConfigError
        Naming the value, what is allowed and how to mend it; or the day has a sealed session.
    DatasetError
        When the lake has no raw file of that day.
    """
    values = _values(query)
    require_instrument(config, values.get("product_type", config.product_type), config.symbol)
    live = live_day(lake, config.symbol, values.get("dt")) if defaults.is_live else None
    day = live.day if live else read_day(values.get("dt") or defaults.dt or last_day(lake, config.symbol_root), "dt")
    start_time = values.get("start_time") or defaults.start_time
    one = _wanted(values, config, lake, day, start_time, live is not None)
    if not defaults.sealed_ok:
        for of_day in utc_days(day, one.stretch.kind):
            require_open_day(lake, one.config.symbol, of_day.isoformat())
    speed = _read_speed(values.get("speed", "1"))
    if live is not None and speed != 1:
        raise ConfigError(f"speed was {speed:g}; a live session goes as fast as the market does, leave speed out")
    *before, dbn = [live.folder] if live else one.files(lake)
    return StreamRequest(
        config=_overridden(one.config, values),
        dbn=dbn,
        before=tuple(before),
        stretch=one.stretch,
        dt=day,
        start_time=None if start_time is None else read_start_time(start_time),
        speed=speed,
        resume_from=_read_bin(values.get("resume_from", "0")),
        resumes="resume_from" in values,
        backfill=None if "backfill" not in values else _read_backfill(values["backfill"]),
        at=None if "at" not in values else read_moment(values["at"], "at"),
        perm_names=tuple(name for name in PERM_FIELDS if name in values or name in defaults.perm_names),
        checkpoints=lake.book_checkpoints,
        keyframes=lake.keyframes,
        model=_model(values, defaults, one.config.symbol == config.symbol),
        projection=defaults.projection,
        assumes_symbol=assumes_symbol,
        live=live,
    )


def _wanted(
    values: dict[str, str], config: InstrumentConfig, lake: Lake, day: date, start_time: str | None, is_live: bool
) -> Wanted:
    """The session that is asked for.

    Where a product's root was asked for and a roll lies in the session, the contract with which the stream begins: it ends there.
    """
    symbol, kind = values.get("symbol"), read_session_kind(values.get("session", UTC_DAY))
    if not is_live:
        wishes = wanted(lake, config, symbol, day, kind)
        return cut(wishes, None if start_time is None else read_start_time(start_time), None, 1)[0].one
    require_instrument(config, config.product_type, symbol or config.symbol)
    if kind != UTC_DAY:
        raise ConfigError(f"session was {kind}; what is live is recorded by the UTC day, leave session out")
    return Wanted(config, day, Stretch.whole(day, kind, config.symbol))


def _values(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The query's values by name, each known and given once."""
    values: dict[str, str] = {}
    for name, value in query:
        if name not in QUERY_NAMES:
            raise ConfigError(f"unknown query value {shown(name)}; allowed are: {', '.join(QUERY_NAMES)}")
        if name in values:
            raise ConfigError(f"{name} stands twice in the query; give it once")
        if len(value) > MAX_VALUE and name != "token":
            raise ConfigError(f"{name} was {shown(value)}; a value has at most {MAX_VALUE} characters")
        values[name] = value
    return values


def read_start_time(text: str) -> str:
    """A New York time of day as ``HH:MM`` or ``HH:MM:SS``, unchanged.

    Raises
    ------
    ConfigError
        It is not one.
    """
    read_clock(text, "start_time")
    return text


def read_model(text: str, name: str = MODEL) -> str | int:
    """What is to score: the instrument's own signal, the champion, or a champion's version.

    Raises
    ------
    ConfigError
        It is none of them.
    """
    if text in (INSTRUMENT, CHAMPION):
        return text
    if text.isascii() and text.isdigit() and len(text) <= 9 and not text.startswith("0"):
        return int(text)
    raise ConfigError(f"{name} was {shown(text)}; it must be {INSTRUMENT}, {CHAMPION}, or a champion's version, 1 or more")


def refuse_idle(names: Sequence[str], model: str | int) -> None:
    """Refuse ``perm_*`` values beside a version, whose own values score.

    Raises
    ------
    ConfigError
        Naming the first of them.
    """
    if names and isinstance(model, int):
        raise ConfigError(
            f"{names[0]} was given beside {MODEL} {model}; perm_* values are the instrument's own signal's, and champion version "
            f"{model} brings its own. Leave them out, or ask for {MODEL} {INSTRUMENT}"
        )


def _model(values: dict[str, str], defaults: StreamDefaults, is_locked_contract: bool) -> str | int:
    """What scores. A champion was judged, and its fits were made, on the locked contract: of no other it says anything."""
    model = read_model(values[MODEL]) if MODEL in values else defaults.model if is_locked_contract else INSTRUMENT
    if model != INSTRUMENT and not is_locked_contract:
        raise ConfigError(
            f"{MODEL} was {model}, which was judged on another contract than this session's; ask for {MODEL} {INSTRUMENT}, or "
            "promote a run of this contract's dataset and lock the service to it"
        )
    refuse_idle([name for name in PERM_FIELDS if name in values], model)
    return model


def last_day(lake: Lake, symbol_root: str) -> str:
    """The last day the lake has raw data of, as ``YYYY-MM-DD``.

    Raises
    ------
    DatasetError
        There is none.
    """
    folder = lake.raw_dir(symbol_root)
    names = [path.name for path in folder.glob("*") if path.name.endswith(RAW_SUFFIXES)]
    days = [day for name in names if (day := _day_in(name)) is not None]
    if not days:
        raise DatasetError(
            f"{folder} holds no *<YYYYMMDD>*.dbn[.zst] file; put one there, or make one with python -m engine simulate"
        )
    return max(days).isoformat()


def _day_in(name: str) -> date | None:
    for i in range(len(name) - 7):
        digits = name[i : i + 8]
        if digits.isascii() and digits.isdigit():
            try:
                return date.fromisoformat(digits)
            except ValueError:
                continue
    return None


def _read_speed(text: str) -> float:
    speed = float(text) if NUMBER.fullmatch(text) else math.nan
    if not 0 <= speed <= MAX_SPEED:
        raise ConfigError(
            f"speed was {shown(text)}; it must be a number from 0 (as fast as you read) to {MAX_SPEED:g}, 1 is real time"
        )
    return speed


def _read_bin(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ConfigError(f"resume_from was {text!r}; it must be a bin_seq, a whole number >= 0")
    return int(text)


def _read_backfill(text: str) -> int:
    n_bins = int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER else -1
    if not 0 <= n_bins <= MAX_BACKFILL:
        raise ConfigError(f"backfill was {shown(text)}; it must be a number of bins from 0 to {MAX_BACKFILL}")
    return n_bins


def _overridden(config: InstrumentConfig, values: dict[str, str]) -> InstrumentConfig:
    changes: dict[str, Any] = {name: perm_value(name, values[name]) for name in PERM_FIELDS if name in values}
    if HORIZONS in values:
        changes[HORIZONS] = read_horizons(values[HORIZONS])
    return with_overrides(config, changes, "the stream's query")


def read_horizons(text: str) -> list[int | float]:
    """Projection horizons with commas between them, bins.

    Raises
    ------
    ConfigError
        One is no number.
    """
    return [read_number(HORIZONS, part) for part in text.split(",")]


def with_overrides(config: InstrumentConfig, changes: dict[str, Any], where: str) -> InstrumentConfig:
    """The instrument with some fields changed, validated again.

    Raises
    ------
    ConfigError
        Naming the field, the value and what is allowed.
    """
    if not changes:
        return config
    changed: InstrumentConfig = validate(InstrumentConfig, {**config.model_dump(), **changes}, where)
    return changed


def perm_value(name: str, text: str) -> bool | int | float:
    """A ``perm_*`` value written in a query or on a command line: a number in digits, or for a switch true or false.

    Raises
    ------
    ConfigError
        It is neither.
    """
    if name in SWITCHES:
        if (word := text.lower()) in _TRUTHS:
            return _TRUTHS[word]
        raise ConfigError(f"{name} was {shown(text)}; it must be true or false")
    return read_number(name, text)


def read_number(name: str, text: str) -> int | float:
    """A number in digits; whole ones as such.

    Raises
    ------
    ConfigError
        It is none.
    """
    if len(text) > MAX_NUMBER or not NUMBER.fullmatch(text):
        raise ConfigError(f"{name} was {shown(text)}; it must be a number in digits, like 2, 0.5 or 1e-3")
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def shown(text: str) -> str:
    """A value as it was given, short enough for a line."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}… ({len(text)} characters)"
