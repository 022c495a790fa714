"""The runner: owns a run's arrays, feeds records to the one loop, hands out blocks of bins.

Source: engine.md sections 1 to 7.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.book.kernels import NO_TICK
from engine.book.owner import grow, make_book, table_for
from engine.config import InstrumentConfig
from engine.constants import ANOMALIES, FEED_GAP_NS, NS_PER_S, Q_ROLL, UNDEF_PRICE
from engine.field.kernels import make_field
from engine.field.spectrum import history_bins, make_spectrum
from engine.jit import source_hash
from engine.run import loop as rk
from engine.run import state as rs
from engine.run.bins import close_bin
from engine.run.block import BinBlock, GridView
from engine.run.recentre import Parking, recentre, synchronise_parked, touch_far
from engine.run.silence import judge_silence, mark_gap
from engine.run.snapshot import engine_arrays, put_back, restore_engine, snapshot_engine
from engine.run.traded import grow_tape, make_tape
from engine.schema import (
    BIN_DTYPE,
    GRID_F64,
    GRID_I32,
    GRID_LABELS_I8,
    GRID_TRADED,
    MBO_DTYPE,
    Ints,
    MboRecords,
    Structured,
)
from engine.signals.base import SignalLike, signal_inputs, write_outputs

HURRIED_BINS: Final = 256  # in a block of bins that nobody waits for
WARM_UP_NS = 30 * 60 * NS_PER_S  # the field runs this long before the first bin
NO_NUMBER: Final = -2  # of the record before the first: no step of one leads away from it


@dataclass(frozen=True)
class Span:
    """When a run begins and ends, ns: the session window, the first bin's start (None: the first event), how many bins."""

    day_start: int
    day_end: int
    first_bin: int | None = None
    n_bins: int | None = None
    opens_with_roll: bool = False  # the first bin is the contract's first as the front month


# For a book that no bins are made of: whatever is in the files belongs to it. Ends in 2116, long before the clock's 64 bits do.
ALL_TIME: Final = Span(-(2**62), 2**62, first_bin=2**62 + 2**61)


def no_far_flow() -> Structured:
    """Room for what a record does outside the slots, unused."""
    far = np.zeros(rs.N_FAR, rs.FAR_DTYPE)
    far["tick"] = NO_TICK
    return far


