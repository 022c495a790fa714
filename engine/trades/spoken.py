"""Which model spoke at which bin: a chained record of every stretch of bins that a model scored in some session.

``lake/models/spoken/<SYMBOL>.jsonl`` is an `engine.trades.chain.Chain`; the ``prev`` of its first entry is the SHA-256 of the
symbol. An entry of kind ``from`` says that a model scores a session from a bin on, one of kind ``until`` which bin it no longer
scored. A session is the symbol and the start of its first bin, so the same hours shown twice by the same model are one stretch;
a stretch without an ``until`` belongs to a session that runs, or was killed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from engine.lake import Lake
from engine.trades.chain import Chain, Entry, Kind, text_of


@dataclass(frozen=True)
class Stretch:
    """Bins ``first`` to ``until`` (not included; None where no end is on record) of a session, scored by one model.

    ``start_ns`` is the start of the session's bin 0, UTC; ``width_ns`` of each; ``since`` when the model first spoke, ISO 8601.
    """

    session: str
    start_ns: int
    width_ns: int
    day: str
    file: str
    source: str
    first: int
    until: int | None
    model: Mapping[str, Any]
    since: str

    def holds(self, bin_seq: int) -> bool:
        """Whether the model spoke at a bin."""
        return self.first <= bin_seq and (self.until is None or bin_seq < self.until)

    def bin_at(self, ts_ns: int) -> int:
        """The session's bin that holds a moment, UTC ns; negative before its first."""
        return (ts_ns - self.start_ns) // self.width_ns


def spoken_path(lake: Lake, symbol: str) -> Path:
    """File of one symbol's record."""
    return lake.models / "spoken" / f"{symbol}.jsonl"


def symbols_spoken(lake: Lake) -> list[str]:
    """Symbols that have a record."""
    folder = lake.models / "spoken"
    return sorted(path.stem for path in folder.glob("*.jsonl")) if folder.is_dir() else []


def model_hash(name: str, parameters: Mapping[str, Any], fitted: str | None) -> str:
    """SHA-256 of a signal's name, its resolved parameters, and the hash of the fitted state it began with."""
    return sha256(text_of({"name": name, "parameters": dict(parameters), "fitted": fitted}).encode()).hexdigest()


class SpokenRecord(Chain):
    """One symbol's record.

    Attributes
    ----------
    stretches : dict
        By session, first bin and the model's hash, in the order in which they came.
    """

    def __init__(self, lake: Lake, symbol: str) -> None:
        self.stretches: dict[tuple[str, int, str], Stretch] = {}
        kind = Kind(f"the record of who spoke for {symbol}", "the symbol", _key)
        super().__init__(spoken_path(lake, symbol), kind, lambda: sha256(symbol.encode()).hexdigest())

    def _see(self, entry: Entry) -> None:
        name = (entry["session"], entry["bin"], entry["model"]["sha256"])
        known = self.stretches.get(name)
        if entry["kind"] == "from":
            self.stretches[name] = _stretch(entry)
        elif known is not None:
            self.stretches[name] = replace(known, until=max(known.until or 0, entry["until"]))

    def at(self, ts_ns: int) -> list[tuple[Stretch, int]]:
        """Every stretch that holds a moment, UTC ns, and the bin in it, in the order of the record, whatever clocks said."""
        found = [(one, one.bin_at(ts_ns)) for one in self.stretches.values()]
        return [(one, seq) for one, seq in found if one.holds(seq)]

    def on(self, day: str) -> list[Stretch]:
        """Every stretch of a day's sessions, by session and bin."""
        return sorted((s for s in self.stretches.values() if s.day == day), key=lambda s: (s.start_ns, s.first))


def _stretch(entry: Entry) -> Stretch:
    return Stretch(
        session=entry["session"],
        start_ns=entry["start_ns"],
        width_ns=entry["width_ns"],
        day=entry["dt"],
        file=entry["file"],
        source=entry["source"],
        first=entry["bin"],
        until=None,
        model=entry["model"],
        since=entry["at"],
    )


def _key(entry: Entry) -> tuple[str, str, int, str, int]:
    until = entry["until"] if entry["kind"] == "until" else -1
    return str(entry["kind"]), str(entry["session"]), int(entry["bin"]), str(entry["model"]["sha256"]), int(until)
