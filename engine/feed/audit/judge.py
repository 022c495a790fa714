"""Why a recording differs from the vendor's history: a hole that was named, the vendor's correction, or nothing that we know.

A hole explains what is omitted and happened within its bounds, both included: several records may bear the same time as the last
one before it. A correction explains what the vendor changed since an earlier delivery of the same day (`--before`), and what it
has marked since, with a flag for a doubtful book or a doubtful time of capture, changing nothing but that and the time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import F_BAD_TS_RECV, F_MAYBE_BAD_BOOK, F_SNAPSHOT, UNDEF_TIMESTAMP
from engine.feed.audit.compare import Edits, changed_fields
from engine.feed.follow import Hole
from engine.schema import MboRecords

LISTED: Final = 100_000  # differences that are kept one by one; more are counted
UNEXPLAINED: Final = "unexplained"
CORRECTED: Final = "vendor's correction"
_MARKS: Final = F_MAYBE_BAD_BOOK | F_BAD_TS_RECV
_TIMES: Final = frozenset(("flags", "ts_recv", "ts_in_delta"))

Identity = tuple[str, bytes, bytes]  # kind, our record, the official one


@dataclass(frozen=True)
class Difference:
    """One record: ``at`` is its number in the official file behind the opening snapshot, of a double its original's.

    Times are UTC ns. ``fields`` has for each that was altered our value and the official one.
    """

    kind: str
    why: str
    at: int
    ours_at: int
    ts_event: int
    ts_recv: int
    sequence: int
    order_id: int
    action: str
    fields: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class InHole:
    """What a hole explains."""

    hole: Hole
    n: int = 0
    first_ns: int = 0
    last_ns: int = 0


def moments(records: MboRecords) -> NDArray[np.uint64]:
    """When each happened, ns: its event, or of a snapshot's record, and where that is undefined, its capture."""
    is_told = (records["flags"] & F_SNAPSHOT == 0) & (records["ts_event"] != UNDEF_TIMESTAMP)
    return np.where(is_told, records["ts_event"], records["ts_recv"])


def identities(edits: Iterable[Edits]) -> set[Identity]:
    """Names of differences, to find them again in another comparison."""
    return {_identity(one, i) for one in edits for i in range(len(one.at))}


def _identity(edits: Edits, i: int) -> Identity:
    ours, official = (b"" if one is None else one[i].tobytes() for one in (edits.ours, edits.official))
    return edits.kind, ours, official


class Findings:
    """Differences as they come, each with its reason.

    Parameters
    ----------
    holes
        That our recording names.
    corrections
        Differences between an earlier delivery of the vendor's, as ours, and the official file.
    """

    def __init__(self, holes: Sequence[Hole], corrections: set[Identity]) -> None:
        self.in_holes = [InHole(hole) for hole in holes]
        self.listed: list[Difference] = []
        self.counts: dict[str, dict[str, int]] = {}
        self._corrections = corrections
        self._alone: dict[bytes, int] = {}  # omitted or not ours: the place in the list

    @property
    def n(self) -> int:
        """Differences of every kind."""
        return sum(sum(kinds.values()) for kinds in self.counts.values())

    @property
    def n_unexplained(self) -> int:
        """Those without a reason."""
        return sum(self.counts.get(UNEXPLAINED, {}).values())

    def take(self, edits: Edits) -> None:
        """More of them."""
        is_open = np.ones(len(edits.at), np.bool_)
        if edits.kind == "omitted":
            is_open = ~self._in_holes(moments(edits.records))
        for i in np.flatnonzero(is_open).tolist():
            self._take_one(edits, i)

    def _in_holes(self, times: NDArray[np.uint64]) -> NDArray[np.bool_]:
        is_in = np.zeros(len(times), np.bool_)
        for one in self.in_holes:
            here = (times >= one.hole.since_ns) & (times <= one.hole.until_ns) & ~is_in
            if here.any():
                first, last = int(times[here].min()), int(times[here].max())
                one.first_ns = min(first, one.first_ns) if one.n else first
                one.last_ns = max(last, one.last_ns)
                one.n += int(here.sum())
                self._count(f"hole: {one.hole.reason}", "omitted", int(here.sum()))
                is_in |= here
        return is_in

    def _take_one(self, edits: Edits, i: int) -> None:
        record = edits.records[i]
        raw = record.tobytes()
        if edits.kind in ("omitted", "added", "doubled"):
            other = self._alone.get(raw)
            if other is not None and (self.listed[other].kind == "omitted") != (edits.kind == "omitted"):
                self._is_swapped(other, edits, i)
                del self._alone[raw]
                return
        fields = {}
        if edits.kind == "altered":
            assert edits.ours is not None
            names = changed_fields(edits.ours[i], record)
            fields = {name: (int(edits.ours[i][name]), int(record[name])) for name in names}
        why = CORRECTED if _identity(edits, i) in self._corrections or _is_marked(fields) else UNEXPLAINED
        self._count(why, edits.kind, 1)
        if len(self.listed) >= LISTED:
            return
        if edits.kind in ("omitted", "added", "doubled"):
            self._alone[raw] = len(self.listed)
        self.listed.append(_difference(edits.kind, why, int(edits.at[i]), int(edits.ours_at[i]), record, fields))

    def _is_swapped(self, other: int, edits: Edits, i: int) -> None:
        """A record that was missing at one place and too many at another, far away, only moved."""
        before = self.listed[other]
        is_here = edits.kind == "omitted"
        at = int(edits.at[i]) if is_here else before.at
        ours_at = before.ours_at if is_here else int(edits.ours_at[i])
        self._count(before.why, before.kind, -1)
        self._count(before.why, "swapped", 1)
        self.listed[other] = _difference("swapped", before.why, at, ours_at, edits.records[i], {})

    def _count(self, why: str, kind: str, n: int) -> None:
        kinds = self.counts.setdefault(why, {})
        kinds[kind] = kinds.get(kind, 0) + n
        if not kinds[kind]:
            del kinds[kind]

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "counts": {why: kinds for why, kinds in self.counts.items() if kinds},
            "holes": [{**asdict(one.hole), "n_omitted": one.n, "first_ns": one.first_ns, "last_ns": one.last_ns}
                      for one in self.in_holes],
            "differences": [asdict(one) for one in sorted(self.listed, key=lambda one: (one.at, one.ours_at))],
        }  # fmt: skip


def _is_marked(fields: dict[str, tuple[int, int]]) -> bool:
    """Whether the vendor marked a record as doubtful since, and changed nothing else than its time of capture."""
    ours, official = fields.get("flags", (0, 0))
    return bool(official & ~ours & _MARKS) and (ours ^ official) & ~_MARKS == 0 and fields.keys() <= _TIMES


def _difference(kind: str, why: str, at: int, ours_at: int, record: Any, fields: dict[str, tuple[int, int]]) -> Difference:
    return Difference(
        kind, why, at, ours_at, int(record["ts_event"]), int(record["ts_recv"]), int(record["sequence"]),
        int(record["order_id"]), chr(record["action"]), fields,
    )  # fmt: skip
