"""A signal that is to take over in a running replay, made ready aside: where it would stand had it scored from bin 0 on.

It sees what it must of the session's past (`engine.signals.hand_over`): the recent bins that the replay has kept, where they
reach back far enough, else the session is read again from its file, from the kept state before the first bin needed, while
the stream goes on with the signal it has. So memory stays bounded, and what a stream says after a change is bit for bit what
``tune score`` says of the session's dataset: for a champion that carries a fitted state, with ``--champion VERSION``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from engine.config import InstrumentConfig
from engine.errors import SourceError
from engine.run.block import BinBlock
from engine.run.replay import Replay
from engine.signals.base import Columns as Inputs
from engine.signals.base import SignalLike, signal_inputs
from engine.signals.hand_over import catch_up
from serve.champion import MICROSTATES, Serving, SignalChoice, choose_signal, config_for
from serve.live_day import Followed, live_replay
from serve.relabel import state5_codes
from serve.request import StreamRequest, with_overrides

STATE5: Final = "perm_state5_code"
Columns = dict[str, NDArray[Any]]  # grid columns (n, n_rows) and bin fields (n,), by name


@dataclass(frozen=True)
class Past:
    """What a replay still has of the bins that it has computed so far.

    ``n_bins`` of the session, the last of them last in ``columns``; ``bins_by_now`` says how many there are by now, of which the
    replay can give the last ``room`` by itself.
    """

    request: StreamRequest
    n_bins: int
    columns: Columns
    bins_by_now: Callable[[], int]
    room: int

    @property
    def first(self) -> int:
        """Number of the first bin of ``columns``."""
        return self.n_bins - len(self.columns[MICROSTATES])


@dataclass(frozen=True)
class Warmed:
    """A signal that stands behind a session's first ``n_bins`` bins."""

    serving: Serving
    config: InstrumentConfig
    choice: SignalChoice
    signal: SignalLike | None
    n_bins: int


def warmed(serving: Serving, past: Past, is_cancelled: Callable[[], bool]) -> Warmed:
    """Build a signal and let it catch up with a session.

    Raises
    ------
    EngineError
        It does not load, or the session cannot be read again.
    """
    config = config_for(serving.champion, past.request.config)
    choice = choose_signal(serving.champion, config)
    if not choice.enabled:
        return Warmed(serving, config, choice, None, past.n_bins)

    def fresh() -> SignalLike:
        signal = choice.build()
        assert signal is not None
        return signal

    reader = fresh()  # says what is read

    def bins_from(first: int) -> Iterator[Inputs]:
        if first < past.first:
            yield from _read_again(past, config, reader, first, is_cancelled)
        elif first < past.n_bins:
            kept = {name: column[first - past.first :] for name, column in past.columns.items()}
            yield _inputs_of(reader, config, kept)

    return Warmed(serving, config, choice, *catch_up(fresh, bins_from, past.n_bins))


def let_see(signal: SignalLike | None, config: InstrumentConfig, columns: Columns) -> None:
    """Let a signal see bins that are gone, labelled as its config labels them."""
    if signal is not None and len(columns[MICROSTATES]):
        signal.run(_inputs_of(signal, config, columns))


def _inputs_of(signal: SignalLike, config: InstrumentConfig, columns: Columns) -> Inputs:
    labelled = columns | {STATE5: state5_codes(columns[MICROSTATES], config.state5_table)}
    return signal_inputs(signal, labelled, labelled)


def _read_again(
    past: Past, config: InstrumentConfig, signal: SignalLike, first: int, is_cancelled: Callable[[], bool]
) -> Iterator[Inputs]:
    """What a signal reads of a session from a bin on, until the replay can give the rest by itself."""
    request = past.request
    unscored = with_overrides(config, {"perm_runtime_enabled": False}, "a session that is read again")
    followed = None if request.live is None else Followed.of(request.live)
    try:
        yield from _read_from(_replayed(request, followed, unscored, first, is_cancelled), past, signal, first)
    finally:
        if followed is not None:
            followed.close()


def _replayed(
    request: StreamRequest, followed: Followed | None, config: InstrumentConfig, first: int, is_cancelled: Callable[[], bool]
) -> Iterable[BinBlock]:
    """The session's bins once more, at the latest from ``first`` on."""
    if request.live is not None and followed is not None:
        return live_replay(request.live, followed, config, request.start_time, None, is_cancelled)
    return Replay(
        request.source(config),
        config,
        start_time=request.start_time,
        checkpoints=request.checkpoints,
        keyframes=request.keyframes,
        from_bin=first,
        is_cancelled=is_cancelled,
    )


def _read_from(blocks: Iterable[BinBlock], past: Past, signal: SignalLike, first: int) -> Iterator[Inputs]:
    """What a signal reads of them from ``first`` on."""
    at, until = first, past.n_bins
    for block in blocks:
        start = int(block.bins["bin_seq"][0])
        n, low = len(block.bins), max(first - start, 0)
        while low < n:
            high = min(n, until - start)
            if low < high:
                grid = {name: block.grid[name][low:high] for name in signal.required_columns}
                yield signal_inputs(signal, grid, block.bins[low:high])
                low = high
                at = start + high
            if at == until:
                now = past.bins_by_now()
                if now - until <= past.room:
                    return
                until = now
    raise SourceError(f"{past.request.dbn.name} gave {at} bins when read again, and {until} when the stream read it")
