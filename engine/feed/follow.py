"""What a live day looks like to whoever follows it: batches of records, each exactly once, and holes that are named.

The recorder owns the vendor's connection and never waits for a follower. A follower gets what was recorded so far first, then what
comes, without a seam between the two.
"""

from dataclasses import dataclass
from typing import Protocol

from engine.schema import MboRecords


@dataclass(frozen=True)
class Hole:
    """A span of event time of which nothing is known; what follows begins with a snapshot, that is a clear and the orders after it.

    ``since_ns``: UTC ns of the last record before it, 0 where there is none. ``until_ns``: UTC ns from which on it is known again.
    ``reason``: one line for people.
    """

    since_ns: int
    until_ns: int
    reason: str


@dataclass(frozen=True)
class Batch:
    """What came since the batch before.

    ``records``: of the contract, in order, dtype MBO_DTYPE, may be empty; they are the reader's own to keep. ``hole`` lies before
    the records. ``known_until_ns``: UTC ns of event time up to which the feed is known to be complete: the newest record's, or
    where the market is quiet and the feed alive the market's clock less a margin; it never falls. ``is_over``: the recorder has
    ended the session in good order and nothing follows.
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
