"""A live day as a session: bins come when their records do, and whoever drives it waits for them on a thread of its own."""

import time
from collections.abc import Callable
from threading import Event, Lock
from typing import Any, ClassVar, Final
from weakref import ReferenceType, ref

from engine.constants import NS_PER_MS
from engine.errors import ConfigError
from engine.feed.record.recorder import read_state
from engine.hours import open_intervals
from engine.run.block import BinBlock
from engine.run.extent import Extent
from serve.live_day import Followed, live_replay
from serve.moment import Moment, bin_of
from serve.paper import Seen
from serve.request import MAX_BACKFILL
from serve.session import ConfigFrame, Session

_MANY: Final = 256  # bins that may come at once where nobody sees them


class LiveSession(Session):
    """The bins of the day under way, from its first record on.

    Every bin is computed, whichever is the first to be handed out: the signal and the trades on paper walk the whole day.

    Parameters
    ----------
    at_edge : bool
        Whether it begins so near to now that a backfill is there and no more; else at the bin that was asked for.
    is_closing : callable
        Whether the replica is going away.
    """

    mode: ClassVar[str] = "live"

    def __init__(self, *given: Any, at_edge: bool, is_closing: Callable[[], bool]) -> None:
        super().__init__(*given)
        assert self.request.live is not None
        self._live = self.request.live
        self._at_edge = at_edge
        self._is_closing = is_closing
        self._reading = Lock()  # held by who reads what comes
        self.followed = Followed.of(self._live)
        self.on_change: Callable[[ConfigFrame], None] | None = None  # told of a signal that takes over while no bin comes

    def bin_of(self, moment: Moment) -> int:
        """The bin of a place in the day so far; waits for the first one.

        Raises
        ------
        ConfigError
            The place lies before the first bin, or ahead of the newest.
        """
        self._begin()
        if self._ahead is None and self.n_bins == 0:
            self._ahead = self._next_block(1)
        if self.extent is None:
            raise ConfigError(f"{moment.given} was asked for, and the live day has no bin yet; wait for one")
        assert self._replay is not None
        seq = bin_of(moment, self.extent, self._replay.source)
        newest = self.extent.bin_at(self._known_ns()) - 1
        if seq > newest:
            raise ConfigError(f"{moment.given} lies ahead of the newest bin, {newest}; choose an earlier place, or seek to live")
        return seq

    def open(self, wanted: int = 0) -> None:
        """Compute up to where it begins; the slow part. Nothing is waited for that has not been recorded yet."""
        if self._closed.is_set():
            return
        self._begin()
        if self._at_edge:
            edge_ns = self._known_ns() - MAX_BACKFILL * self.config.cell_width_ms * NS_PER_MS
            self.next_bin = 0
            while self.followed.known_until_ns < edge_ns and self._ahead_of(_MANY):
                assert self._ahead is not None
                if int(self._ahead.bins["bin_end_ns"][-1]) > edge_ns:
                    self.next_bin = int(self._ahead.bins["bin_seq"][0])
                    break
                self._ahead, self.next_bin = None, self.n_bins
            return
        while self.n_bins < self.next_bin and self._ahead_of(self.next_bin - self.n_bins):
            if self.n_bins <= self.next_bin:
                self._ahead = None

    def _ahead_of(self, n_bins: int) -> bool:
        """Whether the day goes on; the next bins are kept."""
        self._ahead = self._next_block(n_bins)
        return self._ahead is not None

    def _begin(self) -> None:
        if self._replay is not None:
            return
        go_on = _BetweenReads(ref(self), self._closed, self._is_closing)
        self._replay = live_replay(
            self._live, self.followed, self.config, self.request.start_time, self.choice.build(), go_on.is_cancelled
        )
        self._blocks = iter(self._replay)

    def _known_ns(self) -> int:
        state = read_state(self._live.lake, self._live.symbol)
        is_same_day = state is not None and state["day"] == self._live.day.isoformat()
        return max(self.followed.known_until_ns, state["known_until_ns"] if state is not None and is_same_day else 0)

    def _before(self, block: BinBlock) -> None:
        self._taken_up = self.followed.arrived_ns, time.time_ns()
        if self.extent is not None:
            return
        width_ns = self.config.cell_width_ms * NS_PER_MS
        start_ns = int(block.bins["bin_start_ns"][0]) - int(block.bins["bin_seq"][0]) * width_ns
        assert self._replay is not None
        self.extent = Extent(start_ns, self._replay.source.window[1], None, width_ns)
        if self._desk is None:
            return
        config, live = self.config, self._live
        hours = open_intervals(config.symbol_root, live.day)
        data = f"live {live.folder.resolve()} {config.config_version}"
        self._seen = Seen("live", live.folder.name, config.symbol, start_ns, hours, data)
        book = self._desk.open(self.choice.champion, self._seen, 0)
        self._papers = [] if book is None else [book]

    def _next_block(self, n_bins: int) -> BinBlock | None:
        with self._reading:
            block = super()._next_block(n_bins)
            if block is None or self._closed.is_set():
                self.followed.close()
            return block

    def change_while_idle(self) -> None:
        """Between two reads, no bin being due: let another signal take over, however long none comes."""
        if self.on_change is not None and self.wants_change:
            for config in self._change_signal():
                self.on_change(config)

    def close(self) -> None:
        """Let go of it; from any thread."""
        super().close()
        if self._reading.acquire(blocking=False):
            self.followed.close()
            self._reading.release()

    def settle(self, is_stopping: Callable[[], bool]) -> None:
        """Nobody watches any more; trades on paper stay open in the record until a stream shows the day again."""
        self.close()


class _BetweenReads:
    """What a replay asks between two reads; it does not keep the session alive."""

    def __init__(self, whose: ReferenceType[LiveSession], closed: Event, is_closing: Callable[[], bool]) -> None:
        self._whose, self._closed, self._is_closing = whose, closed, is_closing

    def is_cancelled(self) -> bool:
        """Whether no more bins are wanted."""
        if self._is_closing():
            self._closed.set()  # the day is not over
        if self._closed.is_set():
            return True
        session = self._whose()
        if session is not None:
            session.change_while_idle()
        return False
