"""One stream: source, replay, frames. No Ray, no socket, no waiting; whoever drives it keeps the pace.

Its bins are those of a dataset made from the same file: the same `engine.replay` over the same kernels, one bin at a time.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final

from engine.models.base import RuntimeModel
from engine.replay import Replay
from engine.runner import BinBlock
from engine.schema import GRID_COLUMNS
from engine.source import open_source
from serve.champion import CHAMPION, ModelChoice, Serving, choose_model, required_columns
from serve.frames import STREAM_FORMAT, BinFrames, FrameEncoder, message
from serve.recent import RecentBins
from serve.request import StreamRequest
from serve.settings import Limits

SESSION_TZ: Final = "America/New_York"
CONFIG_KIND: Final = "runtime_config"
CAPABILITIES: Final = {"control": False, "step": False, "backfill": False, "resume": True}
PROJECTION: Final = {"use_cubic": False, "cubic_scale": 1.0 / 6.0, "damping_lambda": 0.0}


@dataclass(frozen=True)
class ConfigFrame:
    """A ``runtime_config`` text and the first bin it holds for."""

    text: str
    effective_bin_seq: int


@dataclass(frozen=True)
class _Warmed:
    """A model that has seen the stream's first ``n_seen`` bins, or the last of them that were kept."""

    serving: Serving
    choice: ModelChoice
    model: RuntimeModel | None
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
        Where another model is built and warmed while the stream goes on.
    limits : Limits
        How much of the past to remember.
    """

    def __init__(
        self, request: StreamRequest, serving: Callable[[], Serving], aside: Executor, limits: Limits | None = None
    ) -> None:
        limits = limits or Limits()
        self.request = request
        self._serving = serving
        self._aside = aside
        self._taken = serving()
        self.choice = choose_model(self._taken.champion, request.config)
        self._encoder = FrameEncoder(request.config.n_rows)
        self._recent = RecentBins(
            required_columns(), request.config.n_rows, limits.recent_bins, limits.recent_bytes
        )
        self._warming: Future[_Warmed] | None = None
        self._replay: Replay | None = None
        self._blocks: Iterator[BinBlock] = iter(())
        self.next_bin = request.resume_from
        self.n_swaps = 0
        self.ended = False

    def open(self) -> None:
        """Open the source and bring the book to the first bin that will be sent; the slow part.

        Raises
        ------
        EngineError
            The file cannot be read, or holds nothing at that time.
        """
        request = self.request
        source = open_source([request.dbn], request.config, request.dt)
        self._replay = Replay(
            source, request.config, start_time=request.start_time, model=self.choice.build(), block_bins=1
        )
        self._blocks = iter(self._replay)
        for _ in range(request.resume_from):
            if self._next_block() is None:
                return

    @property
    def n_bins(self) -> int:
        """Bins computed so far, those before ``resume_from`` included."""
        return self._recent.n_seen

    def config_frame(self, reason: str | None = None) -> ConfigFrame:
        """The ``runtime_config`` that holds from the next bin on."""
        config = self.request.config
        fields: dict[str, Any] = config.resolved()
        fields |= {
            "runtime_model": self.choice.describe(),
            "projection_model": PROJECTION,
            "mode": "replay",
            "deployment_stage": "local",
            "stream_format": STREAM_FORMAT,
            "grid_schema_fields": list(GRID_COLUMNS),
            "grid_rows": config.n_rows,
            "session_tz": SESSION_TZ,
            "session": self._extent(),
            "capabilities": CAPABILITIES,
            "notices": self._notices(),
        }
        if reason is not None:
            fields |= {"reason": reason, "effective_bin_seq": self.next_bin}
        return ConfigFrame(message(CONFIG_KIND, **fields), self.next_bin)

    def step(self) -> list[ConfigFrame | BinFrames]:
        """The next bin, after the ``runtime_config`` of a model that takes over with it; empty at the end of the data."""
        frames: list[ConfigFrame | BinFrames] = [*self.change_model()]
        block = self._next_block()
        if block is None:
            self.ended = True
            return frames
        encoded = self._encoder.encode(block)
        self.next_bin = encoded.bin_seq + 1
        frames.append(encoded)
        return frames

    @property
    def wants_change(self) -> bool:
        """Whether another model is to take over."""
        return self._serving().generation != self._taken.generation

    def change_model(self) -> list[ConfigFrame]:
        """Between two bins: begin to warm the model that is to take over, or let it take over once it is warm.

        Raises
        ------
        EngineError
            The new model cannot be built for this stream.
        """
        wanted = self._serving()
        if wanted.generation == self._taken.generation:
            return []
        if self._warming is None:
            n_seen, past = self._recent.n_seen, self._recent.since(0)
            self._warming = self._aside.submit(_warm, wanted, choose_model(wanted.champion, self.request.config), past, n_seen)
        if not self._warming.done():
            return []
        warmed, self._warming = self._warming.result(), None
        if warmed.serving.generation != wanted.generation or self._recent.n_seen - warmed.n_seen > self._recent.capacity:
            return self.change_model()  # overtaken meanwhile: warm again
        missed = self._recent.since(warmed.n_seen)
        if warmed.model is not None and self._recent.n_seen > warmed.n_seen:
            warmed.model.run({name: missed[name] for name in warmed.model.required_columns})
        if self._replay is not None:
            self._replay.runner.model = warmed.model
        self._taken, self.choice = warmed.serving, warmed.choice
        self.n_swaps += 1
        return [self.config_frame("model_change")]

    def close(self) -> None:
        """Let go of the source."""
        self._blocks = iter(())
        self._replay = None
        if self._warming is not None:
            self._warming.cancel()

    def _next_block(self) -> BinBlock | None:
        block = next(self._blocks, None)
        if block is not None:
            self._recent.append({name: column[0] for name, column in block.grid.items()})
        return block

    def _extent(self) -> dict[str, Any]:
        return {}

    def _notices(self) -> list[str]:
        if self.choice.origin == CHAMPION and self.request.names_perm_values:
            return [
                f"perm_* values configure the instrument's own model; champion version {self.choice.version} scores instead"
            ]
        return []


def _warm(serving: Serving, choice: ModelChoice, past: dict[str, Any], n_seen: int) -> _Warmed:
    """Build a model aside and let it see the recent bins."""
    model = choice.build()
    if model is not None and n_seen > 0:
        model.run({name: past[name] for name in model.required_columns})
    return _Warmed(serving, choice, model, n_seen)
