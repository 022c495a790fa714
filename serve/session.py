"""One replay: source, bins, frames. No Ray, no socket, no waiting; whoever drives it keeps the pace, for one client or for many.

Its bins are those of a dataset made from the same file: the same `engine.run.replay` over the same kernels, in blocks no longer
than what is wanted now, so that what was computed was also handed out.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final

from engine.errors import ConfigError, SourceError
from engine.hours import UTC_DAY, open_intervals
from engine.run.block import BinBlock
from engine.run.extent import Extent, extent_of
from engine.run.live import LiveReplay
from engine.run.replay import SESSION_TZ, Replay
from engine.schema import GRID_COLUMNS
from engine.source.records import Source
from serve.champion import Serving, choose_signal, config_for, required_columns
from serve.frames import SCHEMA_VERSION, STREAM_FORMAT, BinFrames, FrameEncoder, message
from serve.moment import Moment, bin_of
from serve.notices import notices_of
from serve.paper import ModelTrade, PaperBook, PaperDesk, Seen
from serve.recent import RecentBins
from serve.request import StreamRequest
from serve.settings import Limits
from serve.spoken import Speaker, SpokenDesk
from serve.standing import STANDING_CHANGE, StandingWatch
from serve.warming import Past, Warmed, let_see, warmed

logger = logging.getLogger(__name__)

CONFIG_KIND: Final = "runtime_config"
MODEL_CHANGE: Final = "model_change"
CAPABILITIES: Final = {"control": True, "step": True, "backfill": True, "resume": True}


@dataclass(frozen=True)
class ConfigFrame:
    """A ``runtime_config`` and the first bin it holds for: for those who saw the one before, and ``plain`` for who comes new."""

    text: str
    effective_bin_seq: int
    plain: str = ""
    reason: str | None = None


class Session:
    """The bins of one request, encoded, in order.

    Parameters
    ----------
    request : StreamRequest
        What to play; its ``resume_from`` is the first bin to hand out, where `begin_at` names no other.
    serving : callable
        What serves now; asked between two bins.
    aside : Executor
        Where another signal is built and warmed while the stream goes on.
    limits : Limits
        How much of the past to remember.
    desk : PaperDesk, optional
        Keeps the record of the champion's paper trades; without one nothing is traded.
    spoken : SpokenDesk, optional
        Keeps the record of which model spoke at which bin.
    """

    mode: ClassVar[str] = "replay"

    def __init__(
        self,
        request: StreamRequest,
        serving: Callable[[], Serving],
        aside: Executor,
        limits: Limits | None = None,
        desk: PaperDesk | None = None,
        spoken: SpokenDesk | None = None,
    ) -> None:
        self._desk = desk
        self._standing = StandingWatch(desk)
        self._seen: Seen | None = None
        self._papers: list[PaperBook] = []  # of the champion, and before it of those whose trades are still under way
        self._turn = threading.Lock()  # held by who computes bins: a client may leave while one is under way
        self.request = request
        self._serving = serving
        self._aside = aside
        self._taken = serving()
        self.config = config_for(self._taken.champion, request.config)
        self.choice = choose_signal(self._taken.champion, self.config)
        self._speaker: Speaker | None = None
        if spoken is not None:
            config, day = self.config, request.dt.isoformat()
            self._speaker = Speaker(spoken, config.symbol, request.dbn.name, day, config.cell_width_ms, self.mode)
        self._encoder = FrameEncoder(self.config.n_rows)
        self._recent = RecentBins(required_columns(self.choice), self.config.n_rows, (limits or Limits()).recent_bytes)
        self._warming: tuple[int, Future[Warmed]] | None = None  # the generation meant, too
        self._source: Source | None = None
        self._replay: Replay | LiveReplay | None = None
        self._blocks: Iterator[BinBlock] = iter(())
        self._ahead: BinBlock | None = None
        self.told: list[ModelTrade] = []  # of the champion's trades in the last bin computed; once ended, of what was open
        self._told: list[list[ModelTrade]] = []  # the same for each bin of the last block; empty where nothing is traded
        self._taken_up = 0, 0  # UTC ns: when the last block's records were, and when its rows were ready
        self._closed = threading.Event()  # what asks whether to go on knows this and not us, so that no circle keeps our memory
        self._is_over = False  # the data have ended
        self._first = request.resume_from  # bin that the replay begins at
        self.extent: Extent | None = None  # known once the source is open
        self.next_bin = request.resume_from
        self.n_bins = 0  # up to the last one computed, those before the first one handed out included
        self.ended = False

    def bin_of(self, moment: Moment) -> int:
        """The bin of a place in the session; opens the source where it is not open yet.

        Raises
        ------
        EngineError
            The file cannot be read or holds nothing of that session, or the place lies before its first bin.
        """
        return bin_of(moment, self._reach(), self._opened())

    def begin_at(self, bin_seq: int) -> None:
        """Choose the first bin to hand out, before `open`."""
        self.next_bin = bin_seq

    def open(self, wanted: int = 0) -> None:
        """Open the source and compute up to the first bin that will be sent; the slow part.

        Parameters
        ----------
        wanted : int
            A later bin that must be there, too, where that can be known.

        Raises
        ------
        EngineError
            The file cannot be read, holds nothing from that time on, or ends before that bin.
        """
        if self._closed.is_set():
            return
        request, first = self.request, self.next_bin
        reach = self._reach()
        if reach.n_bins is not None:
            self._require(max(first, wanted), reach.n_bins)  # before anything is computed for it
        self._first = self._begin_to_trade(first, reach)
        self._replay = replay = Replay(
            self._opened(),
            self.config,
            start_time=request.start_time,
            signal=self.choice.build(),
            block_bins=1,  # where no more are asked for
            checkpoints=request.checkpoints,
            is_cancelled=self._closed.is_set,  # nobody fast-forwards for a client that has gone
            keyframes=request.keyframes,
            from_bin=self._first,
        )
        self._blocks = iter(replay)
        self._ahead = self._next_block(1)
        while self._ahead is not None and self.n_bins <= first:  # from where trades on paper were kept
            self._ahead = self._next_block(max(1, first - self.n_bins))
        if self._ahead is not None or self._closed.is_set():
            return
        self.n_bins = int(replay.runner.engine.run["bin_seq"][0])
        if self.n_bins == 0:
            raise self._nothing_there()
        self._require(first, self.n_bins)

    def _opened(self) -> Source:
        if self._source is None:
            self._source = self.request.source(self.config)
        return self._source

    def _reach(self) -> Extent:
        if self.extent is None:
            extent = extent_of(self._opened(), self.config, self.request.start_time, self.request.keyframes)
            if extent is None or extent.n_bins == 0:
                raise self._nothing_there()
            self.extent = extent
        return self.extent

    def _require(self, bin_seq: int, n_bins: int) -> None:
        """A stream may go on at the session's end, where only that is left to be said, and not behind it."""
        if bin_seq > n_bins:
            raise ConfigError(
                f"bin {bin_seq} was asked for; this session has {n_bins} bins, 0 to {n_bins - 1}. Ask for one of them, or leave "
                "resume_from out"
            )

    def _nothing_there(self) -> SourceError:
        request = self.request
        when = "" if request.start_time is None else f" from {request.start_time} New York time on"
        return SourceError(f"{request.dbn.name} holds no event of {self.config.symbol}{when}; choose another time or day")

    def config_frame(self, reason: str | None = None) -> ConfigFrame:
        """The ``runtime_config`` that holds from the next bin on."""
        config = self.config
        fields: dict[str, Any] = config.resolved()
        fields |= {
            "runtime_model": self.choice.describe() | self._record(),
            "projection_model": asdict(self.request.projection),
            "mode": self.mode,
            "deployment_stage": "local",
            "stream_format": STREAM_FORMAT,
            "schema_version": SCHEMA_VERSION,
            "grid_schema_fields": list(GRID_COLUMNS),
            "grid_rows": config.n_rows,
            "session_tz": SESSION_TZ,
            "session": self._extent_fields(),
            "capabilities": CAPABILITIES,
            "notices": notices_of(self.request, self.choice, config),
        }
        plain = message(CONFIG_KIND, **fields)
        if reason is None:
            return ConfigFrame(plain, self.next_bin, plain)
        fields |= {"reason": reason, "effective_bin_seq": self.next_bin}
        return ConfigFrame(message(CONFIG_KIND, **fields), self.next_bin, plain, reason)

    def _extent_fields(self) -> dict[str, Any]:
        """``session`` of a ``runtime_config``: ``n_bins`` only where it is certain."""
        stretch = self.request.stretch
        fields: dict[str, Any] = {"dt": self.request.dt.isoformat()}
        if stretch is not None and stretch.kind != UTC_DAY:
            fields["kind"] = stretch.kind
        if self.extent is not None:
            fields |= {"start_ns": str(self.extent.start_ns), "end_ns": str(self.extent.end_ns)}
            n_bins = self.n_bins if self.ended else self.extent.n_bins
            fields |= {} if n_bins is None else {"n_bins": n_bins}
        return fields

    def turn(self, n_bins: int) -> list[ConfigFrame | BinFrames]:
        """The next bins, each after the ``runtime_config`` of a signal that takes over with it; fewer at the end of the data."""
        frames: list[ConfigFrame | BinFrames] = []
        end = self.next_bin + n_bins
        while self.next_bin < end and not self.ended:
            with self._turn:
                frames += self._step(end - self.next_bin)
        return frames

    def _step(self, n_bins: int) -> list[ConfigFrame | BinFrames]:
        """As many of the next bins as come in one block."""
        frames: list[ConfigFrame | BinFrames] = [*self._change_signal()]
        if not frames and self._standing.is_news(self.choice.champion):
            frames.append(self.config_frame(STANDING_CHANGE))
        block, self._ahead = self._ahead or self._next_block(n_bins), None
        if block is None:
            self.ended = True
            return frames
        encoded = self._encoder.encode(block, self._told, *self._taken_up)
        first, self.next_bin = self.next_bin, encoded[-1].bin_seq + 1
        return [*frames, *(one for one in encoded if one.bin_seq >= first)]

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
            ready = warming.result()
        except Exception:  # the watcher built this signal before; should it fail here, the stream keeps the one it has
            logger.exception("a stream could not take generation %d of the signal", generation)
            self._taken = replace(self._taken, generation=generation)
            return self._change_signal()  # to what came meanwhile, if anything did
        n_behind = self.n_bins - ready.n_bins
        if ready.serving.generation != wanted.generation or n_behind > self._recent.capacity:
            return self._change_signal()  # overtaken meanwhile: warm again
        let_see(ready.signal, ready.config, self._recent.since(self._recent.n_seen - n_behind, ready.choice.reads))
        self._replay.runner.take_over(ready.signal, ready.config)
        self._taken, self.config, self.choice = ready.serving, ready.config, ready.choice
        self._take_up_paper()
        return [self.config_frame(MODEL_CHANGE)]

    def close(self) -> None:
        """Let go of the source; from any thread, also while `open` or `step` runs in another."""
        self._closed.set()
        self._blocks = iter(())
        self._silence()
        if self._warming is not None:
            self._warming[1].cancel()

    def _silence(self) -> None:
        """No bin comes any more."""
        if self._speaker is not None:
            self._speaker.end()

    def _next_block(self, n_bins: int) -> BinBlock | None:
        """The next bins in one block, so many at most; one where none came yet."""
        if self._replay is not None and self.n_bins > 0:
            self._replay.runner.hurry_to(self.n_bins + n_bins)
        begun = time.time_ns()
        block = next(self._blocks, None)
        self._taken_up = begun, time.time_ns()
        if block is not None:
            self._before(block)
            if self._speaker is not None:
                self._speaker.see(block, self.choice)
            told = [book.update(block) for book in self._papers]
            self._told = [[one for by_book in of_bin for one in by_book] for of_bin in zip(*told, strict=True)]
            self.told = self._told[-1] if self._told else []
            self._papers = [book for book in self._papers if not book.is_done]
            self._recent.append(block.grid, block.bins)
            self.n_bins = int(block.bins["bin_seq"][-1]) + 1
        elif not self._closed.is_set() and not self._is_over:
            self._is_over = True
            self._silence()
            self.told = [told for book in self._papers for told in book.finish()]
            self._papers = []
        return block

    def _before(self, block: BinBlock) -> None:
        """The next bins are about to be taken in."""

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
            while self.n_paper_open and not is_stopping() and self._next_block(1) is not None:
                pass
        self.close()

    def _take_up_paper(self) -> None:
        """The signal changes with the next bin: its own trades begin, those of the one before go on to their end."""
        if self._desk is None or self._seen is None:
            return
        for book in self._papers:
            book.leave()
        own = self._desk.open(self.choice.champion, self._seen, self.n_bins)
        if own is not None:
            self._papers.append(own)

    def _begin_to_trade(self, first: int, reach: Extent) -> int:
        """The bin to begin at: the session's start, where trades on paper were kept before ``first``, or that.

        Begun anew in a session's middle a walk would fire where the whole one, in a trade or cooling down, does not: then nothing
        is traded.
        """
        if self._desk is None:
            return first
        config, source = self.config, self._opened()
        files = [(str(file.path.resolve()), *file.held.mark.state) for file in source.files]
        hours = open_intervals(config.symbol_root, source.dt)
        data = f"{files} {config.config_version}"
        seen = Seen("replay", self.request.dbn.name, config.symbol, reach.start_ns, hours, data)
        book = self._desk.open(self.choice.champion, seen, 0)
        if first > 0 and (book is None or not book.resume(first)):
            return first
        self._seen = seen
        self._papers = [] if book is None else [book]
        return 0 if book is None else book.n_bins

    def _record(self) -> dict[str, Any]:
        """What the live record adds to what is said of the model."""
        return self._standing.now(self.choice.champion)

    def _begin_to_warm(self, wanted: Serving) -> Future[Warmed]:
        """Hand the recent bins to another thread; columns that were not kept so far are from here on."""
        try:
            reads = choose_signal(wanted.champion, self.config).reads
        except Exception as error:  # as where the signal is built
            failed: Future[Warmed] = Future()
            failed.set_exception(error)
            return failed
        self._recent.add(reads)
        recent, before = self._recent, self.n_bins - self._recent.n_seen
        past = Past(self.request, self.n_bins, recent.since(0, reads), lambda: before + recent.n_seen, recent.capacity // 2)
        return self._aside.submit(warmed, wanted, past, self._closed.is_set)
