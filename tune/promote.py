"""Promotion: a run becomes an immutable champion version, is registered, and the pointer moves to it.

Order, so that whatever fails leaves a sound state: the version's file; its registration in MLflow; the pointer, which is
what serving follows; the alias, which mirrors it. Until the pointer moves the old champion serves. Repeating the same
promotion takes up where it stopped: no version is made twice. Source: interfaces.md, "Champion".
"""

import json
import os
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from engine.champion import (
    Champion,
    FittedState,
    Gate,
    history,
    move_pointer,
    read_champion,
    read_pointer,
    roll_back,
    version_path,
    versions,
    with_fitted,
    write_champion,
)
from engine.dataset.read import Dataset
from engine.errors import ChampionError, ConfigError
from engine.lake import Lake
from engine.signals.bundle import Bundle, load_bundle
from engine.signals.promoted import load_built_in, make_promoted, source_of
from engine.signals.registry import BUILT_IN, get_signal, signal_names, signals_of
from engine.trades.track import checked_track
from tune.code_version import code_version
from tune.config import SweepConfig
from tune.errors import RunFailedError
from tune.fitted import fitted_after
from tune.gate import GateError, failed_checks, figures_of, instrument_differs, judged_rows
from tune.judgement import is_outside
from tune.leaderboard import METRICS, rank
from tune.ledger import TrialLedger
from tune.promise import promise_of
from tune.registry import ChampionRegistry
from tune.results import ResultStore
from tune.run import read_state
from tune.stale import stale_runs, staleness
from tune.trial import prediction_mode

_EVALUATION: Final = ("eval_tp_ticks", "eval_sl_ticks", "eval_max_hold_bins", "warmup_bins", "tick_size")


def best_run(lake: Lake, sweep_id: str) -> tuple[str, float]:
    """Run and threshold at the head of a sweep's leaderboard.

    Raises
    ------
    ConfigError
        Unknown sweep, or none of its runs can be ranked.
    """
    state = read_state(lake, sweep_id)
    config = SweepConfig.model_validate(state.config)
    ranking = rank(ResultStore(lake).rows(state.run_ids), config.search.objective, config.eval.min_signals)
    if not len(ranking):
        raise ConfigError(f"sweep {sweep_id} has no run with {config.eval.min_signals} trades or more; promote by RUN_ID")
    row = ranking.row(0, named=True)
    return str(row["run_id"]), float(row["threshold"])


def best_passing(lake: Lake, sweep_id: str) -> tuple[str, float]:
    """Run and threshold of the first row of a sweep's leaderboard that the gate lets pass.

    Raises
    ------
    ConfigError
        Unknown sweep.
    GateError
        None does; the line says what the head of the board fails.
    """
    state = read_state(lake, sweep_id)
    config = SweepConfig.model_validate(state.config)
    rows, least = ResultStore(lake).rows(state.run_ids), config.eval.min_signals
    ranking = rank(rows, config.search.objective, least)
    if not len(ranking):
        raise GateError(
            f"sweep {sweep_id} has no run with {least} trades or more, so nothing passes the gate; nothing was promoted"
        )
    differs = {name: instrument_differs(Dataset.open(lake, name)) for name in ranking.get_column("dataset_id").unique().sort()}
    stale = stale_runs(lake, rows)
    heads = []
    for row in judged_rows(ranking, rows, TrialLedger(lake).trials(), least).iter_rows(named=True):
        failed = failed_checks(figures_of(row, least, differs[row["dataset_id"]], staleness(stale, row)))
        if not failed:
            return str(row["run_id"]), float(row["threshold"])
        heads.append((row["run_id"], failed))
    head, failed = heads[0]
    raise GateError(
        f"none of the {len(heads)} ranked runs of sweep {state.sweep_id} passes the gate, nothing was promoted; its head, run "
        f"{head}, fails: {', '.join(failed)}"
    )


