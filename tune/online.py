"""A signal as a stream would drive it: one bin a call, fits included, each call timed, and the outputs those of the batch.

Bins come as fast as they are taken. A fit that a learned signal has under way runs beside the calls, as it does live; where a
bin would adopt one that is not done yet, the simulator waits off the clock and notes for how long: live, the signal has
``refit_delay_bins`` of wall time for it, and what takes longer would come late there.

Source: signals.md sections 8 and 14, item 26.
"""

import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from engine.schema import Ints, Outputs
from engine.signals.base import SignalLike, signal_inputs
from engine.signals.registry import make_signal
from tune.errors import RunFailedError
from tune.trial import Market

PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
_RSS_PER_MB: Final = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes, Linux KiB


@dataclass(frozen=True)
class OnlineReport:
    """What one run of a session through ``update`` came to. Latencies in microseconds, of single calls.

    ``cpu_us`` counts only the time the calling thread had a processor: what a busy machine adds is ``latency_us`` less this.
    """

    signal: str
    n_bins: int
    n_ready: int
    bin_budget_ms: float
    latency_us: dict[str, float]  # wall time: p50, p95, p99, p99_9, max, mean
    cpu_us: dict[str, float]
    over_budget: float  # share of the bins
    p99_budget_pct: float
    n_fits: int
    n_late_fits: int  # that a stream at this bin width would have had to hold the old fit for
    longest_fit_wait_ms: float
    peak_rss_mb: float
    rss_delta_mb: float
    state_bytes: int  # of a snapshot at the end
    batch_us_per_bin: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def simulate_online(signal: str, parameters: dict[str, Any], market: Market, bin_budget_ms: float) -> OnlineReport:
    """Drive a signal over a whole session, bin by bin.

    Raises
    ------
    ConfigError
        Unknown signal, a parameter that is not allowed, or one that reads later bins.
    RunFailedError
        The outputs are not those of the batch, bit for bit; the first bin that differs is named.
    """
    began_rss = _peak_rss_mb()
    scorer = make_signal(signal, parameters, market.context)
    scorer.warmup()
    columns = signal_inputs(scorer, market.columns, market.bins)
    n = len(market.ts_ns)
    width_s = market.context.cell_width_ms / 1000.0
    taken, busy = np.zeros(n, np.int64), np.zeros(n, np.int64)
    outputs: list[Outputs] = []
    late, longest = 0, 0.0
    for t in range(n):
        rows = {name: column[t] for name, column in columns.items()}
        waited = _settle(scorer)
        longest = max(longest, waited)
        late += waited > _delay_bins(scorer) * width_s
        began_cpu, began = time.thread_time_ns(), time.perf_counter_ns()
        out = scorer.update(rows)
        taken[t], busy[t] = time.perf_counter_ns() - began, time.thread_time_ns() - began_cpu
        outputs.append(out)
    peak = _peak_rss_mb()
    began_batch = time.perf_counter()
    batch = make_signal(signal, parameters, market.context).run(columns)
    batch_s = time.perf_counter() - began_batch
    _require_equal(np.array(outputs, batch.dtype), batch, signal)
    return OnlineReport(
        signal=signal,
        n_bins=n,
        n_ready=int(batch["ready"].sum()),
        bin_budget_ms=bin_budget_ms,
        latency_us=_latencies(taken),
        cpu_us=_latencies(busy),
        over_budget=float((taken > bin_budget_ms * 1e6).mean()) if n else 0.0,
        p99_budget_pct=100.0 * float(np.percentile(taken, 99.0)) / (bin_budget_ms * 1e6) if n else 0.0,
        n_fits=int(batch["fits"][-1]) if n and "fits" in (batch.dtype.names or ()) else 0,
        n_late_fits=int(late),
        longest_fit_wait_ms=1000.0 * longest,
        peak_rss_mb=peak,
        rss_delta_mb=peak - began_rss,
        state_bytes=len(scorer.snapshot()),
        batch_us_per_bin=1e6 * batch_s / n if n else 0.0,
    )


def _settle(scorer: SignalLike) -> float:
    """Wait for a fit that the next bin would adopt; seconds waited."""
    if not getattr(scorer, "is_fit_due", False):
        return 0.0
    began = time.perf_counter()
    scorer.settle()  # type: ignore[attr-defined]  # those that are fitted have it
    return time.perf_counter() - began


def _delay_bins(scorer: SignalLike) -> float:
    return float(getattr(scorer.params, "refit_delay_bins", 0))


def _latencies(taken: Ints) -> dict[str, float]:
    if not len(taken):
        return dict.fromkeys((*PERCENTILES, "max", "mean"), 0.0)
    us = taken / 1000.0
    found = {name: float(np.percentile(us, place)) for name, place in PERCENTILES.items()}
    return {**found, "max": float(us.max()), "mean": float(us.mean())}


def _require_equal(online: Outputs, batch: Outputs, signal: str) -> None:
    if online.tobytes() == batch.tobytes():
        return
    size = batch.dtype.itemsize
    one, other = online.view(np.uint8).reshape(-1, size), batch.view(np.uint8).reshape(-1, size)
    first = int(np.flatnonzero((one != other).any(axis=1))[0])
    raise RunFailedError(
        f"{signal} gave bin {first} {online[first]} one by one and {batch[first]} as a batch; they must be equal to the last "
        "bit. This is a fault of the signal"
    )


def _peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MB
