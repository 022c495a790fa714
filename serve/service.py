"""What all streams of one replica share: settings, the watched champion, threads, counters; and its state of health."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from engine.champion import Champion, history
from engine.config import InstrumentConfig
from engine.errors import EngineError
from engine.lake import raw_file
from serve.champion import ChampionWatcher, Serving, choose_signal, reason_of
from serve.figures import Figures, Snapshot
from serve.hub import Hub
from serve.latency import LatencyLog
from serve.live_feed import LOOK_S, LiveFeed
from serve.pacing import Clock, WallClock
from serve.paper import PaperDesk
from serve.request import last_day, read_request
from serve.settings import CHAMPION, INSTRUMENT, SERVICE_NAME, ServeSettings
from serve.spoken import SpokenDesk
from serve.workshop import Workshop

logger = logging.getLogger(__name__)

_PACE: Final = ("session", "shared", "clients", "state", "next_bin", "ring_bytes", "lag_ms", "lag_p99_ms", "jitter_ms")


class OpenStream(Protocol):
    """What the replica asks of a client's stream; the stream itself knows the replica, never the other way round."""

    finished: asyncio.Future[None]  # done when the client's socket is

    @property
    def is_streaming(self) -> bool:
        """Whether bins flow: not before its source is open, not once it closes."""
        ...

    def beat(self, now: float, period_s: float) -> None:
        """Send a heartbeat where nothing else was sent for so long."""
        ...

    def go_away(self) -> None:
        """Close with 1001 before anything that still waits."""
        ...


