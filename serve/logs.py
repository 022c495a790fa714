"""The service's own log: a line to read, or an object of JSON, each with the stream that it is about."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

STREAM: ContextVar[str] = ContextVar("stream", default="-")  # id of the stream whose task is running
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_OF_STREAM: Final = "%(asctime)s %(levelname)s %(name)s [%(stream)s]: %(message)s"


class _Text(logging.Formatter):
    """A line to read; a stream's with its id in brackets."""

    def __init__(self) -> None:
        super().__init__(_TEXT)
        self._of_stream = logging.Formatter(_OF_STREAM)

    def format(self, record: logging.LogRecord) -> str:
        record.stream = stream = _stream_of(record)
        return super().format(record) if stream == "-" else self._of_stream.format(record)


class _Json(logging.Formatter):
    """An object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ``stream`` where it is about one,
    ``exception`` where there is one, and what the call gave as ``extra={"fields": {…}}``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (stream := _stream_of(record)) != "-":
            line["stream"] = stream
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "fields", {}), default=str)


def tell(logger: logging.Logger, what: str, **fields: Any) -> None:
    """Log that something happened, with its particulars: behind the words in text, fields of their own in JSON."""
    particulars = " ".join(f"{name}={value}" for name, value in fields.items())
    logger.info("%s", f"{what} {particulars}".rstrip(), extra={"fields": {"event": what, **fields}})


def formatter(log_format: str) -> logging.Formatter:
    """What writes a record as ``text`` or as ``json``."""
    return _Json() if log_format == "json" else _Text()


def log_to_stderr(level: str, log_format: str) -> None:
    """Show our own log lines; Ray carries a worker's stderr to the terminal that started it, or keeps it in a file."""
    ours = logging.getLogger("serve")
    if not ours.handlers:
        ours.addHandler(logging.StreamHandler(sys.__stderr__))  # sys.stderr is Serve's here: warnings only, in a file
        ours.propagate = False
    ours.handlers[0].setFormatter(formatter(log_format))
    ours.setLevel(level)


def _stream_of(record: logging.LogRecord) -> str:
    """As it was where the record was made."""
    return str(getattr(record, "stream", STREAM.get()))
