"""The runner: owns a run's arrays, feeds records to the one loop, hands out blocks of bins.

Source: engine.md sections 1 to 7.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.book.owner import grow, make_book, table_for
from engine.config import InstrumentConfig
from engine.constants import ANOMALIES, FEED_GAP_NS, NS_PER_S, Q_ROLL, UNDEF_PRICE
from engine.field.kernels import make_field
from engine.field.spectrum import history_bins, make_spectrum
from engine.jit import source_hash
from engine.run import loop as rk
from engine.run import state as rs
from engine.run.block import BinBlock, GridView, room_for
from engine.run.clock import CLOSED, FINISHED, close_until, vouched_until
from engine.run.recentre import Parking, recentre, synchronise_parked, touch_far
from engine.run.silence import judge_silence, take_hole
from engine.run.snapshot import engine_arrays, put_back, restore_engine, snapshot_engine
from engine.run.traded import grow_tape, make_tape
from engine.schema import MBO_DTYPE, Ints, MboRecords
from engine.signals.base import SignalLike, signal_inputs, write_outputs

HURRIED_BINS: Final = 256  # in a block of bins that nobody waits for
WARM_UP_NS = 30 * 60 * NS_PER_S  # the field runs this long before the first bin
_TIMES_OF_SILENCE: Final = ("hole_from", "hole_until", "quiet_from", "quiet_until")
NO_NUMBER: Final = -2  # of the record before the first: no step of one leads away from it


@dataclass(frozen=True)
class Span:
    """When a run begins and ends, ns: the session window, the first bin's start (None: the first event), how many bins."""

    day_start: int
    day_end: int
    first_bin: int | None = None
    n_bins: int | None = None
    opens_with_roll: bool = False  # the first bin is the contract's first as the front month


ALL_TIME: Final = Span(-(2**62), 2**62, first_bin=2**62 + 2**61)  # for a book that no bins are made of; ends in 2116


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
    is_watched
        Whether whoever records the feed tells of every hole, with `take_hole`; then no silence is one.

    Attributes
    ----------
    holes : list of (since, until), ns
        Holes of the feed that have ended since this object was made.
    quiet : list of (since, until), ns
        The silences since then that only the watch says were quiet: a file of the same records alone takes them for holes.
    """

    def __init__(
        self,
        config: InstrumentConfig,
        span: Span,
        sessions: Ints | None = None,
        signal: SignalLike | None = None,
        is_watched: bool = False,
    ) -> None:
        self.config = config
        self.span = span
        self.params = config.to_params()
        self.signal = signal
        self.is_watched = is_watched
        self.engine = self._fresh_engine(np.zeros((0, 2), np.int64) if sessions is None else sessions)
        self.holes: list[tuple[int, int]] = []
        self.quiet: list[tuple[int, int]] = []
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
        run["is_watched"] = self.is_watched
        for name in ("latest_ts", "heard_ts", "heard_captured", "instrument_id", *_TIMES_OF_SILENCE):
            run[name] = rs.UNSET
        for name in ("last_trade_price", "previous_bid", "previous_ask"):
            run[name] = UNDEF_PRICE
        run["sequence"] = NO_NUMBER
        return rs.Engine(
            run=run,
            counts=np.zeros(len(ANOMALIES), rs.ANOMALY_DTYPE),
            far=rs.no_far_flow(),
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
        since, until = (int(before.run[name][0]) for name in ("hole_from", "hole_until"))
        self.holes, self.quiet = [], []
        if before.run["is_told"][0] == 1 and until >= self.span.day_start and take_hole(fresh, since, until):
            self.holes = [(since, until)]  # it reaches into the session
        self.engine = fresh._replace(counts=before.counts)
        self._parking = {}

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
        return room_for(n, self.config.n_rows)

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
        if care & rs.CARE_QUIET:
            self.quiet.append((int(run["quiet_from"]), int(run["quiet_until"])))
        run["care"] = 0

    def finish(self, until_ns: int | None, block_bins: int) -> Iterator[BinBlock]:
        """End of the data, which reached to ``until_ns`` (None: to the last record).

        Whole bins up to there follow, empty ones included; a bin beyond it is emitted if it holds at least one event.
        """
        run = self.engine.run[0]
        if until_ns is not None and run["heard_ts"] != rs.UNSET:
            # Taken as captured with the delay of what came last, unless that was told long after it happened.
            delay = int(run["heard_captured"]) - int(run["heard_ts"])
            judge_silence(self.engine, until_ns, until_ns + (delay if delay <= FEED_GAP_NS else 0), 0)
        yield from self._close(until_ns, True, block_bins)
        self._is_finished = True

    def advance(self, until_ns: int, block_bins: int) -> Iterator[BinBlock]:
        """Every record of event times before ``until_ns`` is in: the bins that end by then follow, as the next record would have
        closed them; to be called for a watched feed, between two calls of `feed`.
        """
        yield from self._close(vouched_until(self.engine, until_ns), False, block_bins)

    def take_hole(self, since_ns: int, until_ns: int, block_bins: int) -> Iterator[BinBlock]:
        """Nothing is known of the event time in between; what is fed next begins with a snapshot.

        Every bin that the hole touches is marked ``gap``; those that end in it follow, so that the snapshot, whose own times may
        be older, falls into the bin in which the hole ends. A hole that was taken in before changes nothing.
        """
        if take_hole(self.engine, since_ns, until_ns) or (since_ns, until_ns) not in self.holes:
            self.holes.append((since_ns, until_ns))
        yield from self._close(min(until_ns, self.span.day_end), False, block_bins)

    def _close(self, until_ns: int | None, with_rest: bool, block_bins: int) -> Iterator[BinBlock]:
        """Bins that no record closes."""
        until = rs.UNSET if until_ns is None else until_ns
        while not self._is_finished:
            is_due = with_rest or self.bin_start_ns + self.params.bin_ns <= until
            out = self._room(block_bins if is_due else 0)
            status, n_out = close_until(self.engine, until, with_rest, out, 0, self.params)
            self._is_finished = status == FINISHED
            if n_out:
                yield self._block(out, n_out)
            if status == CLOSED:
                return

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
