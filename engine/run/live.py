"""A live day as blocks of scored bins: what a follower hands out, through the runner of every replay.

Each bin is handed out as soon as it is known: by the record behind it, or in a quiet market by the clock. What was recorded
before one joined comes first, in large blocks. The bins are those of a replay of the recording, with what its recorder knew of
the feed (`engine.source.follow.Watch`), to the last bit, however the records come in pieces and whenever the clock is told.

They can differ in one case, which is counted: a record that comes in behind what was said to be complete (`n_overtaken`) goes
into the bin that is open then, and a replay, which has no clock, may have had an earlier one open. The margin of
``known_until_ns`` is there to keep that from happening.

Source: engine.md sections 1 and 4.
"""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from engine.config import InstrumentConfig
from engine.constants import F_LAST, NS_PER_S
from engine.errors import ConfigError, SourceError
from engine.hours import open_intervals
from engine.run.block import BinBlock
from engine.run.clock import vouched_until
from engine.run.keyframes import Keyframes
from engine.run.replay import count_qualities, first_bin_ns, runtime_model
from engine.run.runner import HURRIED_BINS, Runner, Span
from engine.run.state import UNSET
from engine.schema import MboRecords
from engine.signals.base import SignalLike
from engine.source.follow import Follower, Hole
from engine.source.id_changes import by_id
from engine.source.records import START, Source

READ_S: Final = 0.01  # so much later at most is the end of a quiet bin heard of
EVENT_NS: Final = NS_PER_S  # as long may an event be under way before the clock passes it
ANY_BIN: Final = 2**62


class LiveSource(Source):
    """The session that a follower hands out; it has no files, and is told from others by its recording's name."""

    def __init__(self, dt: date, recording: str) -> None:
        super().__init__([], dt)
        self.recording = recording

    @property
    def identity(self) -> list[object]:
        return ["live", self.recording]


