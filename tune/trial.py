"""One point of a sweep, evaluated: a plain function of the point and the stored session. Knows nothing of Ray.

Source: signals.md sections 6 and 7; interfaces.md, "Sweep YAML".
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.dataset.lineage import sources_of
from engine.dataset.read import Dataset
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, SignalLike, signal_inputs
from engine.signals.registry import get_signal, make_signal
from engine.trades.paper import acting_score
from engine.trades.tape import SOUND, Tape, tape_of
from tune.coefficients import COLUMN as COEFFICIENTS
from tune.coefficients import CONTROL_FIELDS, coefficients_json, control_scores
from tune.diagnostics import state5_diagnostics
from tune.outofsample import out_of_sample
from tune.rules import Rules
from tune.scoring import is_degenerate, statistics_of, walk_all
from tune.strictness import seen_ahead

BIN_COLUMNS: Final = (
    *CONTROL_FIELDS,
    "mid_price",
    "ts_ns",
    "perm_microstate_id",
    "quality",
    "best_bid_price_int",
    "best_ask_price_int",
    "bid_low_int",
    "bid_high_int",
    "ask_low_int",
    "ask_high_int",
)


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
    thresholds: tuple[float, ...]  # of the signal; it may take others from the bins before the scored ones
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

    ``bins`` name -> (n,), at least ``BIN_COLUMNS``; ``columns`` name -> (n, 2R + 1); ``sources`` what its trials count by.
    """

    bins: Mapping[str, NDArray[Any]]
    columns: Mapping[str, NDArray[Any]]
    context: SignalContext
    sources: tuple[str, ...] = ()

    @property
    def ts_ns(self) -> Ints:
        """Bin ends, shape (n,)."""
        return self.bins["ts_ns"]

    @property
    def mid(self) -> Floats:
        """Mid prices in dollars, NaN without both sides, shape (n,)."""
        return self.bins["mid_price"]

    @cached_property
    def controls(self) -> dict[str, Floats]:
        """The baselines' scores, (n,) each; none where the bins lack what they read."""
        return control_scores(self.bins, self.context)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(column.nbytes for part in (self.bins, self.columns) for column in part.values())

    def tape(self, rules: Rules) -> Tape:
        """The prices trades meet under some rules."""
        return tape_of(self.bins, rules.fill, rules.sound_only)


class JudgedSeries(NamedTuple):
    """What is judged, wherever it came from.

    ``score`` (n,) f8, NaN says nothing; ``mode`` ``signed`` or ``probability``; ``lookahead`` what is known to read later bins;
    ``diagnostics`` more columns of the run's row.
    """

    score: Floats
    thresholds: tuple[float, ...]
    mode: str
    lookahead: str
    diagnostics: Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """One run's row for ``runs_meta`` and its rows, one a threshold, for ``runs``."""

    meta: dict[str, Any]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class PointFailure:
    """A point that could not be evaluated, and why."""

    run_id: str
    dataset_id: str
    signal: str
    swept: dict[str, Any]
    reason: str


def signal_context(dataset: Dataset) -> SignalContext:
    """What a signal must know of the grid it reads."""
    return SignalContext(dataset.cell_width_ms, dataset.radius, dataset.tick_int)


def load_market(dataset: Dataset, classes: Sequence[type[SignalLike]]) -> Market:
    """Read the columns that signals of some classes need, each once."""
    names = sorted({name for one in classes for name in one.required_columns})
    own = {name for one in classes for name in one.required_fields}
    return Market(
        bins=dataset.bins([*BIN_COLUMNS, *sorted(own - set(BIN_COLUMNS))]),
        columns=dataset.columns(names),
        context=signal_context(dataset),
        sources=sources_of(dataset.manifest),
    )


def signal_series(signal: str, parameters: Mapping[str, Any], market: Market) -> Outputs:
    """A signal's outputs over the whole session, shape (n,) of MODEL_DTYPE: the kernel that also runs live.

    Raises
    ------
    ConfigError
        Unknown signal or a parameter that is not allowed.
    """
    scorer = make_signal(signal, parameters, market.context)
    return scorer.run(signal_inputs(scorer, market.columns, market.bins))


def score_of(point: Point, series: Outputs) -> Floats:
    """What a point's rules act on, learned signals' predictions as such; NaN where not ready (but for the reference's edges)."""
    return acting_score(series, point.rules.sound_only or point.rules.trigger == "level")


