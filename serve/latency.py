"""How long a bin takes on its way out: a line of JSON for each, and the quantiles of every so many in the log."""

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from engine.constants import NS_PER_S
from engine.door import read_clock
from engine.errors import ConfigError
from engine.run.replay import SESSION_TZ
from serve.frames import BinFrames

logger = logging.getLogger(__name__)

SUMMARY_EVERY: Final = 200  # bins
_ZONE: Final = ZoneInfo(SESSION_TZ)
_QUANTILES: Final = (0.5, 0.95, 0.99)
# From which moment to which: first record taken up, last one, grid ready, sent.
_SPANS: Final = {
    "first_ingest_to_ready": (0, 2),
    "last_ingest_to_ready": (1, 2),
    "ready_to_sent": (2, 3),
    "first_ingest_to_sent": (0, 3),
    "last_ingest_to_sent": (1, 3),
}


@dataclass(frozen=True)
class Capture:
    """What is measured, and where it goes."""

    path: Path
    start: str | None = None  # HH:MM[:SS] in New York: bins that end before it are left out
    end: str | None = None  # bins that end at it or later are left out
    summary_every: int = SUMMARY_EVERY  # bins


def read_capture(path: Path | None, start: str | None, end: str | None, summary_every: int | None) -> Capture | None:
    """What the command line asks for; None where nothing is measured.

    Raises
    ------
    ConfigError
        A value is not allowed, cannot act, or the file cannot be written.
    """
    given = {"--perf-window-start-et": start, "--perf-window-end-et": end, "--perf-summary-every-bins": summary_every}
    if path is None:
        for flag, value in given.items():
            if value is not None:
                raise ConfigError(f"{flag} was {value}, and nothing is measured; name a file with --perf-latency-jsonl FILE")
        return None
    first = None if start is None else read_clock(start, "--perf-window-start-et")
    last = None if end is None else read_clock(end, "--perf-window-end-et")
    if first is not None and last is not None and last <= first:
        raise ConfigError(f"--perf-window-end-et was {end}; it must be after --perf-window-start-et, which is {start}")
    if summary_every is not None and summary_every < 1:
        raise ConfigError(f"--perf-summary-every-bins was {summary_every}; it must be at least 1")
    try:
        os.close(_open(path))
    except OSError as error:
        raise ConfigError(f"--perf-latency-jsonl {path} cannot be written: {error.strerror}; name another file") from None
    return Capture(path.resolve(), start, end, summary_every or SUMMARY_EVERY)


class LatencyLog:
    """The measured bins of one replica; several replicas append to one file, a whole line at a time."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._start = None if capture.start is None else read_clock(capture.start)
        self._end = None if capture.end is None else read_clock(capture.end)
        self._file: int | None = _open(capture.path)
        self._spans: list[tuple[float, ...]] = []  # microseconds, since the last summary

    def sent(self, stream: int, frames: BinFrames, sent_ns: int) -> None:
        """A bin has left.

        Parameters
        ----------
        stream : int
            Number of the stream in this replica.
        sent_ns : int
            UTC, by the clock that stamped the frames.
        """
        if self._file is None or not self._is_within(frames.bin_end_ns):
            return
        first_ns, last_ns = frames.ingest_ns, frames.last_ingest_ns or frames.ingest_ns
        moments = (first_ns, last_ns, frames.grid_ready_ns, sent_ns)
        spans = {name: (moments[end] - moments[begin]) / 1000 for name, (begin, end) in _SPANS.items()}
        line = {
            "stream": stream,
            "bin_seq": frames.bin_seq,
            "bin_end_ns": frames.bin_end_ns,
            "first_ingest_ns": first_ns,
            "last_ingest_ns": last_ns,
            "grid_ready_ns": frames.grid_ready_ns,
            "sent_ns": sent_ns,
        } | {f"{name}_us": span for name, span in spans.items()}
        try:
            os.write(self._file, f"{json.dumps(line)}\n".encode())
        except OSError as error:  # a full disk must not end a stream
            logger.error("%s: %s; latency is no longer measured", self._capture.path, error.strerror)
            self.close()
            return
        self._spans.append(tuple(spans.values()))
        if len(self._spans) == self._capture.summary_every:
            self._summarise()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_within(self, bin_end_ns: int) -> bool:
        seconds, rest_ns = divmod(bin_end_ns, NS_PER_S)
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000).astimezone(_ZONE).time()
        return (self._start is None or moment >= self._start) and (self._end is None or moment < self._end)

    def _summarise(self) -> None:
        spans, self._spans = self._spans, []
        quantiles = np.quantile(np.array(spans), _QUANTILES, axis=0)  # (quantile, span)
        told = []
        for name, column in zip(_SPANS, quantiles.T, strict=True):
            values = " ".join(f"p{100 * q:g} {value:.0f}" for q, value in zip(_QUANTILES, column, strict=True))
            told.append(f"{name.replace('_', ' ')} {values}")
        logger.info("latency of %d bins, us: %s", len(spans), "; ".join(told))


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
