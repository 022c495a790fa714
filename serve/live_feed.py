"""How the live feed is, as its recorder says and as this replica has followed it: for health, metrics, heartbeats, the page."""

import time
from datetime import UTC, datetime
from typing import Any, Final

from engine.constants import NS_PER_S
from engine.feed.record.recorder import read_state
from engine.lake import Lake
from serve.hub import Hub
from serve.live_shared import LiveShared
from serve.request import StreamRequest

LOOK_S: Final = 0.2  # between two looks at the recorder's state
NO_RECORDER: Final = "nobody records this contract; python -m engine record does, and so does python -m serve --source live"


class LiveFeed:
    """What is known of a contract's live feed.

    `look` reads the recorder's state, from any one thread; the rest is for the event loop.
    """

    def __init__(self, lake: Lake, symbol: str) -> None:
        self._lake, self._symbol = lake, symbol
        self._state: dict[str, Any] | None = None
        self._newest_ns = 0
        self._newest_at_s = 0.0  # monotonic, when the newest record was seen to be new
        self._alarm = ""
        self._alarm_since = ""
        self.kept: LiveShared | None = None  # the session that goes on whoever watches

    def look(self) -> None:
        """Read the recorder's state."""
        state, now_s = read_state(self._lake, self._symbol), time.monotonic()
        if state is not None and state["newest_ns"] != self._newest_ns:
            is_first = self._newest_ns == 0
            self._newest_ns = state["newest_ns"]
            quiet_s = max(0, state["known_until_ns"] - self._newest_ns) / NS_PER_S if is_first else 0.0
            self._newest_at_s = now_s - quiet_s
        alarm = NO_RECORDER if state is None or not state["is_alive"] else str(state["alarm"])
        if alarm != self._alarm:
            self._alarm, self._alarm_since = alarm, datetime.now(UTC).isoformat(timespec="milliseconds")
        self._state = state

    @property
    def day(self) -> str | None:
        """The day its recorder is at, YYYY-MM-DD; None where nobody records, or nothing yet."""
        state = self._state
        return state["day"] if state is not None and state["is_alive"] else None

    @property
    def alarms(self) -> list[dict[str, str]]:
        """What somebody has to look at now."""
        return [{"kind": "feed", "message": self._alarm, "since": self._alarm_since}] if self._alarm else []

    def told(self) -> dict[str, Any]:
        """The feed as it is said everywhere.

        ``state``: of `engine.feed.live.sink.FeedState`, ``dead`` also where nobody records. ``age_s``: since the newest record
        came, None before the first. ``lag_s``: market seconds by which this replica's bins are behind what was recorded.
        ``queue``: records and holes that they have not taken in yet.
        """
        state = self._state
        if state is None:
            return {"state": "dead", "age_s": None, "newest_ns": "0", "alarm": self._alarm}
        feed = state["feed"]
        followed = None if self.kept is None else self.kept.followed
        n_taken, known_ns = followed or (0, 0)
        is_same_day = self.kept is not None and state["day"] == self.kept.request.dt.isoformat()
        return {
            "state": feed["kind"] if state["is_alive"] else "dead",
            "day": state["day"],
            "age_s": round(time.monotonic() - self._newest_at_s, 3) if self._newest_ns else None,
            "newest_ns": str(self._newest_ns),
            "lag_s": round(max(0, state["known_until_ns"] - known_ns) / NS_PER_S, 3) if is_same_day and known_ns else None,
            "queue": max(0, (state["number"] or 0) - n_taken) if is_same_day else None,
            "sequence": feed["sequence"],
            "records": feed["n_records"],
            "doubles_dropped": feed["n_doubles"],
            "recoveries": feed["n_recoveries"],
            "holes": feed["n_holes"],
            "warning": feed["warning"],
            "alarm": self._alarm,
            "is_recording": state["is_recording"] and state["is_alive"],
        }

    def keep(self, hub: Hub, request: StreamRequest) -> None:
        """Have the day's session go on whoever watches; asked again it begins the next one where that is over."""
        kept = self.kept
        if kept is not None and kept.close is None and kept.request.dt == request.dt:
            return
        shared = hub.keep_live(request)
        if kept is not None and kept is not shared:
            kept.is_kept = False
            kept.linger()
        self.kept = shared