class Service:
    """One replica without its sockets.

    Parameters
    ----------
    settings : ServeSettings
        Addresses, limits, folders.
    config : InstrumentConfig
        The instrument this environment is locked to.
    clock : Clock, optional
        What the streams are paced by.
    """

    def __init__(self, settings: ServeSettings, config: InstrumentConfig, clock: Clock | None = None) -> None:
        limits = settings.limits
        self.settings = settings
        self.config = config
        self.clock: Clock = clock or WallClock()
        self.watcher = ChampionWatcher(settings.lake, config, limits.champion_poll_s, trust=settings.trust)
        self.figures = Figures()
        self.streams: set[OpenStream] = set()
        self.closing = False
        self.desk = PaperDesk(settings.lake)
        self.spoken = SpokenDesk(settings.lake)
        self.workshop = Workshop(
            lambda: self.settings.limits, self.clock, self.serving_of, self.desk, self.spoken, self.figures, lambda: self.closing
        )
        self.hub = Hub(self.workshop)
        self.figures.sessions = self.hub.figures
        self.feed = LiveFeed(settings.lake, config.symbol) if settings.defaults.is_live else None
        if self.feed is not None:
            self.hub.told_feed = self.feed.told
        self.latency: LatencyLog | None = None
        self.before_goodbye: Callable[[], None] = lambda: None  # stops taking connections, where other replicas take them
        self.deployments: dict[str, Any] | None = None  # what Ray Serve says of all replicas, where one runs us
        self._refused: dict[str, str] | None = None  # the last change of settings, if it could not be taken
        self._default: Callable[[], Serving] = lambda: self.watcher.serving
        self._began = time.monotonic()

    def start(self) -> None:
        """Compile what streams will need and begin to watch the champion; takes seconds the first time.

        Raises
        ------
        EngineError
            The version that was asked for at launch cannot be served.
        """
        self.watcher.start()
        self._default = self.serving_of(self.settings.defaults.model)
        if self.settings.latency is not None:
            self.latency = LatencyLog(self.settings.latency)

    def change_settings(self, settings: ServeSettings) -> None:
        """Take other limits: from the next stream, turn and look on; open streams and sessions keep what they began with."""
        self.settings, self._refused = settings, None
        self.watcher.poll_s = settings.limits.champion_poll_s
        self.workshop.take_limits()
        logger.info("limits are now %s", settings.limits)

    def refuse_settings(self, why: str) -> None:
        """Keep the settings, and show why others were not taken until some are."""
        self._refused = {"kind": "settings", "message": why, "since": datetime.now(UTC).isoformat(timespec="milliseconds")}

    def serving_of(self, model: str | int) -> Callable[[], Serving]:
        """What tells a stream what it scores with: the champion, whichever it is by then, or what does not change.

        Raises
        ------
        EngineError
            A version that is unknown or damaged, may not run here, or does not fit the instrument.
        """
        if model == CHAMPION:
            return lambda: self.watcher.serving
        champion = self.watcher.load(model) if isinstance(model, int) else None
        fixed = Serving(0, champion, self.watcher.serving.since)
        return lambda: fixed

    async def go_away(self) -> int:
        """Say goodbye to every client (close code 1001) and take no more; how many there were."""
        self.closing = True
        self.before_goodbye()
        streams = list(self.streams)
        for stream in streams:
            stream.go_away()
        if streams:
            await asyncio.wait([stream.finished for stream in streams], timeout=self.settings.limits.close_s)
        return len(streams)

    async def beat(self) -> None:
        """Keep alive the streams that have nothing to send, until cancelled."""
        while True:
            period_s = self.settings.limits.heartbeat_s
            await asyncio.sleep(period_s / 4)
            now = time.monotonic()
            for stream in list(self.streams):
                stream.beat(now, period_s * 3 / 4)  # looked at every quarter, so that none waits longer than the period

    async def follow_live(self) -> None:
        """Keep the live day's session going and know how its feed is, until cancelled; nothing to do for replays."""
        feed = self.feed
        while feed is not None:
            await asyncio.to_thread(feed.look)
            if not self.closing:
                settings = self.settings
                request = await asyncio.to_thread(read_request, [], self.config, settings.lake, settings.defaults)
                feed.keep(self.hub, request)
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """End the streams, the sessions, the watcher and the threads."""
        await self.go_away()
        await self.hub.stop()
        await asyncio.to_thread(self.watcher.stop)
        self.workshop.stop()
        await asyncio.to_thread(self.desk.close)
        await asyncio.to_thread(self.spoken.close)
        if self.latency is not None:
            self.latency.close()

    def trouble(self) -> str | None:
        """Why the service cannot serve; None where it can."""
        if self.closing:
            return "the service is going away"
        if not self.watcher.is_watching:
            return "the champion is not being watched"
        if self.feed is not None:
            return None  # a feed that is dead is an alarm; what was recorded is served
        try:
            lake, root = self.settings.lake, self.config.symbol_root
            raw_file(lake, root, self.settings.defaults.dt or last_day(lake, root), self.config.symbol)
        except EngineError as error:
            return str(error)
        return None

    def health(self) -> dict[str, Any]:
        """The body of ``/health``."""
        trouble = self.trouble()
        serving, scoring = self.watcher.serving, self._default()
        figures, held = self.figures, self.snapshot()
        return {
            "status": "ok" if trouble is None else "error",
            "reason": trouble,
            "service": SERVICE_NAME,
            "instrument": f"{self.config.product_type}:{self.config.symbol}",
            "config_version": self.config.config_version,
            "defaults": asdict(self.settings.defaults),
            "champion": None if serving.champion is None else self._summary(serving.champion),
            "model": self._model(scoring.champion) | {"since": scoring.since},
            "alarms": self._alarms(serving.champion),
            **({} if self.feed is None else {"feed": self.feed.told()}),
            "deployments": self.deployments,
            "limits": asdict(self.settings.limits),
            "sessions": self.hub.n_sessions,
            "clients": len(self.streams),
            "memory_bytes": held.memory_bytes,
            "ring_bytes": held.ring_bytes,
            "lag_ms": figures.lag_quantile_ms(0.5),
            "lag_p99_ms": figures.lag_quantile_ms(0.99),
            "pace": [{name: told[name] for name in _PACE if name in told} for told in self.hub.told()],
            "bins_served": figures.bins_served,
            "bins_dropped": figures.bins_dropped,
            "swaps": figures.swaps,
            "streams_opened": figures.streams_opened,
            "streams_refused": figures.streams_refused,
            "uptime_s": round(time.monotonic() - self._began, 1),
        }

    def snapshot(self) -> Snapshot:
        """What this replica holds now."""
        return self.figures.snapshot(len(self.streams))

    def told_feed(self) -> dict[str, Any] | None:
        """How the live feed is; None where days are replayed."""
        return None if self.feed is None else self.feed.told()

    def standing(self) -> tuple[int, str]:
        """Version and standing of the champion that serves; 0 and ``instrument`` where none does."""
        champion = self.watcher.serving.champion
        return (0, INSTRUMENT) if champion is None else (champion.version, self.desk.standing(champion))

    def alarm_kinds(self) -> list[str]:
        """Kind of each alarm that ``/health`` shows."""
        return [alarm["kind"] for alarm in self._alarms(self.watcher.serving.champion)]

    def champion(self) -> dict[str, Any]:
        """The body of ``/v1/model/champion``: what is served now, and the history.

        Raises
        ------
        ChampionError
            A version on file is damaged.
        """
        serving, scoring = self.watcher.serving, self._default()
        alarm = self.watcher.alarm
        return {
            "model": self._model(scoring.champion),
            "since": scoring.since,
            "champion": None if serving.champion is None else self._told(serving.champion),
            "alarm": None if alarm is None else alarm.message,
            "history": [self._told(champion) for champion in history(self.settings.lake)],
        }

    def _model(self, champion: Champion | None) -> dict[str, Any]:
        """What scores, and what is known of it by now."""
        desk = self.desk
        return choose_signal(champion, self.config).describe() | {
            "standing": desk.standing(champion),
            "record": desk.line(champion),
        }

    def _told(self, champion: Champion) -> dict[str, Any]:
        """A version with its live record."""
        return {**champion.told(), "standing": self.desk.standing(champion), "record": self.desk.told(champion)}

    def _summary(self, champion: Champion) -> dict[str, Any]:
        names = ("version", "signal", "run_id", "sweep", "dataset_id", "created_at")
        failed = [] if champion.gate is None else list(champion.gate.failed)
        promise = None if champion.promise is None else champion.promise.model_dump(mode="json", exclude={"plan"})
        return {
            **{name: getattr(champion, name) for name in names},
            "standing": self.desk.standing(champion),
            "because": reason_of(champion),
            "failed": failed,
            "promise": promise,
            "record": self.desk.told(champion),
        }

    def _alarms(self, champion: Champion | None) -> list[dict[str, str]]:
        """What an operator must know: a champion that cannot be taken, a record that is broken or not written."""
        alarm = self.watcher.alarm
        found = [] if alarm is None else [{"kind": "champion", "message": alarm.message, "since": alarm.since}]
        found += [] if self.feed is None else self.feed.alarms
        found += [] if self._refused is None else [self._refused]
        for trouble in (None if champion is None else self.desk.trouble(champion), self.spoken.trouble):
            if trouble is not None:
                found.append({"kind": "record", **trouble})
        return found
