"""One version's live record and what it says of the promise: what `/health` and ``promote --show`` tell."""

from typing import Any, Final

from engine.champion import Champion
from engine.errors import EngineError
from engine.lake import Lake
from engine.trades.evidence import Evidence
from engine.trades.record import LiveRecord

ON_TRIAL: Final = "on_trial"


def standing_of(champion: Champion, evidence: Evidence | None) -> str:
    """``proven``, ``not_proven`` or ``forced`` as the gate left it; ``on_trial`` once the live record has broken the promise."""
    return ON_TRIAL if evidence is not None and evidence.is_broken else champion.standing


def told(champion: Champion, record: LiveRecord, evidence: Evidence, trouble: str) -> dict[str, Any]:
    """A live record for JSON; ``trouble`` says why it is broken or not written, and is empty where all is well."""
    return {
        **evidence.told(),
        "state": standing_of(champion, evidence),
        "line": trouble or evidence.line,
        "n_entries": record.n_entries,
        "n_open": record.n_open,
        "head": record.head,
        "trouble": trouble or None,
    }


def checked_track(lake: Lake, champion: Champion) -> tuple[str, dict[str, Any] | None]:
    """The standing of a version and its live record, every link of it checked; no record where there is no promise."""
    if champion.promise is None:
        return standing_of(champion, None), None
    evidence, trouble = Evidence(champion.promise), ""
    record = LiveRecord(lake, champion.version, evidence.take)
    try:
        record.verify()
        record.refresh()
    except (EngineError, OSError) as error:
        trouble = str(error)
    return standing_of(champion, evidence), told(champion, record, evidence, trouble)