def promote_run(lake: Lake, run_id: str, threshold: float | None, because: str | None = None) -> dict[str, Any]:
    """Make a run the champion, if the gate lets it pass.

    Parameters
    ----------
    threshold : float, optional
        One of the run's; default the one whose net expectancy has the best lower bound.
    because : str, optional
        Why it is to serve whatever the gate finds; kept in the version with what it failed, and shown wherever it serves.

    Raises
    ------
    ConfigError, ChampionError, DatasetError
        Nothing was changed: the run or threshold is unknown, its dataset is gone, or its signal does not load.
    GateError
        Nothing was changed: the gate refused it; the line names every check that failed.
    RunFailedError
        MLflow failed; the message says what stands.
    """
    row = run_row(lake, run_id, threshold)
    if is_outside(row["signal_name"]):
        raise ChampionError(
            f"run {run_id} judged {row['signal_name']}, scores from outside: there is no signal that could be served, and "
            "nothing shows that they do not look ahead. Write it as a signal, sweep it, and promote that run"
        )
    with signals_of(bundles_of(lake, row)):
        champion = _build(lake, row)
        promise = promise_of(*_of_its_sweep(lake, row), row, prediction_mode(get_signal(champion.signal)))
    _require_loads(champion)
    champion = champion.model_copy(update={"promise": promise, "gate": _pass_gate(lake, row, because)})
    champion = champion.model_copy(update={"fitted": fitted_after(lake, champion, _of_its_sweep(lake, row)[0])})
    champion = _stored(lake, champion)
    try:
        registry = ChampionRegistry(lake)
        registry.register(champion, version_path(lake, champion.version))
    except Exception as error:  # whatever MLflow raises
        raise RunFailedError(
            f"champion {champion.version} was written but not registered in MLflow ({_one_line(error)}); the pointer was not "
            f"moved, champion {read_pointer(lake).version or 'none'} serves on. Mend MLflow and promote again"
        ) from error
    before = read_pointer(lake).version
    if before != champion.version:
        move_pointer(lake, champion.version)
    return _follow(lake, registry, champion, before)


def _of_its_sweep(lake: Lake, row: dict[str, Any]) -> tuple[pl.DataFrame, int]:
    """All rows that a run's sweep chose among, those that an earlier one had scored with them, and the trades it asks for."""
    store = ResultStore(lake)
    try:
        state = read_state(lake, row["sweep_id"])
    except ConfigError:  # it was deleted: what the sweep itself scored is left
        return store.rows().filter(pl.col("sweep_id") == row["sweep_id"]), 1
    return store.rows({*state.run_ids, row["run_id"]}), SweepConfig.model_validate(state.config).eval.min_signals


def _pass_gate(lake: Lake, row: dict[str, Any], because: str | None) -> Gate:
    """What the gate says of a run at a threshold."""
    rows, least = _of_its_sweep(lake, row)
    chosen = rows.filter(rows.get_column("run_id") == row["run_id"], rows.get_column("threshold") == row["threshold"])
    judged = judged_rows(chosen, rows, TrialLedger(lake).trials(), least).row(0, named=True)
    differs = instrument_differs(Dataset.open(lake, row["dataset_id"]))
    failed = failed_checks(figures_of(judged, least, differs, staleness(stale_runs(lake, rows), judged)))
    if failed and because is None:
        raise GateError(
            f"run {row['run_id']} at threshold {row['threshold']:g} is not promoted, the gate refuses it: {', '.join(failed)}. "
            'Whoever knows better adds --force --because "WHY", which is kept and shown'
        )
    return Gate(failed=failed, because=because if failed and because is not None else "")


def promote_none(lake: Lake) -> dict[str, Any]:
    """Put the instrument's own signal in service.

    Raises
    ------
    RunFailedError
        The pointer moved, the alias did not.
    """
    before = read_pointer(lake).version
    if before is not None:  # else it serves already, and there is nothing to roll back to
        move_pointer(lake, None)
    return _without(lake, before)


