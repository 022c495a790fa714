"""A replica's figures as Ray's metrics, for Prometheus: their names, and who carries them there."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ray.util.metrics import Counter, Gauge, Histogram

from serve.figures import Figures, Snapshot

PERIOD_S: Final = 1.0
_FEED_FIGURES: Final = ("age_s", "lag_s", "queue", "doubles_dropped", "recoveries", "holes")
PREFIX: Final = "spymaster_"
_LAG_BOUNDARIES_MS: Final = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0]


@dataclass(frozen=True)
class Metric:
    """One of our names in Prometheus, there with ``ray_`` before it."""

    name: str  # after spymaster_; a counter's gets _total there
    kind: str  # counter, gauge or histogram
    text: str
    tags: tuple[str, ...] = ()


METRICS: Final = (
    Metric("bins_served", "counter", "Bins sent to clients"),
    Metric("bins_dropped", "counter", "Bins skipped for slow readers"),
    Metric("model_swaps", "counter", "Signals that took over in open streams"),
    Metric("streams_opened", "counter", "Streams that were begun"),
    Metric("streams_refused", "counter", "Streams that were refused"),
    Metric("sockets_refused", "counter", "Requests that were answered before the app saw them: malformed, too slow, too many"),
    Metric("streams_stalled", "counter", "Streams dropped because their client took nothing for too long"),
    Metric(
        "sockets", "gauge", "Sockets: open; half_open, not asking for anything yet; silent, without a sign of life", ("kind",)
    ),
    Metric("clients", "gauge", "Open streams"),
    Metric("sessions", "gauge", "Sessions that are computed: shared, or private to one client", ("kind",)),
    Metric("ring_bytes", "gauge", "Frames kept for those who come later or come back"),
    Metric("memory_bytes", "gauge", "Resident memory of the replica"),
    Metric("session_lag_ms", "gauge", "Sending after due, p99 of a session's recent bins, milliseconds", ("session", "kind")),
    Metric("session_jitter_ms", "gauge", "Mean difference of two bins' lags in a session, milliseconds", ("session", "kind")),
    Metric("alarms", "gauge", "Alarms that /health shows", ("kind",)),
    Metric("champion", "gauge", "Version of the champion that serves, 0 for the instrument's own signal", ("standing",)),
    Metric("feed_state", "gauge", "1 for the state that the live feed is in", ("state",)),
    Metric("feed_age_s", "gauge", "Since the live feed's newest record came, seconds"),
    Metric("feed_lag_s", "gauge", "Market seconds by which the bins are behind what was recorded"),
    Metric("feed_queue", "gauge", "Recorded records that the bins have not taken in yet"),
    Metric("feed_doubles_dropped", "gauge", "Records of a recovery that had been there before it, as the recorder counts them"),
    Metric("feed_recoveries", "gauge", "Connections that stood again, as the recorder counts them"),
    Metric("feed_holes", "gauge", "Spans of which nothing is known, as the recorder counts them"),
    Metric("bin_lag_ms", "histogram", "Sending after due, milliseconds"),
)


class Measured(Protocol):
    """What is asked once a period: a replica's service."""

    figures: Figures

    def snapshot(self) -> Snapshot:
        """What it holds now."""
        ...

    def told_feed(self) -> dict[str, Any] | None:
        """How its live feed is; None where it has none."""
        ...

    def standing(self) -> tuple[int, str]:
        """Version and standing of the champion that serves."""
        ...

    def alarm_kinds(self) -> list[str]:
        """Kind of each alarm."""
        ...


async def push_metrics(service: Measured) -> None:
    """Carry a replica's figures to Ray's metrics once a second, until cancelled."""
    pusher = _Pusher(service)
    while True:
        await asyncio.sleep(PERIOD_S)
        # Read from the lake, which may hang: then figures stand still, and bins do not.
        (version, standing), alarms = await asyncio.to_thread(lambda: (service.standing(), service.alarm_kinds()))
        pusher.push(version, standing, alarms)


class _Pusher:
    """The metrics, what of the counters was told, and which tagged gauges must fall to 0 once their things are gone."""

    def __init__(self, service: Measured) -> None:
        self._service = service
        self._told: dict[str, int] = {}
        self._shown: dict[str, set[tuple[tuple[str, str], ...]]] = {}
        self._made: dict[str, Any] = {one.name: _make(one) for one in METRICS}

    def push(self, version: int, standing: str, alarms: list[str]) -> None:
        service, figures = self._service, self._service.figures
        held = service.snapshot()
        sockets = held.sockets
        for name, value in {
            "bins_served": figures.bins_served,
            "bins_dropped": figures.bins_dropped,
            "model_swaps": figures.swaps,
            "streams_opened": figures.streams_opened,
            "streams_refused": figures.streams_refused,
            "sockets_refused": sockets.refused,
            "streams_stalled": sockets.stalled,
        }.items():
            if value > self._told.get(name, 0):
                self._made[name].inc(value - self._told.get(name, 0))
            self._told[name] = value
        for lag_ms in figures.take_new_lags():
            self._made["bin_lag_ms"].observe(lag_ms)
        self._set("clients", {(): held.clients})
        self._set("ring_bytes", {(): held.ring_bytes})
        self._set("memory_bytes", {(): held.memory_bytes})
        self._set("sessions", {(("kind", kind),): held.n_sessions(shared=kind == "shared") for kind in ("shared", "private")})
        self._set("sockets", {(("kind", kind),): getattr(sockets, kind) for kind in ("open", "half_open", "silent")})
        self._set("alarms", {(("kind", kind),): alarms.count(kind) for kind in set(alarms)})
        self._set("champion", {(("standing", standing),): version})
        self._set_feed(service.told_feed())
        for name in ("lag_ms", "jitter_ms"):
            self._set(f"session_{name}", _worst(held, name))

    def _set_feed(self, told: dict[str, Any] | None) -> None:
        if told is None:
            return
        self._set("feed_state", {(("state", told["state"]),): 1.0})
        for name in _FEED_FIGURES:
            if told.get(name) is not None:
                self._set(f"feed_{name}", {(): float(told[name])})

    def _set(self, name: str, values: dict[tuple[tuple[str, str], ...], float]) -> None:
        gone = self._shown.get(name, set()) - values.keys()
        for tags, value in [*values.items(), *((tags, 0.0) for tags in gone)]:
            self._made[name].set(value, tags=dict(tags))
        self._shown[name] = set(values)


def _worst(held: Snapshot, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """A figure of each session; private ones under one name, the worst of them: their number has no bound."""
    found: dict[tuple[tuple[str, str], ...], float] = {}
    for session in held.sessions:
        value = getattr(session, name)
        if value is not None:
            tags = (("kind", "shared"), ("session", session.name))
            key = tags if session.is_shared else (("kind", "private"), ("session", "private"))
            found[key] = max(value, found.get(key, 0.0))
    return found


def _make(one: Metric) -> Counter | Gauge | Histogram:
    name = f"{PREFIX}{one.name}"
    if one.kind == "counter":
        return Counter(name, one.text, tag_keys=one.tags)
    if one.kind == "gauge":
        return Gauge(name, one.text, tag_keys=one.tags)
    return Histogram(name, one.text, boundaries=_LAG_BOUNDARIES_MS, tag_keys=one.tags)
