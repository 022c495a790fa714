"""One stream's wishes: the query of its URL, checked against the instrument before anything is opened."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from engine.config import InstrumentConfig, require_instrument, validate
from engine.door import read_clock, read_day
from engine.errors import ConfigError, DatasetError
from engine.lake import RAW_SUFFIXES, Lake, raw_file
from serve.query import HORIZONS, PERM_FIELDS, QUERY_NAMES
from serve.settings import StreamDefaults

MAX_SPEED: Final = 10_000.0


@dataclass(frozen=True)
class StreamRequest:
    """A stream that can be opened."""

    config: InstrumentConfig
    dbn: Path
    dt: date
    start_time: str | None
    speed: float  # market seconds per second; 0 is as fast as the client reads
    resume_from: int  # first bin_seq to send
    names_perm_values: bool  # the client asked for a perm_* value of its own
    checkpoints: Path | None = None  # folder of kept books


def read_request(
    query: Sequence[tuple[str, str]], config: InstrumentConfig, lake: Lake, defaults: StreamDefaults
) -> StreamRequest:
    """Check a stream's query and find its data.

    Raises
    ------
    ConfigError
        Naming the value, what is allowed and how to mend it.
    DatasetError
        When the lake has no raw file of that day.
    """
    values: dict[str, str] = {}
    for name, value in query:
        if name not in QUERY_NAMES:
            raise ConfigError(f"unknown query value {name!r}; allowed are: {', '.join(QUERY_NAMES)}")
        if name in values:
            raise ConfigError(f"{name} stands twice in the query; give it once")
        values[name] = value
    require_instrument(config, values.get("product_type", config.product_type), values.get("symbol", config.symbol))
    day = read_day(values.get("dt") or defaults.dt or last_day(lake, config.symbol_root), "dt")
    start_time = values.get("start_time") or defaults.start_time
    return StreamRequest(
        config=_overridden(config, values),
        dbn=raw_file(lake, config.symbol_root, day.isoformat()),
        dt=day,
        start_time=None if start_time is None else read_start_time(start_time),
        speed=_read_speed(values.get("speed", "1")),
        resume_from=_read_bin(values.get("resume_from", "0")),
        names_perm_values=any(name in values for name in PERM_FIELDS),
        checkpoints=lake.book_checkpoints,
    )


def read_start_time(text: str) -> str:
    """A New York time of day as ``HH:MM`` or ``HH:MM:SS``, unchanged.

    Raises
    ------
    ConfigError
        It is not one.
    """
    read_clock(text, "start_time")
    return text


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
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 <= speed <= MAX_SPEED:
        raise ConfigError(
            f"speed was {text!r}; it must be a number from 0 (as fast as you read) to {MAX_SPEED:g}, 1 is real time"
        )
    return speed


def _read_bin(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ConfigError(f"resume_from was {text!r}; it must be a bin_seq, a whole number >= 0")
    return int(text)


def _overridden(config: InstrumentConfig, values: dict[str, str]) -> InstrumentConfig:
    changes: dict[str, Any] = {name: scalar(name, values[name]) for name in PERM_FIELDS if name in values}
    if HORIZONS in values:
        changes[HORIZONS] = values[HORIZONS].split(",")
    return with_overrides(config, changes, "the stream's query")


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


def scalar(name: str, text: str) -> Any:
    """A value written in a query or on a command line.

    Raises
    ------
    ConfigError
        It is neither a number, a text nor a truth value.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if isinstance(value, (bool, int, float, str)):
        return value
    raise ConfigError(f"{name} was {text!r}; it must be a single number, text, true or false")
