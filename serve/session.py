"""One stream: source, replay, frames. No Ray, no socket, no waiting; whoever drives it keeps the pace.

Its bins are those of a dataset made from the same file: the same `engine.run.replay` over the same kernels, one bin at a time.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from engine.config import InstrumentConfig
from engine.errors import SourceError
from engine.run.block import BinBlock
from engine.run.replay import SESSION_TZ, Replay
from engine.schema import GRID_COLUMNS
from engine.signals.base import SignalLike, signal_inputs
from engine.source.records import open_source
from serve.champion import MICROSTATES, Serving, SignalChoice, choose_signal, config_for, required_columns
from serve.frames import SCHEMA_VERSION, STREAM_FORMAT, BinFrames, FrameEncoder, message
from serve.paper import ModelTrade, PaperBook, PaperDesk, Seen
from serve.recent import RecentBins
from serve.relabel import state5_codes
from serve.request import StreamRequest
from serve.settings import CHAMPION, Limits, Projection

logger = logging.getLogger(__name__)

STATE5: Final = "perm_state5_code"
CONFIG_KIND: Final = "runtime_config"
CAPABILITIES: Final = {"control": False, "step": False, "backfill": False, "resume": True}


@dataclass(frozen=True)
class ConfigFrame:
    """A ``runtime_config`` text and the first bin it holds for."""

    text: str
    effective_bin_seq: int


@dataclass(frozen=True)
class _Warmed:
    """A signal that has seen the recent ones of the stream's first ``n_seen`` bins."""

    serving: Serving
    config: InstrumentConfig
    choice: SignalChoice
    signal: SignalLike | None
    n_seen: int


