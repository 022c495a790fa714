"""Hold-out sessions: taken out of everything, and looked at once by each candidate, every look counted.

A look is written down, in the trial ledger and in a file of its own, before anybody sees its figures.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from engine.dataset.lineage import sources_of
from engine.dataset.read import Dataset
from engine.dataset.sealed import Seal, seal_of, seals, write_seal
from engine.errors import ConfigError
from engine.files import write_new
from engine.lake import Lake
from engine.signals.registry import get_signal
from tune.code_version import code_version
from tune.judgement import is_outside
from tune.leaderboard import interval
from tune.ledger import TrialLedger, tried_on
from tune.rules import Rules
from tune.space import NO_VARIANT
from tune.trial import JudgedSeries, Point, judge_together, load_market, prediction_mode, score_of, signal_series

UNSEALED: Final = "unseal"  # stands where a sweep's id would
_FIGURES: Final = ("n_signals", "tp_rate", "break_even_rate", "expectancy_ticks", "expectancy_low", "expectancy_high", "n_left_out")


@dataclass(frozen=True)
class Look:
    """What one candidate came to on one sealed session; ``figures`` are NaN-free, None where there is no number."""

    candidate: str
    session: str  # the seal's
    run_id: str  # that was asked for
    threshold: float
    signal: str
    looked_at: str  # ISO 8601, UTC
    figures: dict[str, float | None]

    @property
    def line(self) -> str:
        """In words."""
        f = {name: float("nan") if value is None else value for name, value in self.figures.items()}
        n = int(f["n_signals"])
        if not n:
            return "no trade was taken"
        return (
            f"net {interval(f, 'expectancy')} ticks a trade, {n} trades, TP rate {f['tp_rate']:.3f} where "
            f"{f['break_even_rate']:.3f} breaks even"
        )


def looks_folder(lake: Lake) -> Path:
    """Where the looks at sealed sessions lie."""
    return lake.harness / "looks"


def looks(lake: Lake) -> list[Look]:
    """Every look that was made, the first one first."""
    found = [Look(**json.loads(path.read_text())) for path in looks_folder(lake).glob("*.json")]
    return sorted(found, key=lambda look: (look.looked_at, look.candidate))


def seal(lake: Lake, dataset_ids: Sequence[str]) -> list[str]:
    """Seal datasets; a line each. One that is sealed already stays as it is.

    Raises
    ------
    DatasetError
        One is missing or damaged; none was sealed then.
    """
    datasets = [Dataset.open(lake, dataset_id, with_sealed=True) for dataset_id in dict.fromkeys(dataset_ids)]
    trials = TrialLedger(lake)
    trials.contents.note(datasets)
    all_trials = trials.trials()
    lines = []
    for dataset in datasets:
        before = seal_of(lake, dataset.manifest)
        n = tried_on(all_trials, sources_of(dataset.manifest)).n
        made = write_seal(lake, dataset.manifest, n)
        if before is not None and before.dataset_id == dataset.dataset_id:
            lines.append(f"{dataset.dataset_id}: sealed already, since {made.sealed_at[:10]}")
        else:
            lines.append(f"{dataset.dataset_id}: sealed; {_unseen(made)}")
    return lines


def unseal(lake: Lake, row: dict[str, Any], dataset_ids: Sequence[str]) -> list[tuple[Look, int]]:
    """Try a run's candidate on sealed sessions: its signal, parameters, rules and threshold, nothing else.

    Parameters
    ----------
    row
        The run's row at the threshold, as ``ResultStore.rows`` gives it.
    dataset_ids
        Sealed datasets; all of the lake where none is named.

    Returns
    -------
    list of (Look, int)
        What it came to on each, and how many looks were made at that session so far, this one among them.

    Raises
    ------
    ConfigError, DatasetError
        Nothing was looked at: it was looked at before with this candidate, is not sealed, or the run cannot be made again.
    """
    sealed = _asked(lake, dataset_ids)
    candidate = candidate_of(row)
    _require_repeatable(row)
    before = {(look.candidate, look.session): look for look in looks(lake)}
    for one in sealed:
        if (look := before.get((candidate, one.dataset_id))) is not None:
            raise ConfigError(
                f"run {row['run_id']} at threshold {row['threshold']:g} was looked at on {one.dataset_id} on {look.looked_at[:10]} "
                f"({look.line}); a candidate has one look"
            )
    datasets = [Dataset.open(lake, one.dataset_id, with_sealed=True) for one in sealed]
    for dataset in datasets:  # all of them, before the first is looked at
        _require_fits(row, dataset)
    return [_look(lake, row, candidate, dataset) for dataset in datasets]


def candidate_of(row: dict[str, Any]) -> str:
    """First 16 hex of a SHA-256 over what is tried: signal, parameters, rules and threshold, whatever the session or the code."""
    identity = [row["signal_name"], json.loads(row["resolved_params_json"]), json.loads(row["rules_json"]), float(row["threshold"])]
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def shown(lake: Lake) -> list[str]:
    """Every sealed session, and the looks that were made at it."""
    made = looks(lake)
    lines = []
    for one in seals(lake):
        own = [look for look in made if look.session == one.dataset_id]
        lines.append(f"{one.dataset_id}: sealed {one.sealed_at[:10]}, {one.symbol} {one.dt}; {_unseen(one)}; {_count(len(own))}")
        lines += [f"  {look.looked_at[:10]} run {look.run_id} thr {look.threshold:g} {look.signal}: {look.line}" for look in own]
    return lines or ["no session is sealed; seal some with: python -m tune seal DATASET…"]


def _asked(lake: Lake, dataset_ids: Sequence[str]) -> list[Seal]:
    known = {one.dataset_id: one for one in seals(lake)}
    if not known:
        raise ConfigError("no session is sealed; seal some with: python -m tune seal DATASET…")
    unknown = [name for name in dataset_ids if name not in known]
    if unknown:
        raise ConfigError(f"--dataset was {unknown[0]}, which is not sealed; sealed are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(dataset_ids)] if dataset_ids else list(known.values())


def _require_repeatable(row: dict[str, Any]) -> None:
    name = row["signal_name"]
    if is_outside(name):
        raise ConfigError(f"run {row['run_id']} judged {name}, scores from outside: there is no signal to try on a sealed session")
    if code_version(name) != row["code_version"]:
        raise ConfigError(
            f"run {row['run_id']} was scored by another version of {name} ({row['code_version']}, now {code_version(name)}); "
            "run its sweep again, and look with that run"
        )


def _require_fits(row: dict[str, Any], dataset: Dataset) -> None:
    """Refuse a session whose bins and prices are not such as the run was judged on."""
    rules, instrument = Rules(**json.loads(row["rules_json"])), dataset.manifest["config"]
    for name, ours, theirs in (
        ("cell_width_ms", rules.cell_width_ms, dataset.cell_width_ms),
        ("tick_size", rules.tick_size, float(instrument["tick_size"])),
        ("contract_multiplier", rules.contract_multiplier, float(instrument["contract_multiplier"])),
    ):
        if ours != theirs:
            raise ConfigError(
                f"run {row['run_id']} was judged with {name} {ours:g}, and the sealed {dataset.dataset_id} has {theirs:g}; name those "
                "that fit with --dataset ID"
            )
    if rules.warmup_bins >= dataset.n_bins:
        raise ConfigError(
            f"run {row['run_id']} is scored from bin {rules.warmup_bins} on, and the sealed {dataset.dataset_id} has only "
            f"{dataset.n_bins} bins; name those that fit with --dataset ID"
        )


def _look(lake: Lake, row: dict[str, Any], candidate: str, dataset: Dataset) -> tuple[Look, int]:
    session = dataset.dataset_id
    point = Point(
        dataset_id=dataset.dataset_id,
        dataset_checksum=dataset.checksum,
        grid_variant_id=NO_VARIANT,
        signal=row["signal_name"],
        parameters=json.loads(row["resolved_params_json"]),
        swept=json.loads(row["signal_params_json"]),
        rules=Rules(**json.loads(row["rules_json"])),
        thresholds=(float(row["threshold"]),),
        code_version=row["code_version"],
    )
    signal = get_signal(point.signal)
    market = load_market(dataset, [signal])
    series = signal_series(point.signal, point.parameters, market)
    judged = JudgedSeries(score_of(point, series), point.thresholds, prediction_mode(signal), row["lookahead"], {})
    results = judge_together([point], market, judged)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    ledger = TrialLedger(lake)
    ledger.contents.note([dataset])
    ledger.add(results, UNSEALED, now)  # first: what was seen counts, whatever becomes of it
    figures = {name: _plain(results[0].rows[0][name]) for name in _FIGURES}
    look = Look(candidate, session, row["run_id"], point.thresholds[0], point.signal, now, figures)
    _keep(lake, look)
    return look, sum(one.session == session for one in looks(lake))


def _keep(lake: Lake, look: Look) -> None:
    path = looks_folder(lake) / f"{look.candidate}__{look.session}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_new(path, json.dumps(asdict(look), indent=1, allow_nan=False).encode())
    except FileExistsError:
        raise ConfigError(f"run {look.run_id} was looked at on {look.session} by another process meanwhile; a candidate has one look") from None


def _unseen(seal: Seal) -> str:
    n = seal.n_trials_before
    return "nothing was tried on it before" if n == 0 else f"{n} trials were made on it before, so it is not unseen"


def _count(n: int) -> str:
    return "no look so far" if n == 0 else f"{n} look{'s' if n > 1 else ''} so far"


def _plain(value: float) -> float | None:
    return None if value != value else float(value)
