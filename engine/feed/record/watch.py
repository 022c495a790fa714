"""What the recorder of a day knew of its feed, so that a replay of its segments gives the bins that were seen live."""

from datetime import date

from engine.feed.follow import PlacedHole, Watch
from engine.feed.record.journal import JOURNAL, read_journal
from engine.feed.record.place import day_folder
from engine.lake import Lake


def recording_watch(lake: Lake, symbol: str, day: date) -> Watch:
    """For `engine.source.records.open_source`, beside the files of `recording_files`: the day's holes, and how far it was known.

    A hole that only the segments have, because a disk was full, is one of the replay alone: whoever followed the ring had none.
    """
    journal = read_journal(day_folder(lake, symbol, day) / JOURNAL)
    holes: list[PlacedHole] = []
    n_before = 0
    for segment in journal.segments:
        if segment.hole is not None:
            holes.append(PlacedHole(n_before, segment.hole))
        n_before += segment.n_whole()
    if journal.over is None:
        return Watch(tuple(holes))
    if journal.over.hole is not None:
        holes.append(PlacedHole(n_before, journal.over.hole))
    return Watch(tuple(holes), journal.over.known_until_ns)
