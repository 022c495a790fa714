"""What the live protocol says beside records: control lines before the session starts, system records within it.

Source: databento's Python client 0.88 (`live.gateway`, `common.cram`); the vendor's raw protocol: control messages are lines of
``key=value`` between ``|``.
"""

import hashlib
import hmac
import secrets
from typing import Any, Final

import databento_dbn as dbn
import numpy as np

from engine.constants import NS_PER_DAY, UNDEF_TIMESTAMP
from engine.errors import EngineError
from engine.feed.gateway.tape import Contract
from engine.schema import MboRecords

VERSION: Final = "0.6.0-loopback"
_BUCKET_LETTERS: Final = 5
_MAX_LINE_BYTES: Final = 64 << 10
_TS_OUT_WORDS: Final = 2
# Errors that end no session, by the vendor's table (2026).
BORNE: Final[tuple[Any, ...]] = (dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED, dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING)


class BadLine(EngineError):
    """A control line that is none."""


def read_line(line: bytes) -> dict[str, str]:
    """The fields of a control line.

    Raises
    ------
    BadLine
        It is not one.
    """
    if not line.endswith(b"\n") or len(line) > _MAX_LINE_BYTES:
        raise BadLine("a control message must be one line")
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise BadLine("a control message must be text") from None
    fields = {key: value for key, _, value in (pair.partition("=") for pair in text.split("|"))}
    if not all(fields):
        raise BadLine("a control message must be of key=value pairs")
    return fields


def line_of(**fields: object) -> bytes:
    """A control line."""
    return ("|".join(f"{key}={value}" for key, value in fields.items()) + "\n").encode()


def new_challenge() -> str:
    """What the client has to answer for."""
    return secrets.token_hex(16)


def is_answered(challenge: str, key: str, answer: str) -> bool:
    """Whether a client proved that it has the key."""
    digest = hashlib.sha256(f"{challenge}|{key}".encode()).hexdigest()
    return hmac.compare_digest(answer, f"{digest}-{key[-_BUCKET_LETTERS:]}")


def head(dataset: str, start_ns: int, has_ts_out: bool) -> bytes:
    """The metadata that open a live session: of no schema and no symbols, which only its subscriptions name."""
    return bytes(
        dbn.Metadata(
            dataset=dataset,
            start=start_ns,
            stype_in=None,
            stype_out=dbn.SType.from_str("instrument_id"),
            schema=None,
            end=UNDEF_TIMESTAMP,
            ts_out=has_ts_out,
            version=3,
        )
    )


def mapping(asked: str, stype_in: str, one: Contract, publisher: int, now_ns: int, ts_out: int) -> bytes:
    """Which instrument a symbol that was asked for stands for today."""
    day = now_ns // NS_PER_DAY * NS_PER_DAY
    return bytes(
        dbn.SymbolMappingMsg(
            publisher_id=publisher,
            instrument_id=one.instrument_id,
            ts_event=now_ns,
            stype_in=dbn.SType.from_str(stype_in),
            stype_in_symbol=asked,
            stype_out=dbn.SType.from_str("raw_symbol"),
            stype_out_symbol=one.symbol,
            start_ts=day,
            end_ts=day + NS_PER_DAY,
            ts_out=ts_out,
        )
    )


def system(text: str, code: Any, now_ns: int, ts_out: int) -> bytes:
    """Something that is no error."""
    return bytes(dbn.SystemMsg(ts_event=now_ns, msg=text, code=code, ts_out=ts_out))


def error(text: str, code: Any, now_ns: int, ts_out: int) -> bytes:
    """Something that is one."""
    return bytes(dbn.ErrorMsg(ts_event=now_ns, err=text, code=code, ts_out=ts_out))


def as_sent(records: MboRecords, ts_out: int) -> bytes:
    """Records as bytes, each with the time of sending behind it unless that is ``UNDEF_TIMESTAMP``."""
    if ts_out == UNDEF_TIMESTAMP:
        return records.tobytes()
    wide = np.empty(len(records), [("record", records.dtype), ("ts_out", "<u8")])
    wide["record"] = records
    wide["record"]["length"] += _TS_OUT_WORDS
    wide["ts_out"] = ts_out
    return wide.tobytes()


def error_code(number: int) -> Any:
    """DBN's error code of a number; that of an internal error where there is none."""
    return _among(dbn.ErrorCode, number, dbn.ErrorCode.INTERNAL_ERROR)


def system_code(number: int) -> Any:
    """DBN's system code of a number; that of a heartbeat where there is none."""
    return _among(dbn.SystemCode, number, dbn.SystemCode.HEARTBEAT)


def words_of(code: Any) -> str:
    """A code's name as a message."""
    return str(code).replace("_", " ").capitalize()


def _among(codes: Any, number: int, otherwise: Any) -> Any:
    return next((one for one in codes.variants() if int(one) == number), otherwise)