class LiveReplay:
    """An iterable of `BinBlock`, as `Replay`, that ends with the session or when the recorder has ended it.

    Parameters
    ----------
    follower
        The locked contract's feed from the session's first record on.
    day
        The session.
    start_time, signal
        As for `Replay`.
    from_bin
        The first bin to hand out; None for that of the last kept state, the session's first where none is kept.
    keyframes
        Folder of kept states, with which a replica that starts in mid-session begins near. What the follower hands out is read
        all the same, but run only from there on.
    recording
        Names the recording that the follower hands out and no other, not even one of the same day.
    block_bins
        Largest number of bins in a block, where no more than `HURRIED_BINS` are due.
    is_cancelled
        Asked between two reads; once true, no more bins come.

    Raises
    ------
    ConfigError
        The start is no time, the first bin is below 0, or states are to be kept of a recording without a name.
    SourceError
        While it is iterated: the recording ends before what a kept state holds of it.

    Attributes
    ----------
    known_until_ns : int or None
        How far the feed was said to be complete, UTC ns.
    holes : list of Hole
        Those that were told.
    n_overtaken : int
        Records that came in behind bins that the clock had closed.
    n_records : int
        Records that came in, clears of ours included.
    """

    def __init__(
        self,
        follower: Follower,
        config: InstrumentConfig,
        day: date,
        start_time: str | None = None,
        signal: SignalLike | None = None,
        keyframes: Path | None = None,
        recording: str = "",
        from_bin: int | None = 0,
        block_bins: int = 1,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        if from_bin is not None and from_bin < 0:
            raise ConfigError(f"the first bin was {from_bin}; it must be at least 0")
        if keyframes is not None and not recording:
            raise ConfigError("states were to be kept of a recording without a name; name it, or keep none")
        self.source = LiveSource(day, recording)
        day_start, day_end = self.source.window
        first = None if start_time is None else first_bin_ns(self.source, start_time)
        self.start_time = start_time
        self.block_bins = block_bins
        self.from_bin = from_bin or 0
        self.is_cancelled = is_cancelled
        self.quality_counts: dict[str, int] = {}
        self.known_until_ns: int | None = None
        self.holes: list[Hole] = []
        self.n_overtaken = 0
        self.n_records = 0
        self.runner = Runner(
            config,
            Span(day_start, day_end, first),
            open_intervals(config.symbol_root, day),
            signal if signal is not None else runtime_model(config),
            is_watched=True,
        )
        self.runner.hurry_to(self.from_bin)
        self.keyframes: Keyframes | None = None
        if keyframes is not None:
            self.keyframes = Keyframes(keyframes, self.source, self.runner)
            self.runner.stop_every(self.keyframes.every_bins)
        self._begins_at_last = from_bin is None
        self._follower = follower
        self._n_known = 0  # records that a kept state holds
        self._instrument_id = START.instrument_id
        self._open_ns: int | None = None  # when the last record was captured, where its event goes on
        self._clocked_ns = UNSET  # up to here the clock has closed bins that no record has reached yet

    @property
    def notices(self) -> list[str]:
        """What was found on the way, a line each."""
        of_states = [] if self.keyframes is None else self.keyframes.notices
        of_holes = [f"hole from {one.since_ns} to {one.until_ns} ns: {one.reason}" for one in self.holes]
        of_clock = [f"{self.n_overtaken} records came in behind bins that the clock had closed"] if self.n_overtaken else []
        return [*of_states, *of_holes, *of_clock, *self.source.notices]

    @property
    def anomalies(self) -> dict[str, int]:
        """Anomaly counts by kind so far."""
        return self.runner.anomalies

    def __iter__(self) -> Iterator[BinBlock]:
        for block in self._blocks():
            count_qualities(block, self.quality_counts)
            if int(block.bins["bin_seq"][0]) >= self.from_bin:
                yield block

    def _blocks(self) -> Iterator[BinBlock]:
        if self.keyframes is not None:
            resumed = self.keyframes.load(self.runner, ANY_BIN if self._begins_at_last else self.from_bin)
            if resumed is not None:
                self.from_bin = max(self.from_bin, self.keyframes.began_at)
                self._n_known = resumed.n_records
                self.quality_counts = dict(resumed.quality_counts)
        _, day_end = self.source.window
        while not self.runner.is_finished and not self.is_cancelled():
            batch = self._follower.read(READ_S)
            known = max(batch.known_until_ns, UNSET if self.known_until_ns is None else self.known_until_ns)
            self.known_until_ns = known
            if batch.hole is not None:
                yield from self._take_hole(batch.hole)
            yield from self._take(batch.records)
            if self.n_records < self._n_known:
                if batch.is_over:
                    raise self._state_of_another()
                continue
            is_at_end = batch.is_over or known >= day_end or self.runner.saw_end
            if not is_at_end:
                yield from self._advance(known)
                continue
            yield from self.runner.finish(vouched_until(self.runner.engine, min(known, day_end)), self._block_bins())
            if self.keyframes is not None:
                self.keyframes.end(self.runner)

    def _state_of_another(self) -> SourceError:
        path = "" if self.keyframes is None else self.keyframes.path
        return SourceError(
            f"a kept state holds {self._n_known} records of recording {self.source.recording!r}, which ends after "
            f"{self.n_records}; remove {path}, or name the recording by another name"
        )

    def _take_hole(self, hole: Hole) -> Iterator[BinBlock]:
        self.holes.append(hole)
        if self.n_records < self._n_known:
            return  # the kept state holds it
        for block in self.runner.take_hole(hole.since_ns, hole.until_ns, self._block_bins()):
            yield block
            self._keep(self.n_records)
        self._clocked_ns = UNSET  # a replay closes these bins at the same record
        self._open_ns = None

    def _take(self, records: MboRecords) -> Iterator[BinBlock]:
        """Records of one batch, or what a kept state does not hold of them."""
        source = self.source
        if len(records):
            self._see_times(records)
        for part, number, changes in by_id(records, self._instrument_id, source.id_changes):
            self._instrument_id, source.id_changes = number, changes
            n_before = self.n_records
            self.n_records += len(part)
            n_held = min(max(self._n_known - n_before, 0), len(part))
            if n_held == len(part):
                continue
            for block in self.runner.feed(part[n_held:], self._block_bins()):
                yield block
                self._keep(n_before + n_held + self.runner.n_taken)
            if self.runner.is_finished:
                return

    def _see_times(self, records: MboRecords) -> None:
        """Where the feed stands behind these records, and how many of them the clock has overtaken."""
        ts = records["ts_event"]
        captured = int(max(ts[-1], records["ts_recv"][-1]))
        self._open_ns = captured if records["flags"][-1] & F_LAST == 0 else None
        if self._clocked_ns != UNSET:
            reached = np.flatnonzero(ts >= np.uint64(self._clocked_ns))
            self.n_overtaken += int(reached[0]) if len(reached) else len(records)
            if len(reached):
                self._clocked_ns = UNSET

    def _advance(self, until_ns: int) -> Iterator[BinBlock]:
        """Close bins by the clock, though not past an event of which only a part has come, for a second at most."""
        if self._open_ns is not None and until_ns < self._open_ns + EVENT_NS:
            return
        n_bins = self.runner.n_bins
        for block in self.runner.advance(until_ns, self._block_bins()):
            yield block
            self._keep(self.n_records)
        if self.runner.n_bins > n_bins:
            self._clocked_ns = self.runner.bin_start_ns

    def _block_bins(self) -> int:
        """Small blocks for a stream that keeps up, large ones where many bins are due."""
        runner = self.runner
        since = max(runner.bin_start_ns, self.source.window[0])  # before the first bin opens, all that came may be due
        due = ((self.known_until_ns or since) - since) // runner.params.bin_ns
        return max(self.block_bins, HURRIED_BINS) if due > HURRIED_BINS else self.block_bins

    def _keep(self, n_records: int) -> None:
        """Between two bins, ``n_records`` being in: keep a state where one is due."""
        if self.keyframes is not None:
            place = START._replace(n_before=n_records)
            self.keyframes.see(self.runner, place, n_records, self.quality_counts)
