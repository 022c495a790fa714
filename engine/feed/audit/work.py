"""The audit of one recorded day: both sides read, compared, judged, and a report of it kept beside the recording."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.config import InstrumentConfig
from engine.constants import ACTION_CLEAR, F_SNAPSHOT
from engine.errors import SourceError
from engine.feed.audit.bins import BinDifferences, compare_bins
from engine.feed.audit.compare import Edits, compare
from engine.feed.audit.judge import Findings, identities
from engine.feed.follow import Hole
from engine.feed.record.place import day_folder, recorded_segments, recording_holes
from engine.files import sha256_file, write_new
from engine.lake import RAW_SUFFIXES, Lake
from engine.run.replay import Replay
from engine.schema import MBO_DTYPE, MboRecords
from engine.source.contracts import root_of
from engine.source.dbn_file import DbnFile
from engine.source.records import open_source

_CHUNK: Final = 1 << 16
_RESTING: Final = ("order_id", "price", "size", "side")  # what a snapshot says; its times are its own


@dataclass(frozen=True)
class Part:
    """A file of a recording: ``n_made`` records at its front are the recorder's own and no feed's, ``hole`` lies before it."""

    path: Path
    n_made: int = 0
    hole: Hole | None = None


@dataclass(frozen=True)
class Audit:
    """What came of it."""

    symbol: str
    day: date
    n_ours: int
    n_official: int
    opening: Findings  # the snapshots that both begin with, order by order
    records: Findings
    bins: BinDifferences | None  # None where all records are the same bits, and so all bins

    @property
    def is_clean(self) -> bool:
        """Whether every difference has its reason."""
        return not self.opening.n_unexplained and not self.records.n_unexplained

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "symbol": self.symbol,
            "day": self.day.isoformat(),
            "is_clean": self.is_clean,
            "n_ours": self.n_ours,
            "n_official": self.n_official,
            "opening": self.opening.as_json(),
            "records": self.records.as_json(),
            "bins": None if self.bins is None else self.bins.as_json(),
        }


def recorded_parts(lake: Lake, symbol: str, day: date) -> tuple[list[Part], list[Hole]]:
    """A day's recording and the holes that it names.

    Raises
    ------
    SourceError
        Nothing was recorded.
    """
    parts = [Part(one.path, one.n_made, one.hole) for one in recorded_segments(lake, symbol, day)]
    if not parts:
        raise SourceError(f"{day_folder(lake, symbol, day)} holds no recording; name a day and a --symbol that were recorded")
    return parts, recording_holes(lake, symbol, day)


def official_files(lake: Lake, symbol: str, day: date) -> list[Path]:
    """The vendor's file of a contract and a day, where `download` puts it.

    Raises
    ------
    SourceError
        It is not there.
    """
    folder = lake.raw_dir(root_of(symbol) or symbol)
    named = f"{symbol.lower()}-"
    there = sorted(folder.glob(f"*{day:%Y%m%d}*"))
    found = [one for one in there if one.name.startswith(named) and one.name.endswith(RAW_SUFFIXES)]
    if len(found) != 1:
        raise SourceError(
            f"{folder} holds {len(found)} files of {symbol} and {day}; say: python -m engine download --symbols {symbol} "
            f"--start {day} --end {date.fromordinal(day.toordinal() + 1)}, or name the file with --official"
        )
    return found


def audit(
    parts: Sequence[Part],
    holes: Sequence[Hole],
    official: Sequence[Path],
    config: InstrumentConfig,
    day: date,
    before: Sequence[Path] = (),
) -> Audit:
    """Compare a recording with the official files, record by record and then bin by bin.

    Parameters
    ----------
    before
        An earlier delivery of the vendor's: what differs from it is the vendor's correction.

    Raises
    ------
    SourceError
        A file cannot be read to its end, or is another contract's.
    """
    theirs, ours = _Counted(_official_blocks(official, config.symbol)), _Counted(_recorded_blocks(parts, config.symbol))
    corrections = set()
    corrected_opening = set()
    if before:
        old_opening, old_rest = _opening(_official_blocks(before, config.symbol))
        new_opening, new_rest = _opening(_official_blocks(official, config.symbol))
        corrected_opening = identities(_compare_openings(old_opening, new_opening))
        corrections = identities(compare(old_rest, new_rest))
    our_opening, our_rest = _opening(ours.blocks())
    their_opening, their_rest = _opening(theirs.blocks())
    opening, records = Findings(holes, corrected_opening), Findings(holes, corrections)
    for edits in _compare_openings(our_opening, their_opening):
        opening.take(edits)
    for edits in compare(our_rest, their_rest):
        records.take(edits)
    bins = None
    if holes or opening.n or records.n or any(part.n_made for part in parts):
        bins = compare_bins(
            Replay(open_source([part.path for part in parts], config, day), config),
            Replay(open_source(official, config, day), config),
        )
    return Audit(config.symbol, day, ours.n, theirs.n, opening, records, bins)


def keep_report(told: Audit, parts: Sequence[Part], official: Sequence[Path], before: Sequence[Path]) -> Path:
    """Write a report beside the recording, under the time at which it was made; earlier ones stay."""
    now = datetime.now(UTC)
    sides = {"ours": [part.path for part in parts], "official": official, "before": before}
    files = {side: [{"path": str(path), "sha256": sha256_file(path)} for path in paths] for side, paths in sides.items()}
    path = parts[0].path.parent / f"audit-{now:%Y%m%dT%H%M%S.%fZ}.json"
    values = {"made_at": now.isoformat(timespec="milliseconds"), "files": files, **told.as_json()}
    write_new(path, json.dumps(values, indent=1).encode())
    return path


class _Counted:
    """Blocks as they go by, and how many records they were."""

    def __init__(self, blocks: Iterable[MboRecords]) -> None:
        self._blocks = blocks
        self.n = 0

    def blocks(self) -> Iterator[MboRecords]:
        for block in self._blocks:
            self.n += len(block)
            yield block


def _official_blocks(paths: Sequence[Path], symbol: str) -> Iterator[MboRecords]:
    for path in paths:
        yield from _whole(DbnFile(path, symbol), 0)


def _recorded_blocks(parts: Sequence[Part], symbol: str) -> Iterator[MboRecords]:
    """The feed's records; without the snapshot behind a hole, which no history has and the hole explains."""
    for part in parts:
        blocks = _whole(DbnFile(part.path, symbol), part.n_made)
        yield from _opening(blocks)[1] if part.hole is not None else blocks


