"""One point of a sweep, evaluated: a plain function of the point and the stored session. Knows nothing of Ray.

Source: signals.md sections 6 and 7; interfaces.md, "Sweep YAML".
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.dataset import Dataset
from engine.models.base import ModelContext
from engine.models.registry import get_model, make_model
from engine.schema import Floats, Ints
from tune.diagnostics import state5_diagnostics
from tune.scoring import Rules, Trades, find_trades, statistics_of


@dataclass(frozen=True)
class Point:
    """What is tried once: a dataset, a signal with its parameters, and the rules it is judged by.

    ``parameters`` are fully resolved; ``swept`` are the ones the configuration named.
    """

    dataset_id: str
    dataset_checksum: str
    grid_variant_id: str
    signal: str
    parameters: dict[str, Any] = field(hash=False)
    swept: dict[str, Any] = field(hash=False)
    rules: Rules
    thresholds: tuple[float, ...]
    code_version: str

    @cached_property
    def run_id(self) -> str:
        """First 16 hex of a SHA-256 over all that decides the numbers: the same point has the same id, wherever it ran."""
        identity = [
            self.dataset_checksum,
            self.signal,
            self.parameters,
            asdict(self.rules),
            list(self.thresholds),
            self.code_version,
        ]
        return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def series_key(self) -> str:
        """Points of one key share one score series."""
        return json.dumps([self.dataset_id, self.signal, self.parameters], sort_keys=True)


@dataclass(frozen=True)
class Market:
    """The part of a dataset that evaluation reads; every array may be read-only.

    ``mid`` (n,) dollars, 0 for an invalid book; ``ts_ns`` (n,) bin ends; ``microstate`` (n,) quote-move pair 0..8;
    ``columns`` name -> (n, 2R + 1).
    """

    mid: Floats
    ts_ns: Ints
    microstate: NDArray[np.int8]
    columns: Mapping[str, NDArray[Any]]
    context: ModelContext

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        own = self.mid.nbytes + self.ts_ns.nbytes + self.microstate.nbytes
        return own + sum(column.nbytes for column in self.columns.values())


@dataclass(frozen=True)
class RunResult:
    """One run's row for ``runs_meta`` and its rows, one a threshold, for ``runs``."""

    meta: dict[str, Any]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class RunFailure:
    """A point that could not be evaluated, and why."""

    run_id: str
    dataset_id: str
    signal: str
    swept: dict[str, Any]
    reason: str


def model_context(dataset: Dataset) -> ModelContext:
    """What a model must know of the grid it reads."""
    return ModelContext(cell_width_ms=int(dataset.manifest["config"]["cell_width_ms"]), radius=dataset.radius)


def load_market(dataset: Dataset, signals: Iterable[str]) -> Market:
    """Read the columns some signals need, each once."""
    names = sorted({name for signal in signals for name in get_model(signal).required_columns})
    bins = dataset.bins(["mid_price", "ts_ns", "perm_microstate_id"])
    return Market(
        mid=bins["mid_price"],
        ts_ns=bins["ts_ns"],
        microstate=bins["perm_microstate_id"],
        columns=dataset.columns(names),
        context=model_context(dataset),
    )


def signal_series(signal: str, parameters: Mapping[str, Any], market: Market) -> NDArray[np.void]:
    """A signal's outputs over the whole session, shape (n,) of MODEL_DTYPE: the kernel that also runs live.

    Raises
    ------
    ConfigError
        Unknown signal or a parameter that is not allowed.
    """
    model = make_model(signal, parameters, market.context)
    return model.run({name: market.columns[name] for name in model.required_columns})


def point_trades(point: Point, market: Market, threshold: float) -> Trades:
    """The trades behind one row, for a look at each of them."""
    score = np.ascontiguousarray(signal_series(point.signal, point.parameters, market)["score"])
    return find_trades(score, market.mid, threshold, point.rules)


def evaluate(point: Point, market: Market, series: NDArray[np.void] | None = None) -> RunResult:
    """Score one point.

    Parameters
    ----------
    series : NDArray[np.void], optional
        The point's score series where the caller has it already.
    """
    started = time.perf_counter()
    if series is None:
        series = signal_series(point.signal, point.parameters, market)
    score = np.ascontiguousarray(series["score"])
    rows: list[dict[str, Any]] = []
    for threshold in point.thresholds:
        figures = statistics_of(find_trades(score, market.mid, threshold, point.rules), market.ts_ns, point.rules)
        rows.append({"run_id": point.run_id, "threshold": threshold, "cooldown_bins": point.rules.cooldown_bins, **figures})
    meta = {
        "run_id": point.run_id,
        "dataset_id": point.dataset_id,
        "dataset_checksum": point.dataset_checksum,
        "grid_variant_id": point.grid_variant_id,
        "signal_name": point.signal,
        "signal_params_json": json.dumps(point.swept, sort_keys=True),
        "resolved_params_json": json.dumps(point.parameters, sort_keys=True),
        "eval_tp_ticks": point.rules.tp_ticks,
        "eval_sl_ticks": point.rules.sl_ticks,
        "eval_max_hold_bins": point.rules.max_hold_bins,
        "warmup_bins": point.rules.warmup_bins,
        "cooldown_bins": point.rules.cooldown_bins,
        "tick_size": point.rules.tick_size,
        "thresholds_json": json.dumps(list(point.thresholds)),
        "code_version": point.code_version,
        "n_bins": len(market.mid),
        **state5_diagnostics(point.signal, series, market.microstate),
    }
    meta["elapsed_seconds"] = round(time.perf_counter() - started, 6)
    return RunResult(meta, rows)


def evaluate_batch(points: Sequence[Point], markets: Mapping[str, Market]) -> Iterator[RunResult | RunFailure]:
    """Score points in turn; one that fails is reported and the rest go on.

    Points of the same signal and parameters standing together share one score series.
    """
    key, series = "", None
    for point in points:
        try:
            market = markets[point.dataset_id]
            if point.series_key != key or series is None:
                key, series = point.series_key, None
                series = signal_series(point.signal, point.parameters, market)
            yield evaluate(point, market, series)
        except Exception as error:  # whatever a model raises is this point's result, not the sweep's end
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield RunFailure(point.run_id, point.dataset_id, point.signal, point.swept, reason)
