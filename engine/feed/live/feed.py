"""A contract's live feed: one connection after the other for as long as it is wanted, and never a record twice or lost unnamed.

Every end that was not asked for is a disconnect: a clean end, a reset, a half-close, a broken record, silence for two heartbeats,
an error of the gateway. A fresh client follows each, after a wait that grows and is not in step with others'. It asks for a
replay from the newest event time that was handed on (`engine.feed.live.doubles`), and where that is not to be had or not to be
proved for a snapshot, before which the hole is named. Only what no other try could mend ends a feed: a key that is not taken, a
contract that is not known, a limit.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from engine.constants import MBO_RECORD_BYTES, NS_PER_S, RTYPE_MBO
from engine.feed.download.key import Key
from engine.feed.live.connection import Connection, Refused, Unreachable
from engine.feed.live.doubles import as_records
from engine.feed.live.gauge import Gauge, is_open
from engine.feed.live.intake import NOT_HONOURED, Intake
from engine.feed.live.retries import Retries
from engine.feed.live.settings import LiveSettings
from engine.feed.live.sink import FeedKind, Sink
from engine.feed.live.words import Weight, Word, read_word, refusal
from engine.schema import MboRecords

_TICK_S: Final = 0.01  # between two looks at the market's clock, while nothing comes
_TOLD_S: Final = 1.0  # between two states, while records come
_LONG_TICK_S: Final = 0.25
Trouble = tuple[Weight, str]  # why a connection is of no use any more


class LiveFeed:
    """One contract's feed, in a thread of its own between `start` and `stop`.

    ``tail``, (n,) MBO_DTYPE, are the records that an earlier feed handed on last, at least ``reorder_s`` of them: it goes on
    behind them. ``say`` hears every line, from the feed's thread.
    """

    def __init__(
        self,
        settings: LiveSettings,
        key: Key,
        sink: Sink,
        tail: MboRecords | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._settings = settings
        self._key = key
        self._gauge = Gauge(sink, say, key.hide)
        self._intake = Intake(settings, sink, self._gauge, tail)
        self._retries = Retries(settings, self._gauge)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="live feed", daemon=True)
        self._began_s = 0.0
        self._told_s = 0.0
        self._heard: tuple[int, float] | None = None
        self._is_missed = False
        self._has_stood = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; when this returns the sink hears nothing any more.

        Raises
        ------
        Exception
            What the sink had raised, which had ended the feed.
        """
        self._stopping.set()
        self._wake.set()
        if (connection := self._connection) is not None:
            connection.give_up()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; whether it has come. A feed ends where it is stopped, and where no other try could help."""
        return self._over.wait(timeout_s)

    def _run(self) -> None:
        try:
            self._gauge.show("connecting")
            self._serve()
            self._gauge.show("ended")
        except Exception as error:
            self.error = error  # a sink's own; whoever stops the feed gets it
        finally:
            self._over.set()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            connection = Connection(self._settings, self._key, self._wake)
            self._connection = connection
            try:
                why = self._through(connection)
            finally:
                self._connection = None
                connection.close()
                now_s = time.monotonic()
                self._heard = self._now_ns(now_s), now_s
            if self._stopping.is_set():
                return
            if not self._goes_on(*why):
                self._gauge.alarm(f"the feed has ended: {why[1]}", "ended")
                return
            self._stopping.wait(self._retries.wait_s())

    def _through(self, connection: Connection) -> Trouble:
        """One connection from its beginning to its end."""
        start_ns = self._intake.begin()
        if self._stopping.is_set():
            return "lost", ""
        try:
            connection.open(start_ns)
        except Unreachable as error:
            return "lost", f"no connection to the vendor: {error}"
        except Refused as error:
            return refusal(str(error)), f"the vendor refuses the connection: {error}"
        self._began_s = time.monotonic()
        self._is_missed = False
        return self._follow(connection)

    def _goes_on(self, weight: Weight, line: str) -> bool:
        """Whether another try may mend it; what is to be another way then is set."""
        if weight == "subscription" and self._intake.is_replay:
            weight = "aged"
        if weight in ("final", "subscription"):
            return False
        if weight == "limit" and not (self._has_stood and self._retries.bears_limit()):
            return False
        if weight == "aged":
            self._intake.refuse_replay(line)
        is_wanted = is_open(self._settings.symbol, self._now_ns(time.monotonic()))  # who closes may be away
        self._retries.failed(line, "dead" if self._has_stood else "connecting", may_alarm=is_wanted)
        return True

    def _follow(self, connection: Connection) -> Trouble:
        is_counted = False
        while True:
            self._wake.wait(self._idle_s(connection))
            self._wake.clear()
            ended = connection.ended  # before what came: all of that belongs before the end
            trouble = self._hear(connection.take())
            if self._intake.has_news and not is_counted:
                is_counted = True
                self._stands()
            if trouble is not None:
                return trouble
            if ended is not None or self._stopping.is_set():
                return "lost", ended or ""
            if connection.is_silent():
                return "lost", f"nothing came for {time.monotonic() - connection.last_s:.2f} s, not even a heartbeat"
            self._tick(time.monotonic())

    def _idle_s(self, connection: Connection) -> float:
        """How long nothing needs to be looked at, if nothing comes."""
        tick = _TICK_S if self._settings.clock_rate and self._intake.is_current else _LONG_TICK_S
        return min(tick, max(0.0, connection.silent_at_s() - time.monotonic()) + 0.001)

    def _stands(self) -> None:
        if self._has_stood and self._retries.has_failed:
            self._gauge.show(n_recoveries=self._gauge.now.n_recoveries + 1)
        self._has_stood = True
        self._retries.stands()

    def _tick(self, now_s: float) -> None:
        self._intake.known_now(now_s)
        if now_s - self._told_s >= _TOLD_S and self._gauge.now.kind == "live":
            self._told_s = now_s
            self._gauge.show()
        if self._intake.has_market or self._is_missed or now_s - self._began_s < self._settings.no_data_s:
            return
        self._is_missed = True
        if is_open(self._settings.symbol, self._now_ns(now_s)):
            self._gauge.warn(
                f"{self._settings.symbol} has sent nothing for {now_s - self._began_s:.1f} s of an open session; look whether it "
                "is the contract that trades"
            )

    def _now_ns(self, now_s: float) -> int:
        """Market time, as far as it was heard; else ours."""
        heard = self._intake.clock.now_ns(now_s)
        if heard is not None:
            return heard
        if self._heard is None:
            return time.time_ns()
        then_ns, then_s = self._heard  # of the connection before
        return then_ns + int((now_s - then_s) * self._settings.clock_rate * NS_PER_S)

    def _hear(self, pieces: list[bytes]) -> Trouble | None:
        for part in _parts(pieces):
            if isinstance(part, Word):
                trouble = self._heed(part)
                if trouble is not None:
                    return trouble
                continue
            self._intake.clock.hear(int(part["ts_recv"].astype(np.int64).max()), time.monotonic())
            if not self._intake.take(part):
                return "lost", NOT_HONOURED
            if self._intake.has_news and self._gauge.now.kind != "live":
                self._gauge.show("live")
        return None

    def _heed(self, word: Word) -> Trouble | None:
        """What follows from a system or error record."""
        now_s = time.monotonic()
        self._intake.clock.hear(word.ts_ns, now_s)
        if word.weight == "mapping":
            self._gauge.note(word.line)
            if self._settings.symbol in word.symbols:
                self._intake.map(word.instrument_id, self._settings.symbol, word.ts_ns)
        elif word.weight in ("alive", "replayed"):
            if not self._intake.come_up():
                return "lost", NOT_HONOURED
            if word.weight == "alive":
                kind: FeedKind = "quiet" if is_open(self._settings.symbol, self._now_ns(now_s)) else "closed"
                self._gauge.show(kind)
            else:
                self._gauge.note(word.line)
        elif word.weight == "note":
            self._gauge.note(word.line)
        elif word.weight == "warning":
            self._gauge.warn(word.line)
        else:
            return word.weight, word.line
        return None


def _parts(pieces: list[bytes]) -> Iterator[MboRecords | Word]:
    """What came, in its order: runs of the market's records as arrays, and what was said between them."""
    if not pieces:
        return
    whole = b"".join(pieces)
    if len(whole) == MBO_RECORD_BYTES * len(pieces):
        records = as_records([whole])
        if (records["rtype"] == RTYPE_MBO).all():
            yield records
            return
    run: list[bytes] = []
    for piece in pieces:
        if piece[1] == RTYPE_MBO and len(piece) == MBO_RECORD_BYTES:
            run.append(piece)
            continue
        if run:
            yield as_records(run)
            run = []
        yield read_word(piece)
    if run:
        yield as_records(run)