def _whole(file: DbnFile, n_left_out: int) -> Iterator[MboRecords]:
    """A file's records from some number on; a broken end is an error."""
    for block in file.records(_CHUNK):
        if n_left_out < len(block):
            yield block[n_left_out:]
        n_left_out = max(0, n_left_out - len(block))
    if file.notices:
        raise SourceError(f"{file.notices[0]}; it cannot be compared, fetch it again")


def _opening(blocks: Iterator[MboRecords]) -> tuple[MboRecords, Iterator[MboRecords]]:
    """The snapshot at the front, and what follows."""
    front = [np.empty(0, MBO_DTYPE)]
    for block in blocks:
        is_other = block["flags"] & F_SNAPSHOT == 0
        n = int(np.argmax(is_other)) if is_other.any() else len(block)
        front.append(block[:n])
        if n < len(block):
            return np.concatenate(front), _chained(block[n:], blocks)
    return np.concatenate(front), iter(())


def _chained(first: MboRecords, rest: Iterator[MboRecords]) -> Iterator[MboRecords]:
    yield first
    yield from rest


def _compare_openings(ours: MboRecords, official: MboRecords) -> Iterator[Edits]:
    """What rests in one and not in the other, or elsewhere in its queue: a snapshot lists a price's orders in their order."""
    sides = []
    for one in (ours, official):
        orders = one[one["action"] != ACTION_CLEAR]
        orders = orders[np.lexsort((orders["price"], orders["side"]))]
        plain = np.zeros(len(orders), MBO_DTYPE)
        for name in _RESTING:
            plain[name] = orders[name]
        sides.append((orders, plain))
    (our_orders, our_plain), (their_orders, their_plain) = sides
    for edits in compare([our_plain], [their_plain]):
        yield Edits(
            edits.kind, edits.at, edits.ours_at,
            None if edits.official is None else _timed(edits.official, edits.at, their_orders),
            None if edits.ours is None else _timed(edits.ours, edits.ours_at, our_orders),
        )  # fmt: skip


def _timed(plain: MboRecords, at: Any, orders: MboRecords) -> MboRecords:
    """Orders of a snapshot with the times that it gives them."""
    out = plain.copy()
    for name in ("action", "flags", "ts_event", "ts_recv"):
        out[name] = orders[name][at]
    return out