def roll_back_champion(lake: Lake) -> dict[str, Any]:
    """Put back in service what served before: a champion, or the instrument's own signal.

    Raises
    ------
    ChampionError
        There is nothing, or it does not load any more.
    RunFailedError
        The pointer moved, the alias did not.
    """
    pointer = read_pointer(lake)
    if pointer.trail and pointer.trail[-1] is not None:
        _require_loads(with_fitted(lake, read_champion(lake, pointer.trail[-1])))
    now = roll_back(lake)
    if now.version is None:
        return _without(lake, pointer.version)
    champion = read_champion(lake)
    try:
        registry = ChampionRegistry(lake)
        registry.register(champion, version_path(lake, champion.version))
    except Exception as error:  # whatever MLflow raises
        raise RunFailedError(_alias_line(now.version, error)) from error
    return _follow(lake, registry, champion, pointer.version)


def show(lake: Lake) -> dict[str, Any]:
    """The champion in service, the alias, and every version."""
    pointer = read_pointer(lake)
    alias: int | str | None = None
    if _has_registry(lake):
        try:
            alias = ChampionRegistry(lake).pointed()
        except Exception as error:  # whatever MLflow raises: shown where the version would stand
            alias = f"not readable: {_one_line(error)}"
    return {
        "version": pointer.version,
        "trail": list(pointer.trail),
        "mlflow": alias,
        "history": [_told(lake, champion) for champion in history(lake)],
    }


def _told(lake: Lake, champion: Champion) -> dict[str, Any]:
    standing, record = checked_track(lake, champion)
    stale = staleness(stale_runs(lake, ResultStore(lake).rows([champion.run_id])), {"run_id": champion.run_id})
    return {**champion.told(), "standing": standing, "record": record, "swept": _beside_defaults(champion), "stale": stale}


def run_row(lake: Lake, run_id: str, threshold: float | None) -> dict[str, Any]:
    """A run's row at a threshold, by default the one whose net expectancy has the best lower bound in sample.

    Raises
    ------
    ConfigError
        There is no such run, or it was not scored at that threshold.
    """
    rows = ResultStore(lake).rows([run_id])
    if not len(rows):
        raise ConfigError(f"run was {run_id!r}; {lake.results} has no such run. See: python -m tune compare")
    if threshold is None:
        best = rank(rows, "expectancy_low", 1)
        if not len(best):
            raise ConfigError(f"run {run_id} took no trade at any threshold; promote another")
        threshold = float(best.item(0, "threshold"))
    known = sorted(rows.get_column("threshold"))
    if threshold not in known:
        raise ConfigError(f"--threshold was {threshold:g}; run {run_id} was scored at {', '.join(f'{t:g}' for t in known)}")
    return rows.filter(rows.get_column("threshold") == threshold).row(0, named=True)


def bundles_of(lake: Lake, row: dict[str, Any]) -> list[Bundle]:
    """The files of signals that the run's sweep kept, where they are needed: those given with --signals come first."""
    if row["signal_name"] in signal_names():
        return []
    try:
        bundles = read_state(lake, row["sweep_id"]).signal_bundles
    except ConfigError:
        return []
    return [bundle for bundle in bundles if row["signal_name"] in load_bundle(bundle).signals]


def _build(lake: Lake, row: dict[str, Any]) -> Champion:
    """The champion a run's row describes; its version is the next free one until it is stored."""
    dataset = Dataset.open(lake, row["dataset_id"])
    if dataset.checksum != row["dataset_checksum"]:
        raise ChampionError(f"dataset {dataset.dataset_id} is not the one run {row['run_id']} was scored on; sweep again")
    signal = row["signal_name"]
    if code_version(signal) != row["code_version"]:
        raise ChampionError(
            f"run {row['run_id']} was scored by another version of {signal} ({row['code_version']}, now {code_version(signal)}); "
            "its figures do not hold for what would be served. Run the sweep again"
        )
    config = dataset.manifest["config"]
    return Champion(
        version=(versions(lake) or [0])[-1] + 1,
        signal=signal,
        parameters=json.loads(row["resolved_params_json"]),
        thresholds=(row["threshold"],),
        cooldown_bins=row["cooldown_bins"],
        dataset_id=dataset.dataset_id,
        dataset_checksum=dataset.checksum,
        evaluation={name.removeprefix("eval_"): row[name] for name in _EVALUATION},
        metrics={name: None if row[name] != row[name] else row[name] for name in METRICS},
        sweep=row["sweep_id"],
        run_id=row["run_id"],
        config_version=dataset.manifest["config_version"],
        state5_table=config["state5_table"],
        cell_width_ms=config["cell_width_ms"],
        grid_radius_ticks=dataset.radius,
        code_version=row["code_version"],
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=source_of(signal),
    )