class Runner:
    """One contract's session, from records to scored bins.

    Parameters
    ----------
    config
        The locked instrument.
    span
        The session window and where the bins begin.
    sessions
        (m, 2) ns, open trading intervals; empty when the hours are unknown.
    signal
        Scores each bin; `take_over` replaces it. None leaves the signal's fields at zero.

    Attributes
    ----------
    holes : list of (since, until), ns
        Holes of the feed that records have ended since this object was made.
    """

    def __init__(
        self, config: InstrumentConfig, span: Span, sessions: Ints | None = None, signal: SignalLike | None = None
    ) -> None:
        self.config = config
        self.span = span
        self.params = config.to_params()
        self.signal = signal
        self.engine = self._fresh_engine(np.zeros((0, 2), np.int64) if sessions is None else sessions)
        self.holes: list[tuple[int, int]] = []
        self._parking: Parking = {}
        self._on_warm_up: Callable[[int], None] | None = None
        self._n_records = 0
        self._n_taken = 0
        self._skipped_until = 0
        self._stop_every = 0
        self._is_finished = span.n_bins == 0

    def _fresh_engine(self, sessions: Ints) -> rs.Engine:
        span, config = self.span, self.config
        run = np.zeros(1, rs.RUN_DTYPE)
        run["first_bin"] = rs.UNSET if span.first_bin is None else span.first_bin
        run["warm_start"] = rs.UNSET if span.first_bin is None else span.first_bin - WARM_UP_NS
        run["day_start"] = run["captured"] = span.day_start
        run["day_end"] = span.day_end
        run["max_bins"] = -1 if span.n_bins is None else span.n_bins
        for name in ("latest_ts", "heard_ts", "heard_captured", "hole_from", "hole_until", "instrument_id"):
            run[name] = rs.UNSET
        for name in ("last_trade_price", "previous_bid", "previous_ask"):
            run[name] = UNDEF_PRICE
        run["sequence"] = NO_NUMBER
        return rs.Engine(
            run=run,
            counts=np.zeros(len(ANOMALIES), rs.ANOMALY_DTYPE),
            far=no_far_flow(),
            traded=make_tape(),
            sessions=sessions,
            book=make_book(config.n_absolute_ticks),
            field=make_field(config.n_absolute_ticks, history_bins(config), self.params),
            spectrum=make_spectrum(config),
        )

    def _begin_session(self) -> None:
        """The session opens with a book of its own: nothing of the records before it goes on, but what was counted."""
        before = self.engine
        fresh = self._fresh_engine(before.sessions)
        fresh.run["session_begun"] = 1
        for name in ("n_kept", "captured"):
            fresh.run[name] = before.run[name]
        self.engine = fresh._replace(counts=before.counts)
        self._parking = {}
        self.holes = []

    def at_warm_up(self, call: Callable[[int], None], n_records: int = 0) -> None:
        """Have ``call`` called once, with the number of records taken in, before the record that opens the warm-up.

        ``n_records`` of the source are in the book already.
        """
        self._on_warm_up = call
        self._n_records = n_records
        self.engine.run["pause_at_warm_up"] = 1

    def take_over(self, signal: SignalLike | None, config: InstrumentConfig) -> None:
        """Let another signal score from the next bin on, under its own configuration; to be called between two calls of `feed`.

        Parameters
        ----------
        signal
            Warmed by its owner with the bins that are out; None leaves the signal's fields at zero.
        config
            That of this run, but for the fields the signal decides: the book and the field stand as they are.
        """
        self.signal = signal
        self.config = config
        self.params = config.to_params()

    @property
    def is_finished(self) -> bool:
        """Whether the last wanted bin is out; further records change nothing."""
        return self._is_finished

    @property
    def anomalies(self) -> dict[str, int]:
        """Counts by kind, those that occurred."""
        counts = self.engine.counts["count"]
        return {kind: int(n) for kind, n in zip(ANOMALIES, counts, strict=True) if n}

    @property
    def first_anomalies(self) -> dict[str, dict[str, int]]:
        """The first of each kind: ``order_id``, ``sequence``, ``ts_event``."""
        return {
            kind: {name: int(one[name]) for name in ("order_id", "sequence", "ts_event")}
            for kind, one in zip(ANOMALIES, self.engine.counts, strict=True)
            if one["count"]
        }

    @property
    def n_events(self) -> int:
        """Records that went into the book so far, those before the session included."""
        return int(self.engine.run["n_kept"][0])

    @property
    def silences(self) -> dict[str, int]:
        """Silences of more than a minute in open trading so far, by what they were judged to be, those that occurred."""
        return {name: n for name in rs.SILENCES if (n := int(self.engine.run[name][0]))}

    @property
    def saw_end(self) -> bool:
        """Whether a record was captured behind the session's end: the session's own are all in."""
        return bool(self.engine.run["session_ended"][0])

    @property
    def n_bins(self) -> int:
        """Bins that are out."""
        return int(self.engine.run["bin_seq"][0])

    @property
    def first_bin_ns(self) -> int | None:
        """Start of the first bin, UTC ns; None until it is known."""
        start = int(self.engine.run["first_bin"][0])
        return None if start == rs.UNSET else start

    @property
    def bin_start_ns(self) -> int:
        """Start of the bin that is open, UTC ns: how far the bins that are out reach."""
        return int(self.engine.run["bin_start"][0])

    def snapshot(self) -> bytes:
        """All state as bytes, to be taken between two calls of `feed`; `restore` goes on from there to the last bit.

        The windows of the spectrum are left out: they are rebuilt from the balances.
        """
        return snapshot_engine(self.engine, self._parking, self._key(), self._extras())

    def restore(self, data: bytes) -> None:
        """Take a snapshot of a runner with the same configuration, span and signal.

        Raises
        ------
        ConfigError
            When the bytes are damaged or belong to another runner.
        """
        self.engine, self._parking, extras = restore_engine(data, self._key(), self.engine)
        self._n_records, is_finished = (int(x) for x in extras["position"])
        self._is_finished = is_finished == 1
        if self.signal is not None:
            self.signal.restore(extras["signal"].tobytes())

    def _key(self) -> str:
        signal = "" if self.signal is None else f"{self.signal.name} {self.signal.params.model_dump_json()}"
        signal += getattr(self.signal, "state_id", "")  # of the fitted state that it began with
        return f"{self.config.config_version} {self.span} {signal} {source_hash()}"

    def _extras(self) -> dict[str, NDArray[Any]]:
        signal = b"" if self.signal is None else self.signal.snapshot()
        return {
            "position": np.array([self._n_records, self._is_finished], np.int64),
            "signal": np.frombuffer(signal, np.uint8),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of the engine's state by name, to be taken whenever bins were handed out; the signal's is its own affair."""
        return engine_arrays(self.engine, self._parking)

    def go_on_from(self, arrays: Mapping[str, NDArray[Any]], n_records: int) -> None:
        """Put `arrays` of a runner with the same instrument and span, but for the number of bins, into a fresh one.

        ``n_records`` of the source are in it.
        """
        max_bins = int(self.engine.run["max_bins"][0])
        self.engine, self._parking = put_back(arrays, self.engine)
        self.engine.run["max_bins"] = max_bins
        self._n_records = n_records

    @property
    def n_taken(self) -> int:
        """Of the records of the present `feed`, how many are in; to be asked whenever it hands out bins."""
        return self._n_taken

    def hurry_to(self, bin_seq: int) -> None:
        """Hand the bins before this one out in large blocks, whatever size is asked for; it begins a block of its own."""
        self._skipped_until = bin_seq

    def stop_every(self, n_bins: int) -> None:
        """Let every bin whose number divides by this one begin a block of its own."""
        self._stop_every = n_bins

    def _room(self, block_bins: int) -> rs.Out:
        """Room for the next block."""
        left = self._skipped_until - self.n_bins
        n = min(left, max(block_bins, HURRIED_BINS)) if left > 0 else block_bins
        if self._stop_every:
            n = min(n, self._stop_every - self.n_bins % self._stop_every)
        rows = self.config.n_rows
        return rs.Out(
            bins=np.zeros(n, BIN_DTYPE),
            floats=np.empty((n, len(GRID_F64), rows)),
            codes=np.empty((n, rows), np.int8),
            moves=np.empty((n, len(GRID_I32), rows), np.int32),
            labels=np.empty((n, len(GRID_LABELS_I8), rows), np.int8),
            event_ids=np.empty((n, rows), np.int64),
            traded=np.empty((n, len(GRID_TRADED), rows), np.int32),
        )

    def feed(self, records: MboRecords, block_bins: int) -> Iterator[BinBlock]:
        """Take records in, in order; yield full blocks of ``block_bins`` bins, and what is left of one at the end.

        Every bin that the records complete is yielded before this returns, so a stream never waits for a block to fill.
        """
        # One array kind for the compiler, whether the records were read, inflated or made by hand.
        records = np.ascontiguousarray(records).view()
        records.setflags(write=False)
        at = 0
        n_out = 0
        out: rs.Out | None = None
        while not self._is_finished:
            if out is None:
                out = self._room(block_bins)
            status, at, n_out = rk.consume(self.engine, records, at, out, n_out, self.params)
            if status == rk.TABLE_FULL:
                self.engine = self.engine._replace(book=grow(self.engine.book))
                continue
            if status == rk.CARE:
                self._take_care()
                continue
            if status == rk.AT_SESSION:
                self._begin_session()
                continue
            if status == rk.AT_WARM_UP:
                if self._on_warm_up is not None:
                    self._on_warm_up(self._n_records + at)
                continue
            self._is_finished = status == rk.FINISHED
            self._n_taken = at
            if n_out:
                yield self._block(out, n_out)
                out, n_out = None, 0
            if status == rk.DONE:
                self._n_records += len(records)
                return

    def _take_care(self) -> None:
        """What one record left to do outside the loop, in the order of the loop."""
        run = self.engine.run[0]
        care = int(run["care"])
        if care & rs.CARE_FAR:
            touch_far(self.engine, self._parking, self.params)
        if care & rs.CARE_SYNC:
            synchronise_parked(self.engine, self._parking)
        if care & rs.CARE_RECENTRE:
            recentre(self.engine, self._parking)
        if care & rs.CARE_TABLE:
            # A table grows with its orders; cleared ones must not cost their places again at each further clear.
            self.engine = self.engine._replace(book=self.engine.book._replace(orders=table_for(0)))
        if care & rs.CARE_TAPE:
            self.engine = self.engine._replace(traded=grow_tape(self.engine.traded))
        if care & rs.CARE_HOLE:
            self.holes.append((int(run["hole_from"]), int(run["hole_until"])))
        run["care"] = 0

    def finish(self, until_ns: int | None, block_bins: int) -> Iterator[BinBlock]:
        """End of the data, which reached to ``until_ns`` (None: to the last record).

        Whole bins up to there follow, empty ones included; a bin beyond it is emitted if it holds at least one event.
        """
        run = self.engine.run[0]
        out: rs.Out | None = None
        n_out = 0
        if until_ns is not None and run["heard_ts"] != rs.UNSET:
            # Taken as captured with the delay of what came last, unless that was told long after it happened.
            delay = int(run["heard_captured"]) - int(run["heard_ts"])
            judge_silence(self.engine, until_ns, until_ns + (delay if delay <= FEED_GAP_NS else 0), 0)
        while not self._is_finished and run["phase"] == rs.BINS:
            is_whole = until_ns is not None and run["bin_start"] + self.params.bin_ns <= until_ns
            if not is_whole and run["bin_events"] == 0:
                break
            mark_gap(self.engine, self.params.bin_ns)
            if out is None:
                out = self._room(block_bins)
            close_bin(self.engine, out, n_out, self.params)
            n_out += 1
            self._is_finished = not is_whole or run["bin_seq"] == run["max_bins"]
            if n_out == len(out.bins):
                yield self._block(out, n_out)
                out, n_out = None, 0
        self._is_finished = True
        if out is not None and n_out:
            yield self._block(out, n_out)

    def _block(self, out: rs.Out, n: int) -> BinBlock:
        bins = out.bins[:n]
        if self.span.opens_with_roll and bins["bin_seq"][0] == 0:
            bins["quality"][0] |= Q_ROLL
        grid = GridView(out, n, self.config.k_values)
        if self.signal is None:
            return BinBlock(bins, grid, "")
        outputs = self.signal.run(signal_inputs(self.signal, grid, bins))
        write_outputs(outputs, bins)
        return BinBlock(bins, grid, self.signal.name, outputs)

    def warmup(self) -> None:
        """Compile every kernel, so that the first real event does not wait for it; the state stays untouched."""
        span = Span(0, 10 * NS_PER_S, 0, 3)
        twin = Runner(self.config, span, np.zeros((1, 2), np.int64))
        record = np.zeros(2, MBO_DTYPE)
        record["ts_event"] = (1, 5 * NS_PER_S)
        for _ in twin.feed(record, 1):
            pass
        grow(twin.engine.book)
        if self.signal is not None:
            self.signal.warmup()