def thresholds_of(point: Point, market: Market, series: Outputs) -> tuple[float, ...]:
    """The thresholds a point is scored at: those the signal takes from the bins before the scored ones, else its own."""
    scorer = make_signal(point.signal, point.parameters, market.context)
    found = scorer.thresholds(np.ascontiguousarray(series["score"]))
    return usable_thresholds(scorer, found, point.rules)


def usable_thresholds(signal: SignalLike | type[SignalLike], thresholds: Iterable[float], rules: Rules) -> tuple[float, ...]:
    """A signal's thresholds as numbers; those that leave no score at which a signal is silent serve the reference form only."""
    mode = prediction_mode(signal)
    return tuple(float(t) for t in thresholds if not (rules.sound_only and is_degenerate(t, mode)))


def prediction_mode(signal: SignalLike | type[SignalLike]) -> str:
    """``signed`` where a score of 0 is neutral, ``probability`` where 0.5 is."""
    return "probability" if signal.prediction_mode == "probability" else "signed"


def evaluate(point: Point, market: Market, series: Outputs | None = None) -> RunResult:
    """Score one point.

    Parameters
    ----------
    series : Outputs, optional
        The point's score series where the caller has it already.
    """
    if series is None:
        series = signal_series(point.signal, point.parameters, market)
    return evaluate_together([point], market, series)[0]


def evaluate_together(points: Sequence[Point], market: Market, series: Outputs) -> list[RunResult]:
    """Score points of one series whose rules differ in barriers and cooldown only, in one pass over the bins."""
    first = points[0]
    start = first.rules.warmup_bins
    told = coefficients_json(first.signal, series, market.bins, market.context, market.controls, start)
    judged = JudgedSeries(
        score=score_of(first, series),
        thresholds=thresholds_of(first, market, series),
        mode=prediction_mode(get_signal(first.signal)),
        lookahead=" ".join(seen_ahead(make_signal(first.signal, first.parameters, market.context))),
        diagnostics={**state5_diagnostics(first.signal, series, market.bins["perm_microstate_id"]), COEFFICIENTS: told},
    )
    return judge_together(points, market, judged)


def judge_together(points: Sequence[Point], market: Market, judged: JudgedSeries) -> list[RunResult]:
    """Judge one series under points whose rules differ in barriers and cooldown only, in one pass over the bins."""
    started = time.perf_counter()
    first = points[0]
    thresholds = judged.thresholds
    rules = [point.rules for point in points]
    tape = market.tape(first.rules)
    scored = walk_all(judged.score, tape, thresholds, rules, judged.mode)
    rows = statistics_of(scored, tape, market.ts_ns)
    warm = tape.state[first.rules.warmup_bins :]
    results = []
    for place, point in enumerate(points):
        own = rows[place :: len(points)]
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
            "lookahead": judged.lookahead,
            "rules_json": json.dumps(asdict(point.rules), sort_keys=True),
            "thresholds_json": json.dumps(list(thresholds)),
            "code_version": point.code_version,
            "n_bins": len(tape.state),
            "n_unsound_bins": int((warm != SOUND).sum()),
            "start_ns": int(market.ts_ns[0]),
            "end_ns": int(market.ts_ns[-1]),
            "sources_json": json.dumps(market.sources),
            **out_of_sample(own, point.rules, len(tape.state)),
            **judged.diagnostics,
        }
        results.append(RunResult(meta, [{"run_id": point.run_id, **row} for row in own]))
    elapsed = (time.perf_counter() - started) / len(points)
    for result in results:
        result.meta["elapsed_seconds"] = round(elapsed, 6)
    return results


def evaluate_batch(points: Sequence[Point], markets: Mapping[str, Market]) -> Iterator[RunResult | PointFailure]:
    """Score points in turn; one that fails is reported and the rest go on.

    Points standing together share what they have in common: the score series, and the pass over the bins.
    """
    for _, same_series in groupby(points, lambda point: point.series_key):
        series: Outputs | None = None
        for _, group in groupby(same_series, lambda point: (point.thresholds, point.rules.shared)):
            together = list(group)
            try:
                market = markets[together[0].dataset_id]
                if series is None:
                    series = signal_series(together[0].signal, together[0].parameters, market)
                yield from evaluate_together(together, market, series)
            except Exception as error:  # whatever a signal raises is these points' result, not the sweep's end
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
                yield from (PointFailure(p.run_id, p.dataset_id, p.signal, p.swept, reason) for p in together)
