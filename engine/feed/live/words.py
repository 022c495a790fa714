"""What a live session says beside records: system and error records as one line each, and what follows from them.

Source: Databento, "Errors" and "System messages" of the live API (2026): which errors end the session; an unresolved symbol does
not, from April 2026 on.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import databento_dbn as dbn

from engine.constants import NS_PER_S

# ``note``: for the record; ``warning``: for people; ``lost``: this connection is of no use any more; ``aged``: nor is its replay;
# ``limit``: refused for a while; ``final``: no other try can mend it.
Weight = Literal["note", "alive", "replayed", "mapping", "warning", "lost", "aged", "subscription", "limit", "final"]

_SYSTEM: Final[dict[Any, tuple[Weight, str]]] = {
    dbn.SystemCode.HEARTBEAT: ("alive", "heartbeat"),
    dbn.SystemCode.SUBSCRIPTION_ACK: ("note", "the vendor has taken the subscription"),
    dbn.SystemCode.SLOW_READER_WARNING: (
        "warning",
        "the vendor finds that we read too slowly; nothing is left out, it comes late",
    ),
    dbn.SystemCode.REPLAY_COMPLETED: ("replayed", "the replay has come up to the present"),
    dbn.SystemCode.END_OF_INTERVAL: ("note", "an interval of the feed has ended"),
    dbn.SystemCode.UNSUBSCRIBE_ACK: ("note", "the vendor has ended the subscription"),
}
_ERRORS: Final[dict[Any, tuple[Weight, str]]] = {
    dbn.ErrorCode.AUTH_FAILED: ("final", "the vendor does not take the key; give the right one"),
    dbn.ErrorCode.API_KEY_DEACTIVATED: ("final", "the key has been switched off; make another at the vendor's and give it"),
    dbn.ErrorCode.CONNECTION_LIMIT_EXCEEDED: (
        "limit",
        "the key has all connections that it may have; end another, or ask for more",
    ),
    dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED: ("final", "the vendor does not know the contract today; name one that trades"),
    dbn.ErrorCode.INVALID_SUBSCRIPTION: ("subscription", "the vendor does not take the subscription; look at dataset and symbol"),
    dbn.ErrorCode.INTERNAL_ERROR: ("lost", "the vendor's gateway failed; another connection is tried"),
    dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING: ("lost", "the vendor left records out; they are asked for again"),
    dbn.ErrorCode.REPLAY_DATA_AGED_OUT: ("aged", "the vendor's replay does not reach back so far; a snapshot is asked for"),
}
_DECODED_VERSION: Final = 3  # the client brings every record to it


@dataclass(frozen=True)
class Word:
    """One thing said: how much it weighs, the line for people, when (UTC ns), and of a mapping the id and its symbols."""

    weight: Weight
    line: str
    ts_ns: int
    instrument_id: int = 0
    symbols: tuple[str, ...] = ()  # that was asked for, and that it stands for


def read_word(data: bytes) -> Word:
    """A record that is none of the market's, as the client hands its bytes on."""
    record: Any
    (record,) = dbn.DBNDecoder(has_metadata=False, input_version=_DECODED_VERSION).write_and_decode(data)
    ts_ns = int(record.ts_event)
    if isinstance(record, dbn.SymbolMappingMsg):
        symbols = str(record.stype_in_symbol), str(record.stype_out_symbol)
        line = f"{symbols[0]} is {symbols[1]}, instrument id {record.instrument_id}"
        return Word("mapping", line, ts_ns, int(record.instrument_id), symbols)
    if isinstance(record, dbn.SystemMsg):
        weight, line = _SYSTEM.get(record.code, ("warning", "a system message that we do not know"))
        return Word(weight, _with(line, record.msg, weight not in ("alive", "replayed")), ts_ns)
    if isinstance(record, dbn.ErrorMsg):
        weight, line = _ERRORS.get(record.code, ("warning", "an error that we do not know"))
        return Word(weight, _with(line, record.err, True), ts_ns)
    return Word("note", f"a record of another kind came: {type(record).__name__}", ts_ns)


def refusal(text: str) -> Weight:
    """What an authentication that was answered with ``text`` means: the protocol gives no code before a session starts."""
    said = text.lower()
    if "limit" in said:
        return "limit"
    is_final = any(word in said for word in ("auth", "key", "dataset", "licen", "permission", "entitle", "deactivated"))
    return "final" if is_final else "lost"


def in_seconds(ns: int) -> str:
    """Some nanoseconds for people."""
    return f"{ns / NS_PER_S:.3f} s"


def _with(line: str, said: str, is_told: bool) -> str:
    told = " ".join(said.split())
    return f"{line} ({told!r})" if is_told and told else line
