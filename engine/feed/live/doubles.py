"""What was handed on lately, and the records of a replay that are the same ones: dropped exactly, in order.

A replay is asked for by event time and comes in the order of capture, so it repeats what came before the cut. What is assumed:

- the vendor replays a contract in the order in which it came live, with the same event time, exchange sequence, order, action,
  side, price and size; capture times and flags may differ from one of its machines to another;
- in that order an event time falls behind an earlier record's by ``reorder_ns`` at most. So the replay is asked for from that
  much before the newest event time: nothing that comes after the cut can be older, and what is asked for again is known by heart;
- it holds no snapshots, which the vendor makes for who asks; a cut inside one, or right behind one, is a hole.

Records that begin a replay and are not the expected ones prove that it did not begin where it was asked to.

Source: Databento, "Recovering after a disconnection": the last ``ts_event`` and how many records had it.
"""

from collections import deque
from typing import Final

import numpy as np

from engine.schema import MBO_DTYPE, MboRecords

_SAME: Final = ("ts_event", "sequence", "order_id", "instrument_id", "action", "side", "price", "size")


class Memory:
    """The records handed on whose event time is at most ``reorder_ns`` before the newest, in their order."""

    def __init__(self, reorder_ns: int) -> None:
        self._reorder_ns = reorder_ns
        self._kept: deque[tuple[MboRecords, int]] = deque()  # and the newest event time among them
        self.newest_ns = 0
        self._is_young = True

    def keep(self, records: MboRecords) -> None:
        """These were handed on, shape (n,), n > 0."""
        newest = int(records["ts_event"].astype(np.int64).max())  # an undefined one is below all
        self._kept.append((records, newest))
        self.newest_ns = max(self.newest_ns, newest)
        while self._kept[0][1] < self.newest_ns - self._reorder_ns:
            self._kept.popleft()
            self._is_young = False

    def forget(self) -> None:
        """A snapshot was handed on: what came before does not count any more."""
        self._kept.clear()
        self.newest_ns = 0
        self._is_young = True

    def expected(self) -> "Doubles | None":
        """What a replay has to begin with; None where nothing is remembered, so that none could be proved."""
        if not self._kept:
            return None
        kept = np.concatenate([records for records, _ in self._kept])
        again = kept[kept["ts_event"].astype(np.int64) >= self.newest_ns - self._reorder_ns]
        return Doubles(again, self._is_young)


class Doubles:
    """A replay's beginning as it has to be: ``records`` (n,) MBO_DTYPE, n > 0, from the event time ``start_ns`` on.

    ``may_precede``: the first of them followed a snapshot, so that others of the same event times may come before them, which the
    snapshot holds.
    """

    def __init__(self, records: MboRecords, may_precede: bool) -> None:
        self._records = records
        self._may_precede = may_precede
        self._at = 0
        self.start_ns = int(records["ts_event"].min())
        self._newest_ns = int(records["ts_event"].max())
        self.n_dropped = 0

    @property
    def is_whole(self) -> bool:
        """Whether all have come again."""
        return self._at == len(self._records)

    def rest_of(self, records: MboRecords) -> MboRecords | None:
        """The new ones among the next records of a replay; None where they prove that it did not begin where it was asked to."""
        if self._at == 0 and self._may_precede:
            records = self._after_what_precedes(records)
            if len(records) and int(records["ts_event"][0]) > self._newest_ns:
                return None
        n = min(len(records), len(self._records) - self._at)
        if not are_same(records[:n], self._records[self._at : self._at + n]):
            return None
        self._at += n
        self.n_dropped += n
        return records[n:]

    def _after_what_precedes(self, records: MboRecords) -> MboRecords:
        first = self._records[:1]
        is_first = np.ones(len(records), np.bool_)
        for name in _SAME:
            is_first &= records[name] == first[name]
        is_later = records["ts_event"] > self._newest_ns
        found = np.flatnonzero(is_first | is_later)
        n = int(found[0]) if len(found) else len(records)
        self.n_dropped += n
        return records[n:]


def are_same(some: MboRecords, others: MboRecords) -> bool:
    """Whether two arrays are the same records of the exchange, in the same order."""
    return len(some) == len(others) and all(np.array_equal(some[name], others[name]) for name in _SAME)


def as_records(pieces: list[bytes]) -> MboRecords:
    """Plain mbo records, each in its bytes, as one array."""
    return np.frombuffer(b"".join(pieces), MBO_DTYPE)
