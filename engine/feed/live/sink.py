"""What a live feed says to whoever keeps it: records in order and once, holes between them, and how the feed is."""

from dataclasses import dataclass
from typing import Literal, Protocol

from engine.feed.follow import Hole
from engine.schema import MboRecords

FeedKind = Literal["connecting", "live", "quiet", "closed", "dead", "ended"]


@dataclass(frozen=True)
class FeedState:
    """How a feed is.

    ``kind``: ``connecting`` until the vendor has taken the first subscription; ``live`` while records come; ``quiet`` while only
    heartbeats come and the exchange is open; ``closed`` while the calendar says so and the vendor is there; ``dead`` from the end
    of a connection, or two heartbeats without a byte, until the next one stands; ``ended`` at the end, nothing comes any more.
    ``newest_ns``: greatest ``ts_event`` of a record handed on, UTC ns, 0 before the first. ``sequence``: the exchange's number
    on the record handed on last. ``n_records``: handed on; ``n_doubles``: dropped because they had been handed on before a
    recovery; ``n_recoveries``: connections that stood again after an end we had not asked for; ``n_holes``: named.
    ``warning``: the last line that the feed or the vendor had for people, ``alarm``: what somebody has to look at now; each empty
    without one.
    """

    kind: FeedKind = "connecting"
    newest_ns: int = 0
    sequence: int = 0
    n_records: int = 0
    n_doubles: int = 0
    n_recoveries: int = 0
    n_holes: int = 0
    warning: str = ""
    alarm: str = ""


class Sink(Protocol):
    """Who keeps a feed. Called from the feed's own thread only, in the order of what happened; it must not wait for long."""

    def take(self, records: MboRecords) -> None:
        """The next records of the contract, shape (n,), dtype MBO_DTYPE, n > 0; the sink's own to keep."""

    def hole(self, hole: Hole) -> None:
        """What lies in between is not known; the next records begin with a snapshot, that is a clear and orders."""

    def mapping(self, instrument_id: int, raw_symbol: str, ts_ns: int) -> None:
        """From ``ts_ns`` on (UTC ns) records with this id are the contract's; told before the first of them."""

    def known_until(self, ts_ns: int) -> None:
        """Everything up to this event time (UTC ns) has been handed on; it never falls."""

    def state(self, state: FeedState) -> None:
        """How the feed is now; told when its kind or a line changes, with each heartbeat, and each second while records come."""
