"""What a live day looks like to whoever follows it: batches of records, each exactly once, and holes that are named.

The recorder owns the vendor's connection and never waits for a follower. A follower gets what was recorded so far first, then
what comes, without a seam between the two. The words stand in the source's room, since the engine that follows stands below the
feed.
"""

from engine.source.follow import Batch, Follower, Hole, PlacedHole, Watch

__all__ = ["Batch", "Follower", "Hole", "PlacedHole", "Watch"]
