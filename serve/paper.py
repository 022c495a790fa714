"""The champion traded on paper by the streams that show it, and the live record that comes of it.

A stream only computes and hands over; one thread of the replica writes. Replicas and nodes write to the same record in turn.
"""

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from engine.champion import Champion, Promise
from engine.errors import EngineError
from engine.lake import Lake
from engine.run.block import BinBlock
from engine.schema import Ints
from engine.trades.evidence import Evidence
from engine.trades.paper import Closed, Opened, PaperTrader, acting_score, plan_of
from engine.trades.record import LiveRecord
from engine.trades.track import standing_of, told
from serve.backlog import Backlog
from serve.settings import INSTRUMENT

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What a stream shows, as every entry of the record names it."""

    source: str  # replay or live
    file: str  # name of the raw file
    symbol: str
    start_ns: int  # of the session's first bin, UTC
    hours: Ints = field(repr=False, compare=False)  # (m, 2) open trading, UTC ns

    @property
    def session(self) -> str:
        """Names the same bins in every stream that shows them."""
        return f"{self.symbol}@{self.start_ns}"


class PaperBook:
    """The paper trades of one champion in one stream."""

    def __init__(self, desk: "PaperDesk", champion: Champion, promise: Promise, seen: Seen, first_bin: int) -> None:
        self._desk, self._champion, self._seen = desk, champion, seen
        self._trader = PaperTrader(plan_of(promise.plan), promise.fill, promise.fee_ticks, first_bin, seen.hours)
        self._is_left = False

    @property
    def n_open(self) -> int:
        """Trades under way."""
        return self._trader.n_open

    @property
    def is_done(self) -> bool:
        """Whether another signal scores by now and nothing is open."""
        return self._is_left and self._trader.is_done

    def leave(self) -> None:
        """Another signal scores from the next bin on: nothing fires any more, what is open is followed to its end."""
        self._is_left = True

    def update(self, block: BinBlock) -> None:
        """Take in the next bins."""
        score = None
        if not self._is_left and block.outputs is not None:
            score = acting_score(block.outputs, self._trader.masked)
        self._hand_over(self._trader.update(block.bins, score))

    def finish(self) -> None:
        """The data are over: what is open is left at the last price."""
        self._hand_over(self._trader.finish())

    def _hand_over(self, happened: "list[Opened | Closed] | list[Closed]") -> None:
        if happened:
            self._desk.submit(self._champion, [_entry(one, self._seen) for one in happened])


@dataclass
class _Kept:
    """One version's record in this replica."""

    record: LiveRecord
    evidence: Evidence
    trouble: str = ""
    since: str = ""  # of the trouble, ISO 8601, UTC
    only_read: bool = False  # the trouble was met in reading: it is over once reading succeeds


class PaperDesk:
    """The live records of one replica, by version; any thread may ask or hand over."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._kept: dict[int, _Kept] = {}
        self._lock = threading.Lock()
        self._writer = Backlog("live record")

    def open(self, champion: Champion | None, seen: Seen, first_bin: int) -> PaperBook | None:
        """Begin to trade a champion in a stream, from a bin on; None where it promised nothing, or cannot be traded."""
        if champion is None or champion.promise is None:
            return None
        try:
            return PaperBook(self, champion, champion.promise, seen, first_bin)
        except EngineError as error:
            self._note(champion, str(error))
            return None

    def submit(self, champion: Champion, entries: list[dict[str, Any]]) -> None:
        """Have entries written, in order, without waiting."""
        at = _now()
        self._writer.put(lambda: self._append(champion, [{**entry, "written_at": at} for entry in entries]))

    def close(self) -> None:
        """Write what is still to be written, and end."""
        self._writer.close()

    def flush(self) -> None:
        """Wait until what was handed over so far is written, or was tried in vain once more."""
        self._writer.flush()

    def standing(self, champion: Champion | None) -> str:
        """``instrument``, ``proven``, ``not_proven`` or ``forced`` as the gate left it, or ``on_trial`` by the live record."""
        if champion is None:
            return INSTRUMENT
        evidence = self._read(champion).evidence if champion.promise is not None else None
        return standing_of(champion, evidence)

    def line(self, champion: Champion | None) -> str | None:
        """The live record in words; None where there is no promise."""
        if champion is None or champion.promise is None:
            return None
        kept = self._read(champion)
        return kept.trouble or kept.evidence.line

    def told(self, champion: Champion) -> dict[str, Any] | None:
        """The live record for ``/health``; None where there is no promise."""
        if champion.promise is None:
            return None
        kept = self._read(champion)
        return told(champion, kept.record, kept.evidence, kept.trouble)

    def trouble(self, champion: Champion) -> dict[str, str] | None:
        """Why a champion's record is broken, not written, or not begun, ``message`` and ``since``; None where all is well."""
        kept = self._read(champion) if champion.promise is not None else None
        return {"message": kept.trouble, "since": kept.since} if kept is not None and kept.trouble else None

    def _append(self, champion: Champion, entries: list[dict[str, Any]]) -> None:
        with self._lock:
            kept = self._of(champion)
            try:
                kept.record.append(entries)
                kept.trouble = ""
            except (EngineError, OSError) as error:
                self._trouble(kept, champion, f"the live record is not written: {error}")
                if isinstance(error, OSError):
                    raise  # to be tried again: what lies behind it waits

    def _read(self, champion: Champion) -> _Kept:
        """What the record says by now, others' entries included."""
        with self._lock:
            kept = self._of(champion)
            try:
                kept.record.refresh()
                if kept.only_read:
                    kept.trouble, kept.only_read = "", False
            except (EngineError, OSError) as error:
                if not kept.trouble or kept.only_read:
                    self._trouble(kept, champion, str(error))
                    kept.only_read = True
        return kept

    def _note(self, champion: Champion, text: str) -> None:
        with self._lock:
            self._trouble(self._of(champion), champion, text)

    def _of(self, champion: Champion) -> _Kept:
        kept = self._kept.get(champion.version)
        if kept is None:
            assert champion.promise is not None
            evidence = Evidence(champion.promise)
            kept = _Kept(LiveRecord(self._lake, champion.version, evidence.take), evidence)
            self._kept[champion.version] = kept
        return kept

    @staticmethod
    def _trouble(kept: _Kept, champion: Champion, text: str) -> None:
        if kept.trouble != text:
            logger.error("champion version %d: %s", champion.version, text)
            kept.trouble, kept.since, kept.only_read = text, _now(), False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _entry(one: Opened | Closed, seen: Seen) -> dict[str, Any]:
    """What the record keeps of an opened or an ended trade."""
    common = {"session": seen.session, "bin": one.fired, "entry_bin": one.entry, "side": "buy" if one.sign > 0 else "sell"}
    if isinstance(one, Opened):
        return {
            "kind": "open",
            **common,
            "source": seen.source,
            "file": seen.file,
            "session_start_ns": seen.start_ns,
            "entry_ns": one.entry_ns,
            "price_int": one.price_int,
        }
    return {
        "kind": "close",
        **common,
        "exit_bin": one.exit,
        "exit_ns": one.exit_ns,
        "reason": one.reason,
        "met_gap": one.met_gap,
        "gross_ticks": one.gross_ticks,
        "net_ticks": one.net_ticks,
    }
