"""Faults on demand: what goes wrong where, after how much, and how often.

Written as ``KIND@POINT[:key=value,…]``, as in ``status@metadata.get_cost:code=429,times=2``. A point is an endpoint of the HTTP
API by the vendor's name (``batch.submit_job``) or a step of the live protocol (``live.greeting``, ``live.auth``,
``live.subscribe``, ``live.records``).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from engine.errors import ConfigError, among

HTTP_KINDS: Final = {
    "status": "answered with an HTTP error (code=402…)",
    "hold": "the request was taken and is never answered, the work undone",
    "mute": "the work is done and never answered",
    "slow": "the body comes at bytes_per_s",
    "cut": "the connection breaks after so many bytes of the body",
    "stall": "the body stops after so many bytes, the connection stays",
    "end": "the body ends too early, as if it were whole",
    "garbage": "16 bytes of the body are others",
    "work": "a job stays in work for so many more polls (polls=)",
    "expire": "a job is expired",
}
LIVE_KINDS: Final = {
    "refuse": "the connection is closed without a word (live.greeting)",
    "stall": "nothing is sent any more, no heartbeat either; the socket stays open",
    "quiet": "no record is sent any more, but heartbeats",
    "auth": "the key is refused (live.auth)",
    "late_start": "start is ignored: records from now on (live.subscribe)",
    "aged_out": "replay reaches back only so many seconds (seconds=) (live.subscribe)",
    "error": "an error record (code=, of DBN's), then the end if it is a fatal one (live.subscribe, live.records)",
    "say": "a system record (code=)",
    "close": "a clean end between two records",
    "cut": "an end inside a record",
    "reset": "the connection is reset",
    "half_close": "our side is closed, theirs is still read",
    "garbage": "16 bytes that are no record",
    "duplicate": "so many records come twice (records=)",
    "swap": "two neighbouring records come in the wrong order",
    "omit": "so many records are left out (records=)",
    "slow_reader": "the reader is taken for a slow one",
}
HTTP_POINTS: Final = (
    *(f"metadata.list_{what}" for what in ("publishers", "datasets", "schemas", "fields", "unit_prices")),
    *(f"metadata.get_{what}" for what in ("dataset_condition", "dataset_range", "record_count", "billable_size", "cost")),
    "symbology.resolve",
    "timeseries.get_range",
    *(f"batch.{what}" for what in ("submit_job", "list_jobs", "get_job_details", "list_files", "download")),
)
LIVE_POINTS: Final = ("live.greeting", "live.auth", "live.subscribe", "live.records")


@dataclass
class Fault:
    """One thing that goes wrong at one point.

    ``after``: bytes of the body, or records of the session, before it does. ``skip``: times the point is passed unharmed first.
    ``times``: how often it happens, 0 for ever. ``hit`` is set when it happened.
    """

    kind: str
    point: str
    after: int = 0
    skip: int = 0
    times: int = 1
    code: int = 500
    retry_after: int = -1  # seconds; below 0: the header is not sent
    bytes_per_s: int = 65_536
    seconds: int = 0
    records: int = 1
    polls: int = 1
    hit: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """A fault as it is written.

        Raises
        ------
        ConfigError
            Its form, kind, point or a key is not known.
        """
        what, _, rest = text.partition(":")
        kind, at, point = what.partition("@")
        kinds = LIVE_KINDS if point.startswith("live.") else HTTP_KINDS
        if not at or not point:
            raise ConfigError(f"fault was {text!r}; give KIND@POINT[:key=value,…], like cut@timeseries.get_range:after=4096")
        if kind not in kinds:
            raise ConfigError(f"fault was {text!r}, of unknown kind {kind!r}; {among(kind, kinds, len(kinds))}")
        points = (*HTTP_POINTS, *LIVE_POINTS)
        if point not in points:
            raise ConfigError(f"fault was {text!r}, at unknown point {point!r}; {among(point, points, len(points))}")
        values: dict[str, Any] = {}
        for pair in filter(None, rest.split(",")):
            key, _, value = pair.partition("=")
            if key not in _KEYS or not value.isdigit():
                raise ConfigError(f"fault was {text!r}; {pair!r} must be a whole number for one of: {', '.join(_KEYS)}")
            values[key] = int(value)
        return cls(kind, point, **values)


_KEYS: Final = ("after", "skip", "times", "code", "retry_after", "bytes_per_s", "seconds", "records", "polls")


class Faults:
    """The faults that are still to happen, and what happened."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._left: dict[int, list[int]] = {}  # by identity: passes left, times left
        self._fresh: set[int] = set()  # by identity: at whose point nobody has passed yet
        self._watching: list[Callable[[], object]] = []

    def add(self, fault: Fault) -> Fault:
        """One more; the same, to wait for its `Fault.hit`."""
        self._left[id(fault)] = [fault.skip, fault.times]
        self._fresh.add(id(fault))
        self._waiting.append(fault)
        for tell in list(self._watching):
            tell()
        return fault

    @contextmanager
    def watched(self, tell: Callable[[], object]) -> Iterator[None]:
        """Call ``tell``, from whatever thread, when a fault is added."""
        self._watching.append(tell)
        try:
            yield
        finally:
            self._watching.remove(tell)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._waiting.clear()

    def passing(self, point: str, *, is_new: bool = True) -> list[Fault]:
        """Those that happen at this passing of a point; who carries one out sets its `Fault.hit`.

        Not ``is_new``: the same passing again, for what was added since.
        """
        found = []
        for fault in list(self._waiting):
            if fault.point != point or not (is_new or id(fault) in self._fresh):
                continue
            self._fresh.discard(id(fault))
            left = self._left[id(fault)]
            if left[0] > 0:
                left[0] -= is_new
                continue
            found.append(fault)
            if left[1] == 1:
                self._waiting.remove(fault)
            left[1] -= 1
        return found
