"""What a client may ask of its stream while it runs: control frames, read and checked.

Source: interfaces.md, "HTTP and WebSocket".
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.errors import ConfigError, EngineError
from serve.moment import Moment
from serve.request import MAX_BACKFILL, MAX_SPEED, read_start_time

MAX_CONTROL: Final = 4096  # characters of a control frame
KINDS: Final = ("pause", "resume", "step", "speed", "seek")
_MAX_NS: Final = 2**63

Kind = Literal["pause", "resume", "step", "speed", "seek"]


class ControlError(EngineError):
    """A control frame that is refused; the stream stays open. ``code`` and ``of`` go into the ``error`` frame."""

    def __init__(self, text: str, code: str = "bad_control", of: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.of = of


@dataclass(frozen=True)
class Control:
    """A checked control."""

    kind: Kind
    bins: int = 1  # of a step
    speed: float = 1.0
    to: Moment | None = None  # of a seek
    to_live: bool = False  # of a seek: to where the market is now
    backfill: int = 0  # of a seek: bins before that place to send first


def read_control(text: str | None) -> Control:
    """Read a control frame.

    Parameters
    ----------
    text : str or None
        The frame's text; None for a binary frame.

    Raises
    ------
    ControlError
        What was given, and what is allowed.
    """
    values = _object(text)
    kind = values.get("type")
    if not isinstance(kind, str):
        raise ControlError('a control frame must be JSON text with a "type"')
    if kind not in KINDS:
        raise ControlError(f"control {kind[:60]!r} is not known; there: {', '.join(KINDS)}", "unsupported", kind[:60])
    try:
        return _READERS[kind](values)
    except ConfigError as error:
        raise ControlError(str(error), of=kind) from None


def _object(text: str | None) -> dict[str, Any]:
    if text is not None and len(text) > MAX_CONTROL:
        raise ControlError(f"a control frame has at most {MAX_CONTROL} characters; this one has {len(text)}")
    try:
        values = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        values = None
    return values if isinstance(values, dict) else {}


def _only(values: dict[str, Any], *allowed: str) -> None:
    if odd := next((name for name in values if name not in ("type", *allowed)), None):
        there = ", ".join(allowed) if allowed else "nothing else"
        raise ConfigError(f"{values['type']} was sent with {odd[:60]!r}; it takes {there}")


def _plain(values: dict[str, Any]) -> Control:
    _only(values)
    return Control(values["type"])


def _step(values: dict[str, Any]) -> Control:
    _only(values, "bins")
    return Control("step", bins=_whole(values.get("bins", 1), "bins", 1, MAX_BACKFILL))


def _speed(values: dict[str, Any]) -> Control:
    _only(values, "value")
    value = values.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SPEED or math.isnan(value):
        raise ConfigError(f"value was {_shown(value)}; a speed must be a number from 0 (as fast as you read) to {MAX_SPEED:g}")
    return Control("speed", speed=float(value))


def _seek(values: dict[str, Any]) -> Control:
    _only(values, "start_time", "bin_seq", "ts_ns", "to", "backfill")
    given = [name for name in ("start_time", "bin_seq", "ts_ns", "to") if name in values]
    if len(given) != 1:
        raise ConfigError(f"seek was sent with {' and '.join(given) or 'no place'}; give one of start_time, bin_seq, ts_ns, to")
    name, value = given[0], values[given[0]]
    shown = f"{name} {_shown(value)}"
    backfill = _whole(values.get("backfill", 0), "backfill", 0, MAX_BACKFILL)
    if name == "to":
        if value != "live":
            raise ConfigError(f"to was {_shown(value)}; the one place with a name is live")
        return Control("seek", to_live=True, backfill=min(backfill, MAX_BACKFILL - 1))
    if name == "start_time":
        if not isinstance(value, str):
            raise ConfigError(f"start_time was {_shown(value)}; give New York wall-clock time as HH:MM or HH:MM:SS, like 09:25")
        to = Moment(shown, clock=read_start_time(value))
    elif name == "bin_seq":
        to = Moment(shown, bin_seq=_whole(value, name, 0, 10**15))
    else:
        to = Moment(shown, ts_ns=_whole(value, name, 0, _MAX_NS))
    return Control("seek", to=to, backfill=backfill)


def _whole(value: object, name: str, least: int, most: int) -> int:
    """A whole number; one that may pass 2^53 may also come as the decimal string that the stream itself sends."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_MAX_NS)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"{name} was {_shown(value)}; it must be a whole number from {least} to {most}")
    return value


def _shown(value: object) -> str:
    return repr(value)[:60]


_READERS: Final = {"pause": _plain, "resume": _plain, "step": _step, "speed": _speed, "seek": _seek}
