"""The recorder: takes a feed in and keeps it. One for each contract and lake."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import NS_PER_DAY, NS_PER_S
from engine.errors import WorkError
from engine.feed.follow import Hole
from engine.feed.live.sink import FeedState
from engine.feed.record.day import RecordedDay, resting_after
from engine.feed.record.journal import JOURNAL, read_journal
from engine.feed.record.place import day_folder, last_state_path, recorded_days, ring_path, rings, state_path, symbol_folder
from engine.feed.record.resting import Resting, newest_of
from engine.feed.record.segments import captured_ns, mend_folder
from engine.files import write_atomic
from engine.lake import Lake
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.identity import day_start_ns

_LOCK_TRIES: Final = 20  # who looks whether somebody records holds the lock for microseconds
_LOCK_TRY_S: Final = 0.01


@dataclass(frozen=True)
class Options:
    """What changes no record: sizes of a segment and of the ring, how often the disk is told to keep what it was given."""

    segment_mb: int = 64
    ring_mb: float = 64
    sync_ms: int = 200
    retry_s: float = 1.0  # between two tries to record again after a full disk
    dataset: str = "GLBX.MDP3"  # for the segments' metadata


class Recorder:
    """A `engine.feed.live.sink.Sink`: segment first, then ring; whoever reads cannot hold it up.

    ``resume``: the last records there are, in order, from which the feed goes on: those of the last seconds of event time, none
    from before a snapshot; empty where there is nothing.
    ``tell`` gets a line when recording stops or goes on.

    Raises
    ------
    WorkError
        The contract is being recorded already, or shared memory has no room.
    """

    def __init__(self, lake: Lake, symbol: str, options: Options, tell: Callable[[str], None]) -> None:
        self._lake, self._symbol, self._options, self._tell = lake, symbol, options, tell
        self._lock_file = _lock(lake, symbol)
        self._lock = threading.Lock()  # between the feed's thread and the one that syncs
        self._day: RecordedDay | None = None
        self._hole: Hole | None = None  # told, and no record since
        self._newest_ns = 0  # greatest time of an event
        self._known_ns = 0
        self._feed = FeedState()
        self._n_records = 0
        self._retry_at_s = 0.0
        self._is_dirty = self._is_state_new = False
        self._trouble = ""
        self._starts_over = False  # there is something, and nothing that the feed could go on from
        self._resting, self.resume = self._go_on()
        self._stop = threading.Event()
        self._syncing = threading.Thread(target=self._sync_until_stopped, name="sync", daemon=True)
        self._syncing.start()
        self._write_state()

    def _go_on(self) -> tuple[Resting, MboRecords]:
        """Mend what the one before left, and read what rests after it."""
        days = recorded_days(self._lake, self._symbol)
        for path in rings(self._lake, self._symbol):
            if not days or path != ring_path(self._lake, self._symbol, days[-1]):
                path.unlink(missing_ok=True)
        Resting().take(np.zeros(1, MBO_DTYPE))  # compiles, before anything comes
        if not days:
            return Resting(), np.empty(0, MBO_DTYPE)
        mend_folder(day_folder(self._lake, self._symbol, days[-1]))
        resting, resume = resting_after(self._lake, self._symbol, days[-1])
        if resting.newest_ns:
            self._newest_ns = self._known_ns = resting.newest_ns
            self._starts_over = not len(resume)
        over = read_journal(day_folder(self._lake, self._symbol, days[-1]) / JOURNAL).over
        start_ns = day_start_ns(days[-1])
        if over is None or over.known_until_ns < start_ns + NS_PER_DAY:
            self._day = self._open_day(start_ns // NS_PER_DAY)
        return resting, resume

    def _open_day(self, i_day: int) -> RecordedDay:
        day = datetime.fromtimestamp(i_day * NS_PER_DAY // NS_PER_S, UTC).date()
        given = self._options
        return RecordedDay(self._lake, self._symbol, day, given.dataset, given.segment_mb, given.ring_mb)

    # --- the sink ---

    def take(self, records: MboRecords) -> None:
        """The next records of the contract, in order."""
        with self._lock:
            captured = captured_ns(records)
            day = self._day
            if day is not None and int(captured.max()) < day.end_ns:
                self._take_of_day(day, records)
            else:
                self._take_of_days(records, captured // np.uint64(NS_PER_DAY))
            self._n_records += len(records)
            self._is_dirty = self._is_state_new = True
        self._tell_trouble()

    def _take_of_days(self, records: MboRecords, days: NDArray[np.uint64]) -> None:
        edges = [0, *(np.flatnonzero(days[1:] > np.maximum.accumulate(days)[:-1]) + 1).tolist(), len(records)]
        for first, last in pairwise(edges):
            part, i_day = records[first:last], int(days[first])
            day = self._day
            if day is None or i_day * NS_PER_DAY >= day.end_ns:
                day = self._enter(i_day, part)
            self._take_of_day(day, part)

    def _take_of_day(self, day: RecordedDay, records: MboRecords) -> None:
        if day.missing_since_ns is not None and self._hole is None and self._may_retry():
            day.retry(records, self._newest_ns, self._resting)
        hole, self._hole = self._hole, None
        if self._starts_over and hole is None:
            until_ns = int(captured_ns(records[:1])[0])
            hole = Hole(
                self._newest_ns, until_ns, "an earlier recorder was ended within a snapshot, which cannot be gone on with"
            )
        self._starts_over = False
        was_missing = day.missing_since_ns
        self._keep(day, records, hole, 0)
        if day.missing_since_ns != was_missing:
            self._retry_at_s = time.monotonic() + self._options.retry_s

    def _may_retry(self) -> bool:
        """Whether it is time to try to record again, and the book may be shown."""
        is_time = time.monotonic() >= self._retry_at_s
        return is_time and self._resting.is_whole and self._resting.is_at_event_end

    def _keep(self, day: RecordedDay, records: MboRecords, hole: Hole | None, n_opening: int) -> None:
        # A snapshot's orders have the times of long ago.
        self._newest_ns = max(self._newest_ns, newest_of(records))
        day.take(records, hole, n_opening, self._newest_ns, self._resting)
        self._resting.take(records)

    def _enter(self, i_day: int, records: MboRecords) -> RecordedDay:
        """A new day: the old one is over, the new one opens with the book."""
        start_ns = i_day * NS_PER_DAY
        if self._day is not None:
            cut = self._hole and Hole(self._hole.since_ns, min(self._hole.until_ns, self._day.end_ns), self._hole.reason)
            self._leave(self._known_ns if cut else start_ns, cut)
        day = self._day = self._open_day(i_day)
        if self._resting.is_whole and self._hole is None and not day.number:
            opening = self._resting.snapshot(int(captured_ns(records[:1])[0]))
            self._keep(day, opening, None, len(opening))
        return day

    def _leave(self, known_ns: int, hole: Hole | None) -> None:
        day, self._day = self._day, None
        if day is not None:
            day.finish(known_ns, hole)
            self._sync(day)
            day.close()

    def hole(self, hole: Hole) -> None:
        """What lies in between is not known; the next records begin with a snapshot."""
        with self._lock:
            before = self._hole
            self._hole = Hole(before.since_ns, hole.until_ns, f"{before.reason}; {hole.reason}") if before else hole

    def mapping(self, instrument_id: int, raw_symbol: str, ts_ns: int) -> None:
        """Nothing to do: every segment's metadata name the id of its records."""

    def known_until(self, ts_ns: int) -> None:
        """Everything up to this event time has been taken."""
        with self._lock:
            self._known_ns = max(self._known_ns, ts_ns)
            if self._day is None or self._hole is not None:
                return  # what lies in the hole is not known
            if self._known_ns >= self._day.end_ns:
                self._leave(self._known_ns, None)
            else:
                self._day.ring.know(self._known_ns)

    def state(self, state: FeedState) -> None:
        """How the feed is now."""
        is_other = (state.kind, state.alarm) != (self._feed.kind, self._feed.alarm)
        self._feed = state
        self._is_state_new = True
        if is_other:
            self._tell(f"feed {state.kind}: {state.n_records:,} records{', ALARM: ' if state.alarm else ''}{state.alarm}")
            self._write_state()

    # --- beside it ---

    def _tell_trouble(self) -> None:
        trouble = self._day.trouble if self._day else ""
        if trouble != self._trouble:
            self._trouble = trouble
            self._tell(
                f"alarm: recording stopped, serving goes on: {trouble}" if trouble else "recording goes on, its hole is named"
            )
            self._write_state()

    def told(self) -> dict[str, Any]:
        """The recorder's state as it stands in the file for others."""
        day = self._day
        return {
            "pid": os.getpid(), "symbol": self._symbol, "day": day and day.day.isoformat(), "n_records": self._n_records,
            "number": day and day.number, "newest_ns": self._newest_ns, "known_until_ns": self.known_ns,
            "is_recording": not self._trouble, "alarm": self._trouble or self._feed.alarm, "feed": asdict(self._feed),
        }  # fmt: skip

    def _write_state(self) -> None:
        """Replace the state whole; where shared memory is full, others see the one before."""
        self._is_state_new = False
        path = state_path(self._lake, self._symbol)
        temporary = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
        with suppress(OSError):
            temporary.write_text(json.dumps(self.told()))
            temporary.rename(path)

    def _sync_until_stopped(self) -> None:
        while not self._stop.wait(self._options.sync_ms / 1_000):
            if self._is_dirty:
                self._sync_now()
            if self._is_state_new:
                self._write_state()

    def _sync_now(self) -> None:
        try:
            with self._lock:
                self._is_dirty = False
                held = self._day.segments.held() if self._day else []
        except OSError as error:  # no descriptor is left, say: tried again with what comes next
            self._tell(f"alarm: what was recorded last may not be on the disk: {error.strerror}")
            return
        self._sync_all(held)

    def _sync(self, day: RecordedDay) -> None:
        self._sync_all(day.segments.held())

    def _sync_all(self, held: list[int]) -> None:
        for one in held:
            try:
                os.fsync(one)
            except OSError as error:
                self._tell(f"alarm: what was recorded last may not be on the disk: {error.strerror}")
            finally:
                os.close(one)

    def end(self, *, is_over: bool = True) -> None:
        """Let go of everything, all of it on the disk. ``is_over``: whoever follows is told that nothing follows.

        Not so, whoever follows waits for the next recorder.
        """
        self._stop.set()
        self._syncing.join()
        with self._lock:
            if is_over:
                self._leave(self.known_ns if self._hole is None else self._known_ns, self._hole)
            elif self._day is not None:
                self._sync(self._day)
                self._day.close()
        with suppress(OSError):  # a full disk: what it said while it ran stays where it is
            write_atomic(last_state_path(self._lake, self._symbol), json.dumps(self.told()).encode())
            state_path(self._lake, self._symbol).unlink(missing_ok=True)
        self._lock_file.close()

    @property
    def known_ns(self) -> int:
        """Event time up to which everything was taken, UTC ns."""
        return max(self._known_ns, self._newest_ns)


def _lock(lake: Lake, symbol: str) -> IO[str]:
    folder = symbol_folder(lake, symbol)
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("a+")
    if not _has_got(file):
        file.seek(0)
        whose = file.read().strip() or "another"
        file.close()
        raise WorkError(
            f"{symbol} is being recorded by process {whose} in {folder}; one recorder a contract and lake, end that one first"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _has_got(file: IO[str]) -> bool:
    """Take the lock, which goes with the process, however it ends."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            threading.Event().wait(_LOCK_TRY_S)
        else:
            return True
    return False


def read_state(lake: Lake, symbol: str) -> dict[str, Any] | None:
    """The state of a contract's recorder as it wrote it last (see `Recorder.told`); None where none has written one.

    ``is_alive`` is added: whether somebody records it now.
    """
    for path in (state_path(lake, symbol), last_state_path(lake, symbol)):
        try:
            values: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            continue
        return values | {"is_alive": is_recorded(lake, symbol)}
    return None


def is_recorded(lake: Lake, symbol: str) -> bool:
    """Whether somebody records the contract now."""
    try:
        with (symbol_folder(lake, symbol) / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False
