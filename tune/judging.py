"""Any score series before the judge of the sweeps: same rules, folds, costs and luck, counted in the same ledger.

Source: signals.md sections 6 and 14; interfaces.md, "Commands".
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from engine.config import validate
from engine.dataset.read import Dataset
from engine.dataset.sealed import require_open
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake
from engine.schema import Floats
from tune.code_version import scoring_version
from tune.config import EvalConfig
from tune.diagnostics import COLUMNS as DIAGNOSTIC_COLUMNS
from tune.judgement import OUTSIDE, Judgement
from tune.ledger import TrialLedger
from tune.results import ResultStore
from tune.rules import Rules
from tune.scoring import is_degenerate
from tune.series import aligned_scores, default_thresholds, scores_hash
from tune.space import DEFAULT_COOLDOWN_BINS, NO_VARIANT, make_rules
from tune.trial import JudgedSeries, Point, RunResult, judge_together, load_market

JUDGED: Final = "judge"  # stands where a sweep's id would
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class JudgeConfig(EvalConfig):
    """What `judge` may be told: a sweep's ``eval``, and what a sweep has of the signal."""

    thresholds: Annotated[
        tuple[float, ...] | None, Field(min_length=1, description="levels to trade at; default percentiles of the first scores")
    ] = None
    cooldown_bins: Annotated[int, Field(ge=0, description="from one trade to the next")] = DEFAULT_COOLDOWN_BINS
    calibration_bins: Annotated[
        int, Field(ge=1, le=1_000_000, description="first bins, whose scores give the thresholds where none are given")
    ] = 3000
    mode: Annotated[Literal["signed", "probability"], Field(description="a score of 0, or one of 0.5, is neutral")] = "signed"

    @field_validator("thresholds", mode="before")
    @classmethod
    def _level_list(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, list | tuple) else [value]

    @field_validator("tp_ticks", "sl_ticks")
    @classmethod
    def _one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) != 1:
            raise ValueError(
                f"barriers were {list(value)}; a series is judged at one tp_ticks and one sl_ticks, call once for each"
            )
        return value


class SeriesPoint(Point):
    """A series from outside as a point; ``signal`` names it, and a name decides no number."""

    @cached_property
    def run_id(self) -> str:
        """First 16 hex of a SHA-256 over dataset, scores, rules, thresholds and the judge's code."""
        rules = asdict(self.rules)
        identity = [OUTSIDE, self.dataset_checksum, self.parameters, rules, list(self.thresholds), self.code_version]
        return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def judge(
    scores: Any,
    dataset: Dataset | str,
    *,
    name: str | None = None,
    thresholds: float | Sequence[float] | None = None,
    tp_ticks: float | None = None,
    sl_ticks: float | None = None,
    column: str = "score",
    lake: str | Path | Lake | None = None,
    **rules: Any,
) -> Judgement:
    """Judge a score series of your own as a sweep judges a signal.

    The same rules, costs, out-of-sample folds and intervals; a trial in the same ledger, so that luck counts it; a run in the
    same store, so that `tune compare` shows it. The same scores under the same rules are the same run: known already, counted
    once. Nobody can see here whether a series from outside looks ahead: the result says so, and it cannot be promoted.

    Parameters
    ----------
    scores
        An array of one score a bin (NaN: nothing to say); a polars, pandas or Arrow frame of ``bin_seq, score`` and perhaps
        ``ready``, bins that are missing say nothing; or the path of such a parquet file. Positive is up.
    dataset
        A dataset, or the id of one.
    name
        What it is called on the leaderboard, as ``series:NAME``; default the file's name, else ``scores``.
    thresholds
        Levels to trade at, in either direction. Default: percentiles of the size of the scores in the first
        ``calibration_bins`` (3000) bins, and then only the bins after them are judged.
    tp_ticks, sl_ticks, column
        Barriers, default 8 and 4; name of the scores in a frame.
    lake
        Where the dataset is looked for and the run is kept; default the dataset's own.
    rules
        ``cooldown_bins``, ``calibration_bins``, ``mode`` (``"probability"`` where 0.5 is neutral), and every key of a sweep's
        ``eval``: ``max_hold_bins, warmup_bins, fill, trigger, position, fee_per_contract, n_folds, embargo_bins`` and so on.
        How far back a series from outside looks is not known, so the embargo spans the longest trade unless given.

    Raises
    ------
    ConfigError, DatasetError
        One line: the scores, a rule or the dataset cannot be used.

    Examples
    --------
    >>> import numpy as np, engine, tune
    >>> dataset = engine.open_dataset("morning")
    >>> noise = np.random.default_rng(1).standard_normal(dataset.n_bins)
    >>> result = tune.judge(noise, dataset, name="noise", thresholds=[1.5, 2.0], tp_ticks=4, sl_ticks=4)
    >>> result.name, result.thresholds
    ('series:noise', (1.5, 2.0))
    >>> result.table().select("threshold", "n_signals").height
    2
    >>> tune.judge(noise, "morning", thresholds=[1.5, 2.0], tp_ticks=4, sl_ticks=4).run_id == result.run_id
    True
    """
    data, home = _dataset(dataset, lake)
    given = {"thresholds": thresholds, "tp_ticks": tp_ticks, "sl_ticks": sl_ticks}
    values = {key: value for key, value in given.items() if value is not None} | rules
    config: JudgeConfig = validate(JudgeConfig, values, "the rules of judge", "Pass {key}=VALUE")
    called = _checked_name(name, scores)
    series = aligned_scores(scores, data.n_bins, column)
    point = _point(config, data, called, series)
    store, ledger = ResultStore(home), TrialLedger(home)
    if point.run_id not in store.run_ids():
        judged = JudgedSeries(series, point.thresholds, config.mode, "", dict.fromkeys(DIAGNOSTIC_COLUMNS))
        results = judge_together([point], load_market(data, []), judged)
        ledger.contents.note([data])
        _keep(results, config, store, ledger)
    return Judgement(data, series, point, config.mode, store.rows([point.run_id]), ledger.trials(), config.min_signals)


