"""How a stream ends: a text that says why, then the close code."""

import logging
from typing import Final

from engine.errors import EngineError, SourceChangedError
from serve.frames import message
from serve.send_queue import Close
from serve.words import without_paths

logger = logging.getLogger(__name__)

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
BAD_REQUEST: Final = 1008
SERVER_FAULT: Final = 1011
TRY_LATER: Final = 1013
_REASON_BYTES: Final = 120  # a close frame holds 123


class BusyError(EngineError):
    """The replica does as much as it may; later, or elsewhere, there is room."""


def error_close(code: str, text: str, close_code: int, resume_from: int | None = None) -> Close:
    """An ``error`` and its close code; ``resume_from`` is where a client goes on that connects again.

    It is told what is wrong with a file, not where that lies.
    """
    text = without_paths(text)
    reason = text.encode()[:_REASON_BYTES].decode(errors="ignore")
    place = {} if resume_from is None else {"resume_from": resume_from}
    return Close(message("error", code=code, message=text, **place), close_code, reason)


def end_of(n_bins: int) -> Close:
    """The end of the data."""
    return Close(message("end", bins=n_bins), NORMAL, "end of the data")


def close_for(error: Exception) -> Close:
    """What a client is told of an error that ended its replay, and the log where it is none of the client's."""
    if isinstance(error, SourceChangedError):
        # No wish of this client's was at fault; the other streams of the replica go on.
        logger.warning("a stream ended: %s", error)
        return error_close("source_changed", str(error), SERVER_FAULT)
    if isinstance(error, BusyError):
        return error_close("busy", str(error), TRY_LATER)
    if isinstance(error, EngineError):
        return error_close("bad_request", str(error), BAD_REQUEST)
    logger.error("a stream failed", exc_info=error)
    return error_close("server_fault", f"the server failed: {type(error).__name__}; see its log", SERVER_FAULT)
