"""A signal that is to take over in a running replay, made ready aside: built, and shown the bins that it remembers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.config import InstrumentConfig
from engine.run.replay import Replay
from engine.schema import GRID_COLUMNS
from engine.signals.base import SignalLike, signal_inputs
from engine.source.records import open_source
from serve.champion import MICROSTATES, Serving, SignalChoice, choose_signal, config_for
from serve.relabel import state5_codes
from serve.request import StreamRequest

STATE5: Final = "perm_state5_code"
Columns = dict[str, NDArray[Any]]  # grid columns (n, n_rows) and bin fields (n,), by name


@dataclass(frozen=True)
class Past:
    """What a replay that began at bin ``first`` still has of the ``n_seen`` bins since, under the signal that scores now."""

    request: StreamRequest
    config: InstrumentConfig
    choice: SignalChoice
    first: int
    n_seen: int
    columns: Columns


@dataclass(frozen=True)
class Warmed:
    """A signal that has seen the recent ones of a replay's first ``n_seen`` bins."""

    serving: Serving
    config: InstrumentConfig
    choice: SignalChoice
    signal: SignalLike | None
    n_seen: int


def warmed(serving: Serving, past: Past, is_cancelled: Callable[[], bool]) -> Warmed:
    """Build a signal and let it see as many of the recent bins as it can remember."""
    config = config_for(serving.champion, past.request.config)
    choice = choose_signal(serving.champion, config)
    signal = choice.build()
    if signal is not None:
        columns = {name: column[-signal.memory_bins :] for name, column in past.columns.items()}
        let_see(signal, config, _with_bins_before(past, columns, signal.memory_bins, is_cancelled))
    return Warmed(serving, config, choice, signal, past.n_seen)


def let_see(signal: SignalLike | None, config: InstrumentConfig, columns: Columns) -> None:
    """Let a signal see bins that are gone, labelled as its config labels them."""
    if signal is None or len(columns[MICROSTATES]) == 0:
        return
    labelled = columns | {STATE5: state5_codes(columns[MICROSTATES], config.state5_table)}
    signal.run(signal_inputs(signal, labelled, labelled))


def _with_bins_before(past: Past, columns: Columns, n_wanted: int, is_cancelled: Callable[[], bool]) -> Columns:
    """The bins before those kept, too, where the replay began in the session's middle and the signal remembers further back."""
    n_kept = len(columns[MICROSTATES])
    if past.first == 0 or n_kept < past.n_seen or n_kept >= n_wanted:
        return columns
    begin = max(0, past.first + past.n_seen - n_wanted)
    request = past.request
    replay = Replay(
        open_source([request.dbn], past.config, request.dt, assumes_symbol=request.assumes_symbol),
        past.config,
        start_time=request.start_time,
        n_bins=past.first,
        signal=past.choice.build(),
        checkpoints=request.checkpoints,
        keyframes=request.keyframes,
        from_bin=begin,
        is_cancelled=is_cancelled,
    )
    before: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
    for block in replay:
        for name, parts in before.items():
            parts.append(np.array(block.grid[name] if name in GRID_COLUMNS else block.bins[name]))
    return {name: np.concatenate([*parts, columns[name]]) for name, parts in before.items()}
