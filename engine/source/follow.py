"""What whoever follows a feed is handed: records, holes, and how far the feed is known to be complete.

Who records a feed knows more of it than its records tell: that it was alive through a silence, and where it was not. A `Watch` is
that knowledge, kept beside the recording, so that its replay gives the bins that were seen live.

Source: engine.md section 1; section 4, `gap`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from engine.schema import MboRecords


@dataclass(frozen=True)
class Hole:
    """A span of event time of which nothing is known; what follows begins with a snapshot, that is a clear and its orders.

    ``since_ns``: UTC ns of the last record before it, 0 where there is none. ``until_ns``: UTC ns from where it is known again.
    ``reason``: one line for people.
    """

    since_ns: int
    until_ns: int
    reason: str


@dataclass(frozen=True)
class Batch:
    """What came since the batch before.

    ``records``: of the contract, in order, dtype MBO_DTYPE, may be empty; they are the reader's own to keep. ``hole`` lies before
    the records. ``known_until_ns``: UTC ns before which every event is handed out: the newest record's time, or where the market
    is quiet and the feed alive the market's clock less a margin; it never falls. ``is_over``: the recorder has ended the session
    in good order and nothing follows.
    """

    records: MboRecords
    hole: Hole | None
    known_until_ns: int
    is_over: bool


class Follower(Protocol):
    """One reader of a live day."""

    def read(self, timeout_s: float) -> Batch:
        """What has come, at once where something has; an empty batch after ``timeout_s`` without."""
        ...


@dataclass(frozen=True)
class PlacedHole:
    """A hole, and how many of the recording's records of the contract lie before it."""

    n_before: int
    hole: Hole


@dataclass(frozen=True)
class Watch:
    """What the recorder of a session's records knew of its feed.

    Attributes
    ----------
    holes : tuple of PlacedHole
        In order; outside them the records are complete, however long the feed was silent.
    known_until_ns : int or None
        How far the records were known to be complete in the end, UTC ns; None lets the files' own word stand.
    """

    holes: tuple[PlacedHole, ...] = ()
    known_until_ns: int | None = None

    def cut(self, records: MboRecords, n_before: int, n_done: int) -> Iterator[tuple[Hole | None, MboRecords]]:
        """Records in parts between which holes lie, each with the hole before it; an empty part where several lie at one place.

        Parameters
        ----------
        records
            Consecutive ones, of which ``n_before`` of the recording's lie before the first.
        n_done
            Holes that have been handed out.
        """
        first = 0
        before: Hole | None = None
        for one in self.holes[n_done:]:
            at = one.n_before - n_before
            if at > 0 and at >= len(records):
                break
            if before is not None or at > first:
                yield before, records[first : max(at, first)]
                first = max(at, first)
            before = one.hole
        if before is not None or first < len(records):
            yield before, records[first:]
