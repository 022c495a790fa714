"""The last bins of a shared session, framed once, and what was said between them; each client reads at its own place."""

from dataclasses import dataclass
from typing import Final

from serve.session import ConfigFrame
from serve.wire import Framed

_BIN_OVERHEAD: Final = 512  # bytes of the objects around a bin's frames


@dataclass(frozen=True, slots=True)
class _Said:
    """A ``runtime_config``: number in the session, and the frame."""

    number: int
    frame: ConfigFrame


class Ring:
    """Bins ``first`` to ``head - 1``, bounded in number and bytes; the newest one is always kept.

    Parameters
    ----------
    first_bin : int
        The first bin that will come.
    max_bins, max_bytes : int
        Bounds.
    """

    def __init__(self, first_bin: int, max_bins: int, max_bytes: int) -> None:
        self._slots: list[Framed | None] = [None] * max(1, max_bins)
        self._max_bytes = max_bytes
        self._said: list[_Said] = []
        self.first = self.head = first_bin
        self.n_bytes = 0

    def append(self, framed: Framed) -> None:
        """Add the next bin; the oldest ones give way."""
        n_bytes = _size(framed)
        while self.first < self.head and (self.head - self.first == len(self._slots) or self.n_bytes + n_bytes > self._max_bytes):
            self._forget()
        self._slots[self.head % len(self._slots)] = framed
        self.n_bytes += n_bytes
        self.head += 1

    def __getitem__(self, bin_seq: int) -> Framed:
        framed = self._slots[bin_seq % len(self._slots)]
        if framed is None or not self.first <= bin_seq < self.head:
            raise IndexError(f"bin {bin_seq} is not among {self.first} to {self.head - 1}")
        return framed

    def say(self, frame: ConfigFrame) -> None:
        """Add a ``runtime_config`` that holds from its bin on."""
        number = self._said[-1].number + 1 if self._said else 0
        self._said.append(_Said(number, frame))

    def renew(self, plain: str) -> None:
        """What clients that come new are told from now on, by the ``runtime_config`` that holds now."""
        last = self._said[-1]
        frame = last.frame
        self._said[-1] = _Said(last.number, ConfigFrame(frame.text, frame.effective_bin_seq, plain))

    @property
    def n_said(self) -> int:
        """How many ``runtime_config`` there were."""
        return self._said[-1].number + 1 if self._said else 0

    def said_for(self, bin_seq: int) -> tuple[int, ConfigFrame] | None:
        """The ``runtime_config`` that holds for a bin, and its number; None before the session is open."""
        for said in reversed(self._said):
            if said.frame.effective_bin_seq <= bin_seq:
                return said.number, said.frame
        return (self._said[0].number, self._said[0].frame) if self._said else None

    def _forget(self) -> None:
        place = self.first % len(self._slots)
        framed = self._slots[place]
        if framed is not None:
            self.n_bytes -= _size(framed)
        self._slots[place] = None
        self.first += 1
        while len(self._said) > 1 and self._said[1].frame.effective_bin_seq <= self.first:
            del self._said[0]


def _size(framed: Framed) -> int:
    return len(framed.bytes_on_wire) + _BIN_OVERHEAD
