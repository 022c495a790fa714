"""The champion traded on paper by the streams that show it, and the live record that comes of it.

A stream only computes and hands over; one thread of the replica writes. Replicas and nodes write to the same record in turn.

On the wire a bin's header bears under ``model_trades`` what became of the champion's trades in it (`ModelTrade`), in order of
time; where nothing did, which is most bins, the name is missing. What is open when the data end is told with the ``end``.
"""

import json
import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NotRequired, TypedDict

import numpy as np

from engine.champion import Champion, Promise
from engine.errors import ConfigError, EngineError
from engine.jit import source_hash
from engine.lake import Lake
from engine.run.block import BinBlock
from engine.schema import Ints, pack, unpack
from engine.trades.evidence import Evidence
from engine.trades.paper import Closed, Opened, PaperTrader, acting_score, plan_of
from engine.trades.record import LiveRecord
from engine.trades.track import standing_of, told
from serve.backlog import Backlog
from serve.paper_states import PaperStates
from serve.settings import INSTRUMENT

logger = logging.getLogger(__name__)

_KIND: Final = "paper book"


@dataclass(frozen=True)
class Seen:
    """What a stream shows, as every entry of the record names it."""

    source: str  # replay or live
    file: str  # name of the raw file
    symbol: str
    start_ns: int  # of the session's first bin, UTC
    hours: Ints = field(repr=False, compare=False)  # (m, 2) open trading, UTC ns
    data: str = ""  # names the file's content and the instrument's values, which decide the bins

    @property
    def session(self) -> str:
        """Names the same bins in every stream that shows them."""
        return f"{self.symbol}@{self.start_ns}"


class ModelTrade(TypedDict):
    """One trade as the wire tells it, once when it is entered and once when its end is known; 64-bit integers are text.

    The end bears all that the entry did, so that whoever came in between can draw the trade. Times and bins are the trade's own:
    what ends before a close or a roll is known only some bins after its exit.
    """

    id: str  # champion's version and the bin that fired, ``3-1042``: the same in whatever stream shows the session
    side: str  # ``buy`` or ``sell``
    price_int: str  # paid or received at the entry, 1e-9 dollars
    take_profit_price_int: str  # barriers: where the other side of the market must come to,
    stop_price_int: str  # whichever comes first
    fired_bin: int
    entry_bin: int
    entry_ns: str  # UTC, end of the entry's bin
    outcome: str | None  # None while it is open; then tp, sl, timeout, cut (the data ended), close, roll or gap
    pnl_ticks: float | None  # None while it is open; then net of fees
    exit_bin: NotRequired[int]
    exit_ns: NotRequired[str]
    gross_ticks: NotRequired[float]
    met_gap: NotRequired[bool]  # a gap of the record lay on the way


class PaperBook:
    """The paper trades of one champion in one stream."""

    def __init__(self, desk: "PaperDesk", champion: Champion, promise: Promise, seen: Seen, first_bin: int) -> None:
        self._desk, self._champion, self._seen = desk, champion, seen
        plan = plan_of(promise.plan)
        self._barriers = int(plan.tp[0]), int(plan.sl[0])  # from the price paid or received, 1e-9 dollars
        self._trader = PaperTrader(plan, promise.fill, promise.fee_ticks, first_bin, seen.hours)
        self._is_left = False
        self._entered: dict[int, ModelTrade] = {}  # what is open, by the bin that fired
        text = f"{champion.model_dump_json()} {seen.session} {seen.data} {source_hash()}"
        self._whose = sha256(text.encode()).hexdigest()[:32]
        self.n_bins = first_bin  # of the session, seen so far

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

    def update(self, block: BinBlock) -> list[list[ModelTrade]]:
        """Take in the next bins; for each, what became of trades in it."""
        score = None
        if not self._is_left and block.outputs is not None:
            score = acting_score(block.outputs, self._trader.masked)
        told = []
        for i in range(block.n):  # each bin tells its own, and a state is kept where it is due, however long the block
            one = slice(i, i + 1)
            told.append(self._hand_over(self._trader.update(block.bins[one], None if score is None else score[one])))
            self.n_bins = int(block.bins["bin_seq"][i]) + 1
            if not self._is_left and self._desk.states.is_due(self.n_bins):
                self._desk.states.keep(self._whose, self.n_bins, self._snapshot())
        return told

    def resume(self, n_bins: int) -> bool:
        """Go on from the last state kept at or before a bin; whether there was one, and ``n_bins`` where it stands then."""
        kept = self._desk.states.last(self._whose, n_bins)
        if kept is None:
            return False
        try:
            arrays = unpack(_KIND, self._whose, kept[1])
            self._trader.restore(arrays["trader"].tobytes())
        except ConfigError as error:
            logger.warning("trades on paper begin anew: %s", error)
            return False
        self._entered = {one["fired_bin"]: one for one in json.loads(arrays["entered"].tobytes())}
        self.n_bins = kept[0]
        return True

    def _snapshot(self) -> bytes:
        entered = json.dumps(list(self._entered.values())).encode()
        parts = {"trader": self._trader.snapshot(), "entered": entered}
        return pack(_KIND, self._whose, {name: np.frombuffer(part, np.uint8) for name, part in parts.items()})

    def finish(self) -> list[ModelTrade]:
        """The data are over: what is open is left at the last price, and told."""
        return self._hand_over(self._trader.finish())

    def _hand_over(self, happened: "list[Opened | Closed] | list[Closed]") -> list[ModelTrade]:
        if happened:
            self._desk.submit(self._champion, [_entry(one, self._seen) for one in happened])
        return [self._opened(one) if isinstance(one, Opened) else self._closed(one) for one in happened]

    def _opened(self, one: Opened) -> ModelTrade:
        take_profit, stop = self._barriers
        told = ModelTrade(
            id=f"{self._champion.version}-{one.fired}",
            side=_side(one),
            price_int=str(one.price_int),
            take_profit_price_int=str(one.price_int + one.sign * take_profit),
            stop_price_int=str(one.price_int - one.sign * stop),
            fired_bin=one.fired,
            entry_bin=one.entry,
            entry_ns=str(one.entry_ns),
            outcome=None,
            pnl_ticks=None,
        )
        self._entered[one.fired] = told
        return told

    def _closed(self, one: Closed) -> ModelTrade:
        ended = ModelTrade(**self._entered.pop(one.fired))
        ended["outcome"], ended["pnl_ticks"] = one.reason, one.net_ticks
        ended["exit_bin"], ended["exit_ns"] = one.exit, str(one.exit_ns)
        ended["gross_ticks"], ended["met_gap"] = one.gross_ticks, one.met_gap
        return ended


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

    def __init__(self, lake: Lake, states: PaperStates | None = None) -> None:
        self._lake = lake
        self.states = states or PaperStates(lake.cache / "paper")
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
        self.states.close()

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


def _side(one: Opened | Closed) -> str:
    return "buy" if one.sign > 0 else "sell"


def _entry(one: Opened | Closed, seen: Seen) -> dict[str, Any]:
    """What the record keeps of an opened or an ended trade."""
    common = {"session": seen.session, "bin": one.fired, "entry_bin": one.entry, "side": _side(one)}
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
