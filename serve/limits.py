"""Limits that change while the service runs: what ``user_config`` may hold, read whole or refused whole."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from engine.errors import ConfigError
from serve.settings import LOG_LEVELS, Limits, ServeSettings

MOST: Final = 1 << 40  # bytes, bins or seconds: beyond it a number is a slip
LIMITS: Final = "limits"
LOG_LEVEL: Final = "log_level"
KEYS: Final = (LIMITS, LOG_LEVEL)


def changed_settings(settings: ServeSettings, base: Limits, user_config: Any) -> ServeSettings:
    """The settings with what a ``user_config`` says; what it does not name is as at launch.

    Parameters
    ----------
    base : Limits
        Those of the launch.
    user_config : Any
        ``{"limits": {name: number}, "log_level": name}``, both as wanted; None is neither.

    Raises
    ------
    ConfigError
        It is no mapping, or a name or value in it is not allowed; nothing is to change then.
    """
    wanted = _mapping({} if user_config is None else user_config, "user_config", KEYS)
    names = {field.name: type(getattr(base, field.name)) for field in fields(Limits)}
    given = _mapping(wanted.get(LIMITS) or {}, f"user_config.{LIMITS}", tuple(names))
    values: dict[str, Any] = {name: _number(name, value, names[name]) for name, value in given.items()}
    level = wanted.get(LOG_LEVEL, settings.log_level)
    if level not in LOG_LEVELS:
        raise ConfigError(f"user_config.{LOG_LEVEL} was {level!r}; it must be one of {', '.join(LOG_LEVELS)}")
    return replace(settings, limits=replace(base, **values), log_level=level)


def _mapping(given: Any, name: str, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} was {given!r}; it must map names to values: {', '.join(allowed)}")
    for key in given:
        if key not in allowed:
            raise ConfigError(f"{name} has {key!r}; allowed are: {', '.join(allowed)}")
    return given


def _number(name: str, value: Any, kind: type) -> int | float:
    """A limit of its type, above 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 < value <= MOST or (kind is int and value != int(value)):
        what = "a whole number from 1" if kind is int else "a number above 0"
        raise ConfigError(f"user_config.{LIMITS}.{name} was {value!r}; it must be {what} to {MOST}")
    return kind(value)
