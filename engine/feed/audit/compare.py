"""Two streams of records side by side, in flat memory: what one lacks, has twice, elsewhere or otherwise.

What is equal bits is passed over a block at a time. Where they part, a window of both is aligned, wider and wider until they run
together again; where even the widest does not do, as at a long hole, whatever is older than all of the other's is left behind.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from engine.feed.audit.align import Hashes, count_equal, gaps, hashes, matches, synced_until, words
from engine.schema import MBO_DTYPE, Ints, MboRecords

SYNC: Final = 32  # equal records in a row that show both to be together again
NARROWEST: Final = 1 << 9
WIDEST: Final = 1 << 17
PAST: Final = 1 << 14  # records in which what comes twice is looked for
_NAMES: Final = tuple(MBO_DTYPE.names or ())
_KEY: Final = ("ts_event", "sequence", "order_id")
_MOST_OTHER: Final = 4  # fields in which two records of one place may differ and still be one that was altered

Kind = Literal["omitted", "doubled", "added", "swapped", "altered"]


@dataclass(frozen=True)
class Edits:
    """Differences of one kind, in order: ``official`` and ``ours`` (n,) are the records, ``at`` and ``ours_at`` their numbers.

    Where one of the two has none it is None: of what was omitted there is no ours, of what was doubled or added no official. What
    was doubled is told at its original, what was added at the official record that follows, what was swapped at its official
    place.
    """

    kind: Kind
    at: Ints
    ours_at: Ints
    official: MboRecords | None
    ours: MboRecords | None

    @property
    def records(self) -> MboRecords:
        """The official ones, else ours."""
        found = self.ours if self.official is None else self.official
        assert found is not None
        return found


def changed_fields(ours: Any, official: Any) -> list[str]:
    """Names of the fields in which two records differ."""
    return [name for name in _NAMES if ours[name] != official[name]]


class _Side:
    """One stream: ``rest`` is what was read of it and not passed yet, ``at`` the number of its first."""

    def __init__(self, blocks: Iterable[MboRecords]) -> None:
        self._blocks = iter(blocks)
        self.rest = np.empty(0, MBO_DTYPE)
        self.past = np.empty(0, MBO_DTYPE)
        self.at = 0
        self.is_over = False

    def fill(self, n: int) -> None:
        """Read on until so many are there, or nothing follows."""
        while len(self.rest) < n and not self.is_over:
            block = next(self._blocks, None)
            if block is None:
                self.is_over = True
            else:
                self.rest = np.concatenate([self.rest, block]) if len(self.rest) else block

    def go_past(self, n: int) -> None:
        """Leave so many behind."""
        gone = self.rest[:n]
        self.past = gone[-PAST:] if n >= PAST else np.concatenate([self.past, gone])[-PAST:]
        self.rest = self.rest[n:]
        self.at += n


def compare(ours: Iterable[MboRecords], official: Iterable[MboRecords]) -> Iterator[Edits]:
    """What makes of the official records ours; nothing where both are the same bits."""
    left, right = _Side(ours), _Side(official)
    while True:
        left.fill(1)
        right.fill(1)
        if not len(left.rest) and not len(right.rest):
            return
        n = count_equal(words(left.rest), words(right.rest))
        is_parted = n < min(len(left.rest), len(right.rest))
        left.go_past(n)
        right.go_past(n)
        left.fill(1)
        right.fill(1)
        if is_parted or not len(left.rest) or not len(right.rest):
            yield from _bring_together(left, right)


def _bring_together(left: _Side, right: _Side) -> Iterator[Edits]:
    """Tell what differs from here on, until both run together again or a widest window is behind us."""
    width = NARROWEST
    while True:
        left.fill(width + 1)
        right.fill(width + 1)
        is_end = max(len(left.rest), len(right.rest)) <= width
        ours, official = left.rest[:width], right.rest[:width]
        ours_hashes, official_hashes = hashes(ours), hashes(official)
        found = matches(ours_hashes, official_hashes)
        cut = (len(official), len(ours)) if is_end else synced_until(found, SYNC)
        if cut is None and width >= WIDEST:
            cut = _older(ours, official) or (len(official), len(ours))
        if cut is not None:
            break
        width *= 4
    n_official, n_ours = cut
    found = found[:n_official]
    found[found >= n_ours] = -1
    yield from _tell(left, right, found, ours_hashes[:n_ours], official_hashes[:n_official])
    left.go_past(n_ours)
    right.go_past(n_official)


def _older(ours: MboRecords, official: MboRecords) -> tuple[int, int] | None:
    """How many at the front (official, ours) were captured before all of the other's; None if none were."""
    if not len(ours) or not len(official):
        return len(official), len(ours)
    counts = []
    for one, other in ((official, ours), (ours, official)):
        is_newer = one["ts_recv"] >= other["ts_recv"].min()
        counts.append(int(np.argmax(is_newer)) if is_newer.any() else len(one))
    return (counts[0], counts[1]) if any(counts) else None


