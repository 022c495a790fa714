"""The day that is live: what its recorder says of it, and the bins that come of it as its records come in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic, time_ns

from engine.config import InstrumentConfig
from engine.door import read_day
from engine.errors import ConfigError
from engine.feed.record.follower import DayFollower, open_follower
from engine.feed.record.place import day_folder
from engine.feed.record.recorder import read_state
from engine.lake import Lake
from engine.run.live import LiveReplay
from engine.signals.base import SignalLike
from engine.source.follow import Batch


@dataclass(frozen=True)
class LiveDay:
    """A contract's day of capture, UTC, under way."""

    lake: Lake
    symbol: str
    day: date

    @property
    def folder(self) -> Path:
        """Where its segments lie, once there are some."""
        return day_folder(self.lake, self.symbol, self.day)


class Followed:
    """A follower that remembers when it was given what: for the thread that reads, others may look.

    Attributes
    ----------
    arrived_s, arrived_ns : float, int
        When something came last: in seconds of the monotonic clock, and UTC ns.
    n_records, n_holes : int
        Handed out so far.
    known_until_ns : int
        Event time up to which all was handed out, UTC ns; 0 before anything.
    """

    def __init__(self, follower: DayFollower) -> None:
        self._follower = follower
        self.arrived_s, self.arrived_ns = monotonic(), time_ns()
        self.n_records = self.n_holes = 0
        self.known_until_ns = 0

    @classmethod
    def of(cls, live: LiveDay) -> "Followed":
        """A reader of a day, from its first record on."""
        return cls(open_follower(live.lake, live.symbol, live.day))

    def read(self, timeout_s: float) -> Batch:
        """As the follower's."""
        batch = self._follower.read(timeout_s)
        if len(batch.records) or batch.hole is not None or batch.known_until_ns > self.known_until_ns:
            self.arrived_s, self.arrived_ns = monotonic(), time_ns()
            self.n_records += len(batch.records)
            self.n_holes += batch.hole is not None
            self.known_until_ns = max(self.known_until_ns, batch.known_until_ns)
        return batch

    def close(self) -> None:
        """Let go of what it reads."""
        self._follower.close()


def live_day(lake: Lake, symbol: str, asked: str | None = None) -> LiveDay:
    """The day that its recorder is at; today's where it has none yet.

    Raises
    ------
    ConfigError
        Another day was asked for.
    """
    state = read_state(lake, symbol)
    told = state["day"] if state is not None and state["is_alive"] else None
    day = date.fromisoformat(told) if told else datetime.now(UTC).date()
    if asked is not None and read_day(asked, "dt") != day:
        raise ConfigError(
            f"dt was {asked}, and live is {day.isoformat()} (UTC); leave dt out, or start a service with --source replay for "
            "other days"
        )
    return LiveDay(lake, symbol, day)


def live_replay(
    live: LiveDay,
    followed: Followed,
    config: InstrumentConfig,
    start_time: str | None,
    signal: SignalLike | None,
    is_cancelled: Callable[[], bool],
) -> LiveReplay:
    """The bins of a live day, from its first on; where many are due in large blocks, else one by one."""
    return LiveReplay(followed, config, live.day, start_time, signal, is_cancelled=is_cancelled)
