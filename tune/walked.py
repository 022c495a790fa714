"""The trades behind a run's figures: its signal scored again, and walked by the judge's own kernels."""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.lake import Lake
from engine.signals.registry import BUILT_IN_WHERE, get_signal, origin, signal_names
from tune.code_version import code_version
from tune.errors import RunFailedError
from tune.judgement import is_outside
from tune.rules import Rules
from tune.scoring import walk_all
from tune.splits import fold_starts
from tune.trades_table import trades_of
from tune.trial import Point, load_market, prediction_mode, score_of, signal_series


@dataclass(frozen=True)
class Walked:
    """The trades of one run at one threshold.

    ``trades`` as `trades_of` has them; ``told``: what they are of, and where the parts begin that the run was tested on.
    """

    trades: pl.DataFrame
    told: dict[str, Any]


def walk_again(lake: Lake, row: dict[str, Any], *, built_in_only: bool = False) -> Walked:
    """The trades of a run, which must come to what its row says.

    Parameters
    ----------
    row
        The run's at a threshold, as ``ResultStore.rows`` gives it.
    built_in_only
        Load no signal but those of the engine.

    Raises
    ------
    ConfigError, DatasetError
        The run cannot be made again: its scores came from outside, its signal, its code or its dataset is another one or gone,
        or its session is sealed.
    RunFailedError
        It was, and came to something else.
    """
    _require_repeatable(row, built_in_only)
    dataset = Dataset.open(lake, row["dataset_id"])
    if dataset.checksum != row["dataset_checksum"]:
        raise ConfigError(f"run {row['run_id']} was scored on another dataset of the name {dataset.dataset_id}; sweep it again")
    rules, threshold = Rules(**json.loads(row["rules_json"])), float(row["threshold"])
    point = Point(
        dataset_id=dataset.dataset_id,
        dataset_checksum=dataset.checksum,
        grid_variant_id=row["grid_variant_id"],
        signal=row["signal_name"],
        parameters=json.loads(row["resolved_params_json"]),
        swept=json.loads(row["signal_params_json"]),
        rules=rules,
        thresholds=(threshold,),
        code_version=row["code_version"],
    )
    signal = get_signal(point.signal)
    market = load_market(dataset, [signal])
    tape = market.tape(rules)
    scores = score_of(point, signal_series(point.signal, point.parameters, market))
    scored = walk_all(scores, tape, [threshold], [rules], prediction_mode(signal))
    trades = trades_of(scored, 0, rules, market.ts_ns, tape)
    _require_same(row, trades)
    starts = fold_starts(min(rules.warmup_bins, dataset.n_bins), dataset.n_bins, rules.n_folds)
    told = {
        "run_id": row["run_id"],
        "threshold": threshold,
        "dataset_id": dataset.dataset_id,
        "signal": point.signal,
        "parameters": point.parameters,
        "evaluation": json.loads(row["rules_json"]),
        "fee_ticks": rules.fee_ticks,
        "start_ns": int(market.ts_ns[0]),
        "end_ns": int(market.ts_ns[-1]),
        "fold_starts_ns": [int(market.ts_ns[i]) for i in starts if i < dataset.n_bins],
    }
    return Walked(trades, told)


def _require_repeatable(row: dict[str, Any], built_in_only: bool) -> None:
    run_id, name = row["run_id"], row["signal_name"]
    if is_outside(name):
        raise ConfigError(
            f"run {run_id} judged {name}, scores from outside, which are not kept; its trades are those of tune.judge"
        )
    if built_in_only and (name not in signal_names() or origin(name).where != BUILT_IN_WHERE):
        raise ConfigError(f"run {run_id} is of {name}, which is not built in; see its trades with python -m tune trades {run_id}")
    now = code_version(name)
    if now != row["code_version"]:
        raise ConfigError(
            f"run {run_id} was scored by another version of {name} ({row['code_version']}, now {now}); run its sweep again"
        )


def _require_same(row: dict[str, Any], trades: pl.DataFrame) -> None:
    n = len(trades)
    net = float(trades.get_column("net_ticks").sum())
    told = row["expectancy_ticks"] * n if n else 0.0
    if n != row["n_signals"] or abs(net - told) > 1e-6 * max(abs(told), 1.0):
        raise RunFailedError(
            f"run {row['run_id']} comes to {n} trades and {net:+.3f} ticks net now; its row says {row['n_signals']} and "
            f"{told:+.3f}. Run its sweep again"
        )
