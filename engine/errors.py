"""The errors a user can meet: one line each, saying what was given, what is allowed and how to mend it."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota, the size that one file may have


class EngineError(Exception):
    """Bad input to any part of the system; doors print it as one line and exit with code 2."""


class ConfigError(EngineError):
    """A value in a configuration, an override or a request is not allowed."""


class SourceError(EngineError):
    """An input file cannot be read as market-by-order data of the locked contract."""


class DatasetError(EngineError):
    """A dataset is missing, incomplete, damaged, or would be rewritten."""


class ChampionError(EngineError):
    """A champion cannot be loaded, promoted or rolled back."""


class WorkError(EngineError):
    """The input was fine, the work was not: what failed, what state it left, how to go on; doors exit with code 1."""


class SourceChangedError(SourceError, WorkError):
    """An input file is no longer what it was when it was opened; what was read of it is not used."""


def among(given: str, known: Iterable[str], most: int = 10) -> str:
    """What there is instead of an unknown name, for the end of an error line: names like it first, then the others."""
    names = list(known)
    near = get_close_matches(given, names, 3)
    others = [name for name in names if name not in near]
    there = ", ".join(others[:most]) + (f" and {len(others) - most} more" if len(others) > most else "")
    if not near:
        return f"there: {there or 'none'}"
    return f"nearest: {', '.join(near)}" + (f"; also there: {there}" if there else "")


def no_room(error: BaseException, go_on: str = "give the same command again") -> str:
    """What is said where a disk, or what one may have of it, is full; empty for every other error."""
    if not isinstance(error, OSError) or error.errno not in NO_ROOM:
        return ""
    where = f" for {error.filename}" if error.filename else ""
    return (
        f"no space left on the disk{where} ({errno.errorcode[error.errno]}); what stood stands, nothing half-written counts. "
        f"Free some space and {go_on}"
    )
