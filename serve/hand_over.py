"""A signal that takes over in an open stream, brought to where it would stand had it scored the session from its first bin.

It sees what it must of the session's past: the recent bins that the stream has kept, where they reach back far enough, else the
session is read again from its file beside the stream, which goes on meanwhile with the signal it has. So memory stays bounded,
and what a stream says after a change is bit for bit what ``tune score`` says of the session's dataset: for a champion that
carries a fitted state, with ``--champion VERSION``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.config import InstrumentConfig
from engine.errors import SourceError
from engine.run.replay import Replay
from engine.signals.base import Columns, SignalLike, signal_inputs
from engine.signals.hand_over import catch_up
from engine.source.records import open_source
from serve.champion import MICROSTATES, SignalChoice
from serve.relabel import state5_codes
from serve.request import StreamRequest

STATE5: Final = "perm_state5_code"


@dataclass(frozen=True)
class Kept:
    """The last of a stream's first ``n_seen`` bins: columns of shape (n, n_rows), fields of shape (n,), the last bin last."""

    n_seen: int
    columns: dict[str, Any]

    @property
    def first(self) -> int:
        """Number of the first bin that is kept."""
        return self.n_seen - len(self.columns[MICROSTATES])


class PastReader:
    """The past of one stream, for one signal that is to take over.

    Parameters
    ----------
    request, config : StreamRequest, InstrumentConfig
        What the stream plays, and the instrument as the signal needs it.
    choice : SignalChoice
        What takes over.
    kept : Kept
        The stream's recent bins.
    n_seen : callable
        How many bins the stream has by now.
    room : int
        Reading again ends where the stream is ahead by so many bins at most: those it can give by itself.
    is_closed : callable
        Whether nobody waits for it any more.
    """

    def __init__(
        self,
        request: StreamRequest,
        config: InstrumentConfig,
        choice: SignalChoice,
        kept: Kept,
        n_seen: Callable[[], int],
        room: int,
        is_closed: Callable[[], bool],
    ) -> None:
        self._request, self._config, self._choice, self._kept = request, config, choice, kept
        self._n_seen, self._room, self._is_closed = n_seen, room, is_closed

    def warmed(self) -> tuple[SignalLike | None, int]:
        """The signal, and how many of the session's bins it stands behind.

        Raises
        ------
        EngineError
            It does not load, or the session cannot be read again.
        """
        signal = self._choice.build()
        if signal is None:
            return None, self._kept.n_seen
        return catch_up(self._fresh, self._past, self._kept.n_seen)

    def _fresh(self) -> SignalLike:
        signal = self._choice.build()
        assert signal is not None
        return signal

    def _past(self, first: int) -> Iterator[Columns]:
        """What the signal reads of the bins from ``first`` on."""
        kept = self._kept
        if kept.first > first:
            yield from self._read_again(first)
            return
        from_first = {name: column[first - kept.first :] for name, column in kept.columns.items()}
        if first < kept.n_seen:
            yield inputs_of(self._fresh(), self._config, from_first)

    def _read_again(self, first: int) -> Iterator[Columns]:
        request, signal = self._request, self._fresh()
        replay = Replay(
            open_source([request.dbn], self._config, request.dt, assumes_symbol=request.assumes_symbol),
            self._config,
            start_time=request.start_time,
            checkpoints=request.checkpoints,
            is_cancelled=self._is_closed,
        )
        start, until = 0, self._kept.n_seen
        for block in replay:
            n = len(block.bins)
            low = max(first - start, 0)
            while low < n:
                high = min(n, until - start)
                if low < high:
                    grid = {name: block.grid[name][low:high] for name in signal.required_columns}
                    yield signal_inputs(signal, grid, block.bins[low:high])
                    low = high
                if start + high == until:
                    now = self._n_seen()
                    if now - until <= self._room:
                        return
                    until = now
            start += n
        raise SourceError(f"{request.dbn.name} gave {start} bins when read again, and {until} when the stream read it")


def let_see(signal: SignalLike | None, config: InstrumentConfig, columns: dict[str, Any]) -> None:
    """Let a signal see bins that are gone, labelled as its config labels them."""
    if signal is not None and len(columns[MICROSTATES]):
        signal.run(inputs_of(signal, config, columns))


def inputs_of(signal: SignalLike, config: InstrumentConfig, columns: dict[str, Any]) -> dict[str, Any]:
    """What a signal reads of bins that were kept under another config."""
    labelled = columns | {STATE5: state5_codes(columns[MICROSTATES], config.state5_table)}
    return signal_inputs(signal, labelled, labelled)
