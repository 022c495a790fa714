"""Replays that keep states, and how they are compared with the undisturbed one."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import engine
from engine.config import load_instrument
from engine.run import keyframes
from engine.run.replay import Replay
from engine.schema import Outputs
from engine.signals.base import SignalContext, SignalLike
from engine.source.records import open_source
from tests.sessions import Bins, join
from tests.streams import DAY

CONFIG = load_instrument()
CONTEXT = SignalContext(CONFIG.cell_width_ms, CONFIG.grid_radius_ticks, CONFIG.tick_int)
EVERY = 100
N_BINS = 450

Played = tuple[Bins, Replay]


def play(path: Path | list[Path], folder: Path | None, from_bin: int = 0, signal: SignalLike | None = None, **how: Any) -> Played:
    source = open_source(path if isinstance(path, list) else [path], CONFIG, DAY)
    replay = Replay(source, CONFIG, signal=signal, keyframes=folder, from_bin=from_bin, **({"block_bins": 1} | how))
    if replay.keyframes is not None:
        see = replay.keyframes.see

        def see_and_wait(*what: Any) -> None:
            see(*what)
            keyframes.wait()  # a market runs slower than the disk

        replay.keyframes.see = see_and_wait  # type: ignore[method-assign]
    bins = join(replay)
    keyframes.wait()
    return bins, replay


def began_at(replay: Replay) -> int:
    assert replay.keyframes is not None
    return replay.keyframes.began_at


def require_same(found: Played, undisturbed: Played, from_bin: int) -> None:
    """Every bit from a bin on, and what was counted over the whole session."""
    (bins, replay), (all_bins, whole) = found, undisturbed
    assert bins.fields.tobytes() == all_bins.fields[from_bin:].tobytes()
    if from_bin < len(all_bins.fields):
        for name, column in all_bins.grid.items():
            assert bins.grid[name].tobytes() == column[from_bin:].tobytes(), name
    assert replay.anomalies == whole.anomalies
    assert replay.runner.first_anomalies == whole.runner.first_anomalies
    assert replay.quality_counts == whole.quality_counts
    assert replay.source.notices == whole.source.notices


def engines(folder: Path) -> list[int]:
    """Bins at which the engine's state is kept."""
    return sorted(int(path.stem) for path in folder.glob("*/*.engine"))


def at(folder: Path, bin_seq: int, kind: str) -> Path:
    (path,) = folder.glob(f"*/{bin_seq:09d}*.{kind}")
    return path


class Seen(NamedTuple):
    """Bins counted, shape (1,)."""

    bins: NDArray[np.int64]


class Counting(engine.Signal):
    """Counts bins; gives its state so many times, and takes it back or not."""

    name = "counting"
    required_fields = ("bin_seq",)
    default_thresholds = (1.0,)
    Params = engine.SignalParams
    memory_bins = 1
    gives = 1_000
    takes = True
    is_fitting = False

    def _fresh_state(self) -> Seen:
        return Seen(np.zeros(1, np.int64))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        out["sample_count"] = self._state.bins[0] + 1 + np.arange(len(out))
        self._state.bins[0] += len(out)

    def snapshot(self) -> bytes:
        self.gives -= 1
        if self.gives < 0:
            raise NotImplementedError
        return super().snapshot()

    def restore(self, data: bytes) -> None:
        super().restore(data)
        if not self.takes and self._state.bins[0]:
            raise NotImplementedError


def counting(**how: Any) -> Counting:
    signal = Counting(Counting.Params(), CONTEXT)
    for name, value in how.items():
        setattr(signal, name, value)
    return signal