class Session:
    """The bins of one request, encoded, in order.

    Parameters
    ----------
    request : StreamRequest
        What to play.
    serving : callable
        What serves now; asked between two bins.
    aside : Executor
        Where another signal is built and warmed while the stream goes on.
    limits : Limits
        How much of the past to remember.
    desk : PaperDesk, optional
        Keeps the record of the champion's paper trades; without one nothing is traded.
    """

    def __init__(
        self,
        request: StreamRequest,
        serving: Callable[[], Serving],
        aside: Executor,
        limits: Limits | None = None,
        desk: PaperDesk | None = None,
    ) -> None:
        self._desk = desk
        self._seen: Seen | None = None
        self._papers: list[PaperBook] = []  # of the champion, and before it of those whose trades are still under way
        self._turn = threading.Lock()  # held by who computes bins: a client may leave while one is under way
        self.request = request
        self._serving = serving
        self._aside = aside
        self._taken = serving()
        self.config = config_for(self._taken.champion, request.config)
        self.choice = choose_signal(self._taken.champion, self.config)
        self._encoder = FrameEncoder(self.config.n_rows)
        self._recent = RecentBins(required_columns(self.choice), self.config.n_rows, (limits or Limits()).recent_bytes)
        self._warming: tuple[int, Future[_Warmed]] | None = None  # the generation meant, too
        self._replay: Replay | None = None
        self._blocks: Iterator[BinBlock] = iter(())
        self._ahead: BinBlock | None = None
        self.told: list[ModelTrade] = []  # of the champion's trades in the last bin computed; once ended, of what was open
        self._taken_up = 0, 0  # UTC ns: when the last bin's records were, and when its rows were ready
        self._start_ns: int | None = None
        self._closed = False
        self.next_bin = request.resume_from
        self.ended = False

    def open(self) -> None:
        """Open the source and compute up to the first bin that will be sent; the slow part.

        Raises
        ------
        EngineError
            The file cannot be read, or holds nothing from that time on.
        """
        request = self.request
        self._replay = Replay(
            open_source([request.dbn], self.config, request.dt, assumes_symbol=request.assumes_symbol),
            self.config,
            start_time=request.start_time,
            signal=self.choice.build(),
            block_bins=1,
            checkpoints=request.checkpoints,
            is_cancelled=lambda: self._closed,  # nobody fast-forwards for a client that has gone
        )
        self._blocks = iter(self._replay)
        self._ahead = self._next_block()
        if self._ahead is None:
            if self._closed:
                return
            when = "" if request.start_time is None else f" from {request.start_time} New York time on"
            raise SourceError(f"{request.dbn.name} holds no event of {self.config.symbol}{when}; choose another time or day")
        self._start_ns = int(self._ahead.bins["bin_start_ns"][0])
        while self._ahead is not None and self._recent.n_seen <= request.resume_from:
            self._ahead = self._next_block()

    @property
    def n_bins(self) -> int:
        """Bins computed so far, those before ``resume_from`` included."""
        return self._recent.n_seen

    def config_frame(self, reason: str | None = None) -> ConfigFrame:
        """The ``runtime_config`` that holds from the next bin on."""
        config = self.config
        fields: dict[str, Any] = config.resolved()
        fields |= {
            "runtime_model": self.choice.describe() | self._record(),
            "projection_model": asdict(self.request.projection),
            "mode": "replay",
            "deployment_stage": "local",
            "stream_format": STREAM_FORMAT,
            "schema_version": SCHEMA_VERSION,
            "grid_schema_fields": list(GRID_COLUMNS),
            "grid_rows": config.n_rows,
            "session_tz": SESSION_TZ,
            "session": {"dt": self.request.dt.isoformat()}
            | ({} if self._start_ns is None else {"start_ns": str(self._start_ns)}),
            "capabilities": CAPABILITIES,
            "notices": self._notices(),
        }
        if reason is not None:
            fields |= {"reason": reason, "effective_bin_seq": self.next_bin}
        return ConfigFrame(message(CONFIG_KIND, **fields), self.next_bin)

    def step(self) -> list[ConfigFrame | BinFrames]:
        """The next bin, after the ``runtime_config`` of a signal that takes over with it; no bin at the end of the data."""
        with self._turn:
            return self._step()

    def _step(self) -> list[ConfigFrame | BinFrames]:
        frames: list[ConfigFrame | BinFrames] = [*self._change_signal()]
        block, self._ahead = self._ahead or self._next_block(), None
        if block is None:
            self.ended = True
            return frames
        ingest_ns, ready_ns = self._taken_up
        encoded = replace(self._encoder.encode(block, 0, self.told), ingest_ns=ingest_ns, grid_ready_ns=ready_ns)
        self.next_bin = encoded.bin_seq + 1
        frames.append(encoded)
        return frames

    @property
    def wants_change(self) -> bool:
        """Whether another signal is to take over."""
        return self._serving().generation != self._taken.generation

    def change_signal(self) -> list[ConfigFrame]:
        """Between two bins: begin to warm the signal that is to take over, or let it take over once it is warm."""
        with self._turn:
            return self._change_signal()

    def _change_signal(self) -> list[ConfigFrame]:
        wanted = self._serving()
        # The first bin was scored while opening; a signal takes over after it.
        if wanted.generation == self._taken.generation or self._ahead is not None or self._replay is None:
            return []
        if self._warming is None:
            self._warming = wanted.generation, self._begin_to_warm(wanted)
        generation, warming = self._warming
        if not warming.done():
            return []
        self._warming = None
        try:
            warmed = warming.result()
        except Exception:  # the watcher built this signal before; should it fail here, the stream keeps the one it has
            logger.exception("a stream could not take generation %d of the signal", generation)
            self._taken = replace(self._taken, generation=generation)
            return self._change_signal()  # to what came meanwhile, if anything did
        if warmed.serving.generation != wanted.generation or self._recent.n_seen - warmed.n_seen > self._recent.capacity:
            return self._change_signal()  # overtaken meanwhile: warm again
        _let_see(warmed.signal, warmed.config, self._recent.since(warmed.n_seen, warmed.choice.reads))
        self._replay.runner.take_over(warmed.signal, warmed.config)
        self._taken, self.config, self.choice = warmed.serving, warmed.config, warmed.choice
        self._take_up_paper()
        return [self.config_frame("model_change")]

    def close(self) -> None:
        """Let go of the source; from any thread, also while `open` or `step` runs in another."""
        self._closed = True
        self._blocks = iter(())
        if self._warming is not None:
            self._warming[1].cancel()

    def _next_block(self) -> BinBlock | None:
        begun = time.time_ns()
        block = next(self._blocks, None)
        self._taken_up = begun, time.time_ns()
        if block is not None:
            self._trade(block)
            self._recent.append(block.grid, fields=block.bins)
        elif not self._closed:
            self.told = [told for book in self._papers for told in book.finish()]
            self._papers = []
        return block

    # --- trades on paper ---

    @property
    def n_paper_open(self) -> int:
        """Paper trades under way."""
        return sum(book.n_open for book in self._papers)

    def settle(self, is_stopping: Callable[[], bool]) -> None:
        """The client has gone: follow to their end the paper trades that are open, then let go of the source.

        What a viewer does must not decide how a trade ends. Where the service stops first they stay open in the record, for all
        to see, until a stream shows these hours again.
        """
        with self._turn:
            for book in self._papers:
                book.leave()
            while self.n_paper_open and not is_stopping() and self._next_block() is not None:
                pass
        self.close()

    def _take_up_paper(self) -> None:
        """The signal changes with the next bin: its own trades begin, those of the one before go on to their end."""
        if self._desk is None or self._seen is None:
            return
        for book in self._papers:
            book.leave()
        own = self._desk.open(self.choice.champion, self._seen, self._recent.n_seen)
        if own is not None:
            self._papers.append(own)

    def _trade(self, block: BinBlock) -> None:
        if self._desk is None:
            return
        if self._seen is None and self._replay is not None:
            start_ns, hours = int(block.bins["bin_start_ns"][0]), self._replay.runner.engine.sessions
            self._seen = Seen("replay", self.request.dbn.name, self.config.symbol, start_ns, hours)
            self._take_up_paper()
        self.told = [told for book in self._papers for told in book.update(block)]
        self._papers = [book for book in self._papers if not book.is_done]

    def _record(self) -> dict[str, Any]:
        """What the live record adds to what is said of the model."""
        if self._desk is None:
            return {}
        champion = self.choice.champion
        return {"standing": self._desk.standing(champion), "record": self._desk.line(champion)}

    def _begin_to_warm(self, wanted: Serving) -> Future[_Warmed]:
        """Hand the recent bins to another thread; columns that were not kept so far are from here on."""
        try:
            reads = choose_signal(wanted.champion, self.config).reads
        except Exception as error:  # as where the signal is built
            failed: Future[_Warmed] = Future()
            failed.set_exception(error)
            return failed
        self._recent.add(reads)
        return self._aside.submit(self._warm, wanted, self._recent.n_seen, self._recent.since(0, reads))

    def _warm(self, serving: Serving, n_seen: int, past: dict[str, Any]) -> _Warmed:
        """Build a signal aside and let it see as many of the recent bins as it can remember."""
        config = config_for(serving.champion, self.request.config)
        choice = choose_signal(serving.champion, config)
        signal = choice.build()
        if signal is not None:
            _let_see(signal, config, {name: column[-signal.memory_bins :] for name, column in past.items()})
        return _Warmed(serving, config, choice, signal, n_seen)

    def _notices(self) -> list[str]:
        notices = []
        request, names = self.request, ", ".join(self.request.perm_names)
        if names and self.choice.origin == CHAMPION:
            notices.append(
                f"perm_* values configure the instrument's own signal; champion version {self.choice.version} scores instead, so "
                f"{names} changes nothing. With model=instrument it does"
            )
        elif "perm_mixed_weight" in request.perm_names and not self.config.perm_enable_weighted_blend:
            notices.append("perm_mixed_weight changes nothing without perm_enable_weighted_blend=true")
        if request.projection != Projection():
            notices.append("projection_model is for clients that project the spectrum's score; nothing here is computed from it")
        return notices


def _let_see(signal: SignalLike | None, config: InstrumentConfig, columns: dict[str, Any]) -> None:
    """Let a signal see bins that are gone, labelled as its config labels them."""
    if signal is None or len(columns[MICROSTATES]) == 0:
        return
    labelled = columns | {STATE5: state5_codes(columns[MICROSTATES], config.state5_table)}
    signal.run(signal_inputs(signal, labelled, labelled))
