"""Which record of one array is which of another: the longest common order, found by what is unique and filled in between.

Source: patience diff by Bram Cohen (anchors that occur once on both sides, their longest increasing run), 64-bit mixing as in
Sebastiano Vigna's splitmix64.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import MBO_RECORD_BYTES
from engine.jit import kernel
from engine.schema import Ints, MboRecords

_WORDS: Final = MBO_RECORD_BYTES // 8
_MOST_CELLS: Final = 1 << 20  # of the table between two anchors; what is larger stays unmatched

Hashes = NDArray[np.uint64]


def words(records: MboRecords) -> NDArray[np.uint64]:
    """Records as rows of seven 64-bit words, a view where they lie in one piece."""
    return np.ascontiguousarray(records).view(np.uint64).reshape(-1, _WORDS)


@kernel
def count_equal(ours: NDArray[np.uint64], official: NDArray[np.uint64]) -> int:
    """How many rows of both are the same bits, from the front."""
    n = min(ours.shape[0], official.shape[0])
    for i in range(n):
        for w in range(ours.shape[1]):
            if ours[i, w] != official[i, w]:
                return i
    return n


def hashes(records: MboRecords) -> Hashes:
    """A 64-bit hash of each record."""
    rows = words(records)
    h = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for w in range(_WORDS):
        h ^= rows[:, w]
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
        h *= np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(32)
    return h


@kernel
def _rising(values: Ints, tails: Ints, before: Ints) -> int:
    """Longest strictly rising run: ``before`` (n,) leads back from the place returned, -1 before its first; -1 for no values."""
    n = 0
    for i in range(values.shape[0]):
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            if values[tails[middle]] < values[i]:
                low = middle + 1
            else:
                high = middle
        before[i] = tails[low - 1] if low > 0 else -1
        tails[low] = i
        if low == n:
            n += 1
    return tails[n - 1] if n > 0 else -1


@kernel
def _fill_table(ours: Hashes, official: Hashes, table: NDArray[np.int32]) -> None:
    """``table[i, j]``: longest common order of what begins at ``official[i]`` and ``ours[j]``; last row and column are 0."""
    for i in range(official.shape[0] - 1, -1, -1):
        for j in range(ours.shape[0] - 1, -1, -1):
            if official[i] == ours[j]:
                table[i, j] = table[i + 1, j + 1] + 1
            else:
                table[i, j] = max(table[i + 1, j], table[i, j + 1])


def matches(ours: Hashes, official: Hashes) -> Ints:
    """For each of ``official`` the place of the same record in ``ours``, both ascending; -1 where it has none. Shape (n,), i8."""
    found = np.full(len(official), -1, np.int64)
    anchors = _anchors(ours, official)
    edges = np.concatenate([[[-1, -1]], anchors, [[len(official), len(ours)]]])
    found[anchors[:, 0]] = anchors[:, 1]
    # Neighbours of an anchor need no table, and most of what lies between two is nothing.
    wide = np.flatnonzero((np.diff(edges[:, 0]) > 1) & (np.diff(edges[:, 1]) > 1))
    for at in wide.tolist():
        (i, j), (i_end, j_end) = edges[at].tolist(), edges[at + 1].tolist()
        _match_between(ours, official, found, (i + 1, i_end), (j + 1, j_end))
    return found


def _anchors(ours: Hashes, official: Hashes) -> Ints:
    """Pairs (place in official, place in ours) of what occurs once in both, as many as are in one order; shape (n, 2)."""
    own, own_first, own_count = np.unique(ours, return_index=True, return_counts=True)
    other, other_first, other_count = np.unique(official, return_index=True, return_counts=True)
    _, i_own, i_other = np.intersect1d(own[own_count == 1], other[other_count == 1], assume_unique=True, return_indices=True)
    pairs = np.stack([other_first[other_count == 1][i_other], own_first[own_count == 1][i_own]], axis=1).astype(np.int64)
    pairs = pairs[np.argsort(pairs[:, 0])]
    before = np.empty(len(pairs), np.int64)
    at = _rising(np.ascontiguousarray(pairs[:, 1]), np.empty(len(pairs) + 1, np.int64), before)
    kept = []
    while at >= 0:
        kept.append(at)
        at = int(before[at])
    return np.asarray(pairs[kept[::-1]])


def _match_between(ours: Hashes, official: Hashes, found: Ints, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Fill in what is repeated, between two anchors."""
    (i, i_end), (j, j_end) = rows, columns
    while i < i_end and j < j_end and official[i] == ours[j]:
        found[i] = j
        i, j = i + 1, j + 1
    while i < i_end and j < j_end and official[i_end - 1] == ours[j_end - 1]:
        i_end, j_end = i_end - 1, j_end - 1
        found[i_end] = j_end
    if not 0 < (i_end - i) * (j_end - j) <= _MOST_CELLS:
        return
    table = np.zeros((i_end - i + 1, j_end - j + 1), np.int32)
    _fill_table(ours[j:j_end], official[i:i_end], table)
    if not table[0, 0]:
        return
    row, column = 0, 0
    while i + row < i_end and j + column < j_end:
        if official[i + row] == ours[j + column]:
            found[i + row] = j + column
            row, column = row + 1, column + 1
        elif table[row + 1, column] >= table[row, column + 1]:
            row += 1
        else:
            column += 1


def gaps(found: Ints, n_ours: int) -> list[tuple[slice, slice]]:
    """Where the two differ: (places in official, places in ours) between two matches; one of the two may be empty."""
    is_matched = found >= 0
    rows = np.concatenate([[-1], np.flatnonzero(is_matched), [len(found)]])
    columns = np.concatenate([[-1], found[is_matched], [n_ours]])
    at = np.flatnonzero((np.diff(rows) > 1) | (np.diff(columns) > 1))
    return [(slice(int(rows[i]) + 1, int(rows[i + 1])), slice(int(columns[i]) + 1, int(columns[i + 1]))) for i in at.tolist()]


def synced_until(found: Ints, n_run: int) -> tuple[int, int] | None:
    """(official, ours) behind the last ``n_run`` neighbours that are neighbours on both sides; None where there are none."""
    rows = np.flatnonzero(found >= 0)
    columns = found[rows]
    if len(rows) < n_run:
        return None
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(columns) != 1)) + 1
    edges: list[Any] = [0, *breaks.tolist(), len(rows)]
    for first, end in reversed(list(pairwise(edges))):
        if end - first >= n_run:
            return int(rows[end - 1]) + 1, int(columns[end - 1]) + 1
    return None