def _require_loads(champion: Champion) -> None:
    """Build and warm the signal as a replica would."""
    try:
        make_promoted(champion).warmup()
    except (ConfigError, ChampionError) as error:
        raise ChampionError(f"run {champion.run_id} cannot be promoted, its signal does not load: {error}") from error


def _stored(lake: Lake, champion: Champion) -> Champion:
    """The version on file that says the same, else a new one."""
    for version in versions(lake):
        stored = read_champion(lake, version)
        same = {"version": version, "created_at": stored.created_at, "fitted": _unread(champion.fitted)}
        if stored == champion.model_copy(update=same):
            return stored
    while True:
        try:
            write_champion(lake, champion)
        except ChampionError:
            taken = versions(lake)
            if champion.version not in taken:
                raise
            champion = champion.model_copy(update={"version": taken[-1] + 1})  # another promotion was faster
        else:
            return champion


def _unread(fitted: FittedState | None) -> FittedState | None:
    """As a version's file has it."""
    return None if fitted is None else fitted.model_copy(update={"data": b""})


def _follow(lake: Lake, registry: ChampionRegistry, champion: Champion, before: int | None) -> dict[str, Any]:
    """Let the alias follow the pointer, and say where both are."""
    try:
        model_version = registry.move_alias(champion.version)
    except Exception as error:  # whatever MLflow raises
        raise RunFailedError(_alias_line(champion.version, error)) from error
    was = "already in service" if before == champion.version else f"in service (before: {before or 'none'})"
    gate = champion.gate
    forced = f"; FORCED because {gate.because}; it fails {', '.join(gate.failed)}" if gate is not None and gate.failed else ""
    return {
        "version": champion.version,
        "before": before,
        "run_id": champion.run_id,
        "model_version": model_version,
        "standing": champion.standing,
        "line": (
            f"champion {champion.version} {was}: {champion.signal}, threshold {champion.thresholds[0]:g}, run {champion.run_id} "
            f"on {champion.dataset_id}; MLflow alias 'champion' at model version {model_version}{forced}"
        ),
    }


def _without(lake: Lake, before: int | None) -> dict[str, Any]:
    """Take the alias away, as the pointer names nobody, and say so."""
    if _has_registry(lake):
        try:
            ChampionRegistry(lake).drop_alias()
        except Exception as error:  # whatever MLflow raises
            raise RunFailedError(
                f"no champion is in service, but the MLflow alias stayed ({_one_line(error)}). Serving is not affected; "
                "mend MLflow and repeat promote --none to take it away"
            ) from error
    was = "served already" if before is None else f"is in service (before: champion {before})"
    return {
        "version": None,
        "before": before,
        "run_id": None,
        "model_version": None,
        "standing": "instrument",
        "line": f"the instrument's own signal {was}; no champion, and no MLflow alias 'champion'",
    }


def _has_registry(lake: Lake) -> bool:
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (lake.mlflow / "mlflow.db").exists()


def _alias_line(version: int | None, error: Exception) -> str:
    return (
        f"champion {version} is in service, but the MLflow alias did not follow ({_one_line(error)}). Serving is not affected; "
        "mend MLflow and promote the same run again to move the alias."
    )


def _beside_defaults(champion: Champion) -> dict[str, Any]:
    """Parameters that are not the default; all of a foreign signal's, which is not loaded for a listing."""
    fields = load_built_in(champion.signal).Params.model_fields if champion.signal in BUILT_IN else {}
    return {k: v for k, v in champion.parameters.items() if k not in fields or fields[k].default != v}


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