def _tell(left: _Side, right: _Side, found: Ints, ours_hashes: Hashes, official_hashes: Hashes) -> Iterator[Edits]:
    """Say what each record without a match is."""
    ours, official = left.rest[: len(ours_hashes)], right.rest[: len(official_hashes)]
    lacking = np.flatnonzero(found < 0)
    is_extra = np.ones(len(ours), np.bool_)
    is_extra[found[found >= 0]] = False
    extra = np.flatnonzero(is_extra)
    follows = np.zeros(len(ours), np.int64)  # the official place before which an extra one stands
    pieces = gaps(found, len(ours))
    for rows, columns in pieces:
        follows[columns] = rows.stop
    moved_from, moved_to = _same(lacking, extra, official_hashes, ours_hashes)
    lacking, extra = np.setdiff1d(lacking, moved_from), np.setdiff1d(extra, moved_to)
    doubled_of = _originals(ours_hashes[extra], np.concatenate([hashes(right.past), official_hashes])) - len(right.past)
    is_double = doubled_of >= -len(right.past)
    doubled, doubled_of, extra = extra[is_double], doubled_of[is_double], extra[~is_double]
    altered_from, altered_to = _altered(lacking, extra, pieces, official, ours)
    lacking, extra = np.setdiff1d(lacking, altered_from), np.setdiff1d(extra, altered_to)
    first, own = right.at, left.at
    if len(moved_from):
        at = _swapped_at(moved_from, follows[moved_to])
        yield Edits("swapped", first + at, own + moved_to, official[at], ours[moved_to])
    if len(doubled):
        yield Edits("doubled", first + doubled_of, own + doubled, None, ours[doubled])
    if len(altered_from):
        yield Edits("altered", first + altered_from, own + altered_to, official[altered_from], ours[altered_to])
    if len(lacking):
        yield Edits("omitted", first + lacking, np.full(len(lacking), own, np.int64), official[lacking], None)
    if len(extra):
        yield Edits("added", first + follows[extra], own + extra, None, ours[extra])


def _same(lacking: Ints, extra: Ints, official_hashes: Hashes, ours_hashes: Hashes) -> tuple[Ints, Ints]:
    """Pairs of one missing here and one too many there that are the same record, the first with the first."""
    waiting: dict[int, list[int]] = {}
    for i in reversed(lacking.tolist()):
        waiting.setdefault(int(official_hashes[i]), []).append(i)
    pairs = [(places.pop(), j) for j in extra.tolist() if (places := waiting.get(int(ours_hashes[j])))]
    both = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _originals(extra: Hashes, known: Hashes) -> Ints:
    """The place of each in ``known``, the last one; -1 where it is not there."""
    if not len(known):
        return np.full(len(extra), -1, np.int64)
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known, extra, side="right", sorter=order) - 1
    last = order[np.maximum(at, 0)]
    return np.where((at >= 0) & (known[last] == extra), last, -1)


def _swapped_at(moved_from: Ints, before: Ints) -> Ints:
    """Of two neighbours that changed places either may be the one that moved: it is told at the place of the first."""
    return np.where(moved_from - before == 1, before, moved_from)


def _altered(
    lacking: Ints, extra: Ints, pieces: list[tuple[slice, slice]], official: MboRecords, ours: MboRecords
) -> tuple[Ints, Ints]:
    """Pairs of one place: those of one key first, then those of the same order in their gap that are alike enough."""
    pairs: list[tuple[int, int]] = []
    for rows, columns in pieces:
        these = lacking[np.searchsorted(lacking, rows.start) : np.searchsorted(lacking, rows.stop)].tolist()
        those = extra[np.searchsorted(extra, columns.start) : np.searchsorted(extra, columns.stop)].tolist()
        if not these or not those:
            continue
        waiting: dict[Any, list[int]] = {}
        for i in reversed(these):
            waiting.setdefault(official[list(_KEY)][i].item(), []).append(i)
        keyed = [(places.pop(), j) for j in those if (places := waiting.get(ours[list(_KEY)][j].item()))]
        taken = {i for i, _ in keyed}, {j for _, j in keyed}
        rest = ([i for i in these if i not in taken[0]], [j for j in those if j not in taken[1]])
        pairs += keyed + _alike(*rest, official, ours)
    both = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _alike(these: list[int], those: list[int], official: MboRecords, ours: MboRecords) -> list[tuple[int, int]]:
    """Pairs in order that differ in few fields; what does not fit stays alone."""
    pairs = []
    start = 0
    for i in these:
        for k in range(start, min(start + 8, len(those))):
            if len(changed_fields(ours[those[k]], official[i])) <= _MOST_OTHER:
                pairs.append((i, those[k]))
                start = k + 1
                break
    return pairs
