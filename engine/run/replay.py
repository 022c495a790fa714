"""Replay: a source's records through the runner, as blocks of scored bins.

The same function stands behind a dataset and behind a stream; only the block size differs.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from engine.config import InstrumentConfig
from engine.constants import NS_PER_S, QUALITY_NAMES
from engine.door import read_clock
from engine.errors import ConfigError
from engine.hours import SessionKind, open_intervals, session_window
from engine.run.block import BinBlock
from engine.run.checkpoint import Checkpoint
from engine.run.clock import vouched_until
from engine.run.keyframes import Keyframes
from engine.run.runner import WARM_UP_NS, Runner, Span
from engine.signals.base import SignalContext, SignalLike
from engine.signals.statistical.perm_derivative import PermDerivative, perm_params_from_config
from engine.source.content import Content
from engine.source.decoded import DecodedSource, decode_once
from engine.source.records import CHUNK_RECORDS, START, Place, Source

SESSION_TZ = "America/New_York"


def runtime_model(config: InstrumentConfig) -> SignalLike | None:
    """The instrument's own signal, fresh; None where the configuration switches it off."""
    if not config.perm_runtime_enabled:
        return None
    context = SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    return PermDerivative(perm_params_from_config(config), context)


def first_bin_ns(source: Source, start_time: str) -> int:
    """UTC ns of a New York wall-clock time inside the source's window.

    Raises
    ------
    ConfigError
        When the text is not HH:MM or HH:MM:SS, or no such time lies in the window.
    """
    start, end = source.window
    ns = clock_ns(source.dt, source.stretch.kind, start_time)
    if start <= ns < end:
        return ns
    zone = ZoneInfo(SESSION_TZ)
    since, until = (datetime.fromtimestamp(edge // NS_PER_S, zone).strftime("%Y-%m-%d %H:%M:%S") for edge in source.window)
    raise ConfigError(
        f"the start time was {start_time}, which is not in the {source.stretch.kind} session of {source.dt}: what is played goes "
        f"from {since} until {until} in New York; choose a time in it"
    )


def clock_ns(dt: date, kind: SessionKind, clock_time: str) -> int:
    """UTC ns of a New York wall-clock time of a session: the last one of that reading before its end.

    Raises
    ------
    ConfigError
        When the text is not HH:MM or HH:MM:SS.
    """
    clock = read_clock(clock_time)
    _, session_end = session_window(dt, kind)
    for day in (dt, dt - timedelta(days=1)):
        ns = int(datetime.combine(day, clock, ZoneInfo(SESSION_TZ)).timestamp()) * NS_PER_S
        if ns < session_end:
            break
    return ns


def count_qualities(block: BinBlock, counts: dict[str, int]) -> None:
    """Add a block's bins to the counts by quality bit."""
    quality = block.bins["quality"]
    for bit, name in QUALITY_NAMES.items():
        if n := int(np.count_nonzero(quality & bit)):
            counts[name] = counts.get(name, 0) + n


class Replay:
    """An iterable of `BinBlock`; what was found on the way stands in ``anomalies`` and ``quality_counts``.

    Parameters
    ----------
    source
        Records of the locked contract.
    start_time
        New York wall-clock time of the first bin, HH:MM or HH:MM:SS; default the first event.
    n_bins
        Stop after so many bins.
    signal
        Scores the bins; default the instrument's own signal.
    block_bins
        Largest number of bins in a block; 1 for a stream.
    chunk_records
        Records taken in at once; changes nothing but speed.
    checkpoints
        Folder where the book at the warm-up's start is kept for the next start, and records of compressed files, decoded;
        changes nothing but speed.
    is_cancelled
        Asked now and then; once true, no more bins come.
    keyframes
        Folder where states of the whole replay are kept while it runs, so that another one of the same session begins near any
        bin; changes nothing but speed.
    from_bin
        The first bin to hand out. It and all that follow, their ids and counts too, are those of a replay from the session's
        start.
    """

    def __init__(
        self,
        source: Source,
        config: InstrumentConfig,
        start_time: str | None = None,
        n_bins: int | None = None,
        signal: SignalLike | None = None,
        block_bins: int = 256,
        chunk_records: int = CHUNK_RECORDS,
        checkpoints: Path | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
        keyframes: Path | None = None,
        from_bin: int = 0,
    ) -> None:
        if n_bins is not None and n_bins < 1:
            raise ConfigError(f"the number of bins was {n_bins}; it must be at least 1")
        if from_bin < 0:
            raise ConfigError(f"the first bin was {from_bin}; it must be at least 0")
        day_start, day_end = source.window
        first = None if start_time is None else first_bin_ns(source, start_time)
        self.source = source
        self.start_time = start_time
        self.block_bins = block_bins
        self.chunk_records = chunk_records
        self.quality_counts: dict[str, int] = {}
        self.runner = Runner(
            config,
            Span(day_start, day_end, first, n_bins, source.stretch.opens_with_roll(first)),
            open_intervals(config.symbol_root, source.dt),
            signal if signal is not None else runtime_model(config),
            is_watched=source.watch is not None,
        )
        # Only where there is something to fast-forward through.
        begins = min(file.start_ns for file in source.files)
        self._checkpoints = checkpoints if first is not None and begins < first - WARM_UP_NS else None
        self.is_cancelled = is_cancelled
        self.from_bin = from_bin
        self.runner.hurry_to(from_bin)
        self.keyframes: Keyframes | None = None
        if keyframes is not None:
            self._records_folder = (checkpoints or keyframes) / "records"
            self.keyframes = Keyframes(keyframes, source, self.runner)
            self.runner.stop_every(self.keyframes.every_bins)
        self.content: Content | None = None  # whoever wants to know which records went in
        self._own_notices: list[str] = []

    @property
    def notices(self) -> list[str]:
        """What was found wrong with the files or the checkpoint, a line each."""
        of_states = [] if self.keyframes is None else self.keyframes.notices
        return [*self._own_notices, *of_states, *self.source.notices]

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
        place, n_known = self._begin()
        n_read = place.n_before
        for records in self.source.records(self.chunk_records, place):
            if self.is_cancelled():
                return
            hole = self.source.hole if n_read >= n_known else None  # what a kept state holds has its holes, too
            n_read += len(records)
            if hole is not None:
                for block in self.runner.take_hole(hole.since_ns, hole.until_ns, self.block_bins):
                    yield block
                    self._keep(n_read - len(records))
            if n_read <= n_known:
                continue
            records = records[-min(len(records), n_read - n_known) :]
            if self.content is not None:
                self.content.take(records)
            for block in self.runner.feed(records, self.block_bins):
                yield block
                self._keep(n_read - len(records) + self.runner.n_taken)
            if self.runner.is_finished:
                break
        else:
            yield from self.runner.finish(self._data_end(), self.block_bins)
            if self.keyframes is not None:
                self.keyframes.end(self.runner)

    def _keep(self, n_records: int) -> None:
        """Between two bins, ``n_records`` of the source being in: keep a state where one is due."""
        if self.keyframes is not None:
            # A place among decoded records is none in the files, should they have to be read instead.
            place = START if isinstance(self.source, DecodedSource) else self.source.place
            self.keyframes.see(self.runner, place, n_records, self.quality_counts)

    def _begin(self) -> tuple[Place, int]:
        """Where to begin reading, and how many records of the source a kept state or a kept book holds already."""
        # Whoever wants to know which records went in must see them all.
        if self.keyframes is None or self.from_bin == 0 or self.content is not None:
            return self._take_checkpoint()
        n_bins = self.runner.span.n_bins
        resumed = self.keyframes.load(self.runner, self.from_bin if n_bins is None else min(self.from_bin, n_bins - 1))
        if resumed is None:
            return self._take_checkpoint()
        self.quality_counts = dict(resumed.quality_counts)
        source = decode_once(self.source, self._records_folder, self.source.window[1])
        if source is self.source:
            return resumed.place, resumed.n_records
        self.source = source
        return START._replace(n_before=resumed.n_records), resumed.n_records

    def _take_checkpoint(self) -> tuple[Place, int]:
        """Where to begin reading, and how many records a kept book holds already; where none is kept, one will be."""
        if self._checkpoints is None:
            return START, 0
        # A compressed file cannot be entered in its middle.
        self.source = decode_once(self.source, self._checkpoints / "records", self.source.window[1])
        checkpoint = Checkpoint(self._checkpoints, self.source, self.runner)
        place, n_known, notice = checkpoint.load(self.runner)
        if notice:
            self._own_notices.append(notice)
        if n_known == 0:
            self.runner.at_warm_up(lambda n: checkpoint.save(self.runner, self.source.place, n) if n else None)
        return place, n_known

    def _data_end(self) -> int | None:
        """Until when the files vouch that nothing more happened: their declared end, but not beyond the trading session."""
        # What is broken behind the session's end takes nothing from it.
        end = self.source.declared_end_ns if self.runner.saw_end else self.source.end_ns
        return vouched_until(self.runner.engine, end)
