"""Figures of a run: processors and memory of a process, lags of the bins."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.serving.client import Client

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    """A process under load, and where it listens."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def rss_mb(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def n_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@contextlib.contextmanager
def served(kind: str, what: object, number: object) -> Iterator[Process]:
    """One of `tests.bench.serving.served`, until the block ends."""
    command = [sys.executable, "-m", "tests.bench.serving.served", kind, str(what), str(number)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Process(process.pid, int(process.stdout.readline()))
        finally:
            process.stdin.close()


@contextlib.contextmanager
def used(process: Process, figures: dict[str, float]) -> Iterator[None]:
    """Add to the figures what share of a processor it used meanwhile, and this process beside it."""
    began, cpu_s, own_s = time.monotonic(), process.cpu_s(), time.process_time()
    yield
    took = time.monotonic() - began
    figures["cpu"] = (process.cpu_s() - cpu_s) / took
    figures["generator_cpu"] = (time.process_time() - own_s) / took


def lags_ms(clients: Sequence[Client], since: float, period_s: float, *, private: bool) -> np.ndarray:
    """How late each bin came, milliseconds.

    The server's schedule is not known here: what came earliest against its number sets it, of all clients of a session, or of
    each client where it has a session of its own.
    """
    lates = []
    for client in clients:
        arrivals = np.frombuffer(client.arrivals, np.float64)
        late = (arrivals - np.frombuffer(client.bins, np.int64) * period_s)[arrivals >= since]
        if len(late):
            lates.append(late - late.min() if private else late)
    if not lates:
        return np.array([np.nan])
    all_of_them = np.concatenate(lates)
    return 1e3 * (all_of_them - all_of_them.min())


def quantiles(values: Sequence[float] | np.ndarray, *which: float) -> list[float]:
    return (
        [round(float(value), 3) for value in np.quantile(np.asarray(values, float), which)]
        if len(values)
        else [float("nan")] * len(which)
    )