def _keep(results: list[RunResult], config: JudgeConfig, store: ResultStore, ledger: TrialLedger) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    ledger.add(results, JUDGED, now)  # first: what was seen counts, whatever becomes of it
    hashed = sha256(config.model_dump_json().encode()).hexdigest()
    store.append(results, sweep_id=JUDGED, experiment_name=JUDGED, config_hash=hashed, timestamp_utc=now)


def _dataset(dataset: Any, lake: Any) -> tuple[Dataset, Lake]:
    """The dataset, and the lake that keeps what is said of it."""
    if isinstance(dataset, str):
        home = Lake.open(lake)
        return Dataset.open(home, dataset), home
    if not isinstance(dataset, Dataset):
        raise DatasetError(f"dataset was of type {type(dataset).__name__}; give a dataset, or the id of one as text")
    if lake is None and dataset.lake is None:
        raise ConfigError(f"{dataset.folder} is in no lake, so there is no place for the run; pass lake=PATH")
    home = Lake.open(lake) if lake is not None or dataset.lake is None else dataset.lake
    require_open(home, dataset.manifest)  # it may have been opened before it was sealed, or lie outside
    return dataset, home


def _checked_name(name: Any, scores: Any) -> str:
    if name is None:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(scores).stem).lstrip("._-") if isinstance(scores, str | Path) else "scores"
        name = name[:100] or "scores"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"name was {name!r}; it must be 1 to 100 letters, digits, '.', '-' or '_', a letter or digit first")
    return name


def _point(config: JudgeConfig, dataset: Dataset, name: str, series: Floats) -> SeriesPoint:
    (rules,) = make_rules(config, dataset, "edge", [config.cooldown_bins])
    start = rules.warmup_bins if config.thresholds is not None else max(rules.warmup_bins, config.calibration_bins)
    if start >= dataset.n_bins:
        raise ConfigError(
            f"thresholds are not given and are taken from the first {start} bins; dataset {dataset.dataset_id} has only "
            f"{dataset.n_bins} bins. Pass thresholds=[...], or a smaller calibration_bins"
        )
    embargo = rules.max_hold_bins if rules.embargo_bins < 0 else rules.embargo_bins
    rules = replace(rules, warmup_bins=start, embargo_bins=embargo)
    digest = scores_hash(series)
    return SeriesPoint(
        dataset_id=dataset.dataset_id,
        dataset_checksum=dataset.checksum,
        grid_variant_id=NO_VARIANT,
        signal=f"{OUTSIDE}:{name}",
        parameters={"scores_sha256": digest, "mode": config.mode},
        swept={"scores": digest[:8]},
        rules=rules,
        thresholds=_levels(config, rules, series),
        code_version=scoring_version(),
    )


def _levels(config: JudgeConfig, rules: Rules, series: Floats) -> tuple[float, ...]:
    """The thresholds, ascending."""
    if config.thresholds is None:
        return default_thresholds(series, rules.warmup_bins, config.mode)
    for level in config.thresholds:
        if not abs(level) < float("inf"):
            raise ConfigError(f"thresholds had {level}; each must be a finite number")
        if rules.sound_only and is_degenerate(level, config.mode):
            least = 0.5 if config.mode == "probability" else 0
            raise ConfigError(
                f"thresholds had {level:g}, at which a score is never silent; each must be more than {least:g} "
                f"in mode {config.mode}"
            )
    return tuple(sorted({float(level) for level in config.thresholds}))
