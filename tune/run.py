"""One sweep from its configuration to its leaderboard: what is done already is skipped, what arrives is kept at once."""

import importlib
import json
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from engine.ray_environment import prepare_ray_environment
from engine.signals.bundle import Bundle, read_bundle
from engine.signals.registry import signals_of
from tune.beside import Beside, with_luck
from tune.config import SweepConfig, parse_sweep_config
from tune.leaderboard import LiveRanking, rank
from tune.ledger import TrialLedger
from tune.pooled import pool
from tune.results import ResultStore
from tune.screen import LIVE_ROWS, Screen
from tune.space import NO_VARIANT, SignalPlan, build_points, open_datasets, plan_signals
from tune.tracking import SweepTracker, experiment_name
from tune.trial import Point, PointFailure, RunResult, load_market
from tune.variants import SMOKE_DATASET, ensure_smoke_dataset, with_variants


@dataclass(frozen=True)
class SweepState:
    """What stands in ``sweeps/<sweep_id>/sweep.json``: enough to go on after any end."""

    sweep_id: str
    created_at: str
    config: dict[str, Any]
    config_hash: str
    limit: int | None
    run_ids: list[str]
    bundles: list[dict[str, Any]] = field(default_factory=list)  # signals of one's own, their sources

    @property
    def signal_bundles(self) -> list[Bundle]:
        """The files of signals that the sweep began with."""
        return [Bundle(**values) for values in self.bundles]


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended; its ranking is ``tune.leaderboard.rank`` over all its points, whoever computed them."""

    sweep_id: str
    n_points: int
    n_reused: int
    failures: list[PointFailure]
    beside: Beside

    @property
    def ranking(self) -> pl.DataFrame:
        """Best runs first, with what luck may have to do with it."""
        return self.beside.ranking


class SweepPlan(NamedTuple):
    """What a sweep is to do: its points, their datasets by id, and the signals as they were asked for once."""

    points: list[Point]
    datasets: dict[str, Dataset]
    signals: tuple[SignalPlan, ...]


def state_path(lake: Lake, sweep_id: str) -> Path:
    """File of a sweep's state."""
    return lake.sweeps / sweep_id / "sweep.json"


def read_state(lake: Lake, sweep: str) -> SweepState:
    """State of a sweep begun earlier.

    Parameters
    ----------
    sweep : str
        Its id; or the name of its configuration, which means the latest sweep of that name.

    Raises
    ------
    ConfigError
        Unknown sweep; the latest ones are named.
    """
    path = state_path(lake, sweep)
    if "/" in sweep or not path.is_file():
        states = [SweepState(**json.loads(path.read_text())) for path in lake.sweeps.glob("*/sweep.json")]
        states.sort(key=lambda state: (state.created_at, state.sweep_id))
        named = [state for state in states if state.config["name"] == sweep]
        if not named:
            known = ", ".join(state.sweep_id for state in states[-5:]) or "none"
            raise ConfigError(f"sweep was {sweep!r}; {lake.sweeps} has: {known}")
        return named[-1]
    return SweepState(**json.loads(path.read_text()))


def new_state(config: SweepConfig, limit: int | None, signal_files: Sequence[str | Path] = ()) -> SweepState:
    """State of a sweep that begins now, with the files of signals that it names and that are given beside it.

    Raises
    ------
    ConfigError
        One of the files cannot be read.
    """
    files = dict.fromkeys(str(Path(name).resolve()) for name in (*config.signal_files, *signal_files))
    bundles = [read_bundle(Path(name)) for name in files]
    values = config.model_dump(mode="json", exclude={"signal_files"})
    if bundles:  # their hashes and not where they lay
        values["signal_files"] = [bundle.hash for bundle in bundles]
    now = datetime.now(UTC)
    return SweepState(
        sweep_id=f"{config.name}_{now:%Y%m%dT%H%M%S}_{secrets.token_hex(2)}",
        created_at=now.isoformat(timespec="seconds"),
        config=values | {"signal_files": list(files)},
        config_hash=sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(),
        limit=limit,
        run_ids=[],
        bundles=[bundle.as_dict() for bundle in bundles],
    )


def plan_sweep(config: SweepConfig, lake: Lake, say: Callable[[str], None]) -> SweepPlan:
    """All points of a sweep; datasets that are missing are made on the way, and ``say`` says so.

    Each signal is asked for once, before anything is made.

    Raises
    ------
    EngineError
        Something in the configuration cannot be.
    """
    signals = plan_signals(config, say)
    if SMOKE_DATASET in config.datasets:
        ensure_smoke_dataset(lake, say)
    bases = open_datasets(config, lake)
    on_bases = [(base, NO_VARIANT) for base in bases]
    build_points(config, on_bases, signals)  # refuses what is wrong before variants take their time
    datasets = with_variants(config, bases, lake, say)
    points = build_points(config, datasets, signals)
    return SweepPlan(points, {dataset.dataset_id: dataset for dataset, _ in datasets}, signals)


def run_sweep(state: SweepState, lake: Lake, address: str, screen: Screen) -> SweepOutcome:
    """Run what is missing of a sweep.

    Raises
    ------
    EngineError
        Something in the configuration cannot be; raised before any worker starts.
    """
    bundles = state.signal_bundles
    for bundle in bundles:
        if state.run_ids and (changed := _since(bundle)):
            screen.say(changed)
    with signals_of(bundles):
        return _run_sweep(state, bundles, lake, address, screen)


def _since(bundle: Bundle) -> str:
    """What became of a signal's file since a sweep began; empty where it is as it was."""
    goes_on = f"the sweep goes on with the code it began with ({bundle.hash[:12]}); a new sweep takes"
    try:
        now = read_bundle(Path(bundle.path))
    except ConfigError:
        return f"{bundle.path} cannot be read any more: {goes_on.partition(';')[0]}"
    return "" if now == bundle else f"{bundle.path} has changed since this sweep began: {goes_on} what it holds now"


def _run_sweep(state: SweepState, bundles: Sequence[Bundle], lake: Lake, address: str, screen: Screen) -> SweepOutcome:
    config = parse_sweep_config(state.config, f"sweep {state.sweep_id}")
    plan = plan_sweep(config, lake, screen.say)
    points = plan.points[: state.limit]
    run_ids = [point.run_id for point in points]
    if state.run_ids and set(state.run_ids) != set(run_ids):
        screen.say("the code or the datasets have changed since this sweep began; changed points are computed anew")
    store = ResultStore(lake)
    known = store.run_ids()
    missing = [point for point in points if point.run_id not in known]
    state = SweepState(**{**asdict(state), "run_ids": run_ids})
    _write_state(state, lake)
    screen.say(f"sweep {state.sweep_id}: {len(points)} points, {len(points) - len(missing)} known already")

    folder = lake.sweeps / state.sweep_id
    ledger = TrialLedger(lake)
    ledger.contents.note(plan.datasets.values())
    arrivals = _Arrivals(state, config, store, ledger, screen, len(points), len(points) - len(missing))
    if missing:
        prepare_ray_environment(is_own=address == "local")  # before Ray is imported
        importlib.import_module("tune.search")  # now, so that no second thread imports at the same time

    with ThreadPoolExecutor(1) as beside:
        # MLflow takes seconds to import and to make its tables: meanwhile the workers start.
        tracker = beside.submit(_start_tracking, config, state.sweep_id, lake)
        if missing:
            _search(missing, plan, bundles, address, folder, arrivals)
        write_atomic(folder / "failures.json", json.dumps([asdict(f) for f in arrivals.failures], indent=1).encode())
        _tidy(store, ledger, screen)
        rows = store.rows(run_ids)
        pooled = pool(rows)
        best_first = rank(pooled, config.search.objective, config.eval.min_signals)
        judged = with_luck(best_first, rows, TrialLedger(lake).trials(), config.eval.min_signals, pooled)
        ranking = judged.ranking
        figures = {"n_points": len(points), "n_failed": len(arrivals.failures), "n_ranked": len(ranking)}
        try:
            if (started := tracker.result()) is not None:
                started.finish(ranking, figures, bool(arrivals.failures))
        except Exception as error:  # whatever tracking raises: the results are in the lake already
            screen.say(f"tracking failed, the results are safe in the lake: {' '.join(str(error).split())[:300]}")
    return SweepOutcome(state.sweep_id, len(points), len(points) - len(missing), arrivals.failures, judged)


def _tidy(store: ResultStore, ledger: TrialLedger, screen: Screen) -> None:
    """Few files of the many that the batches left; what cannot be is said, since it costs nothing but files."""
    try:
        store.compact()
        ledger.compact()
    except OSError as error:
        screen.say(f"the parts of the results stay as they are, which loses nothing: {error}")


class _Arrivals:
    """Takes the runs of a sweep as they arrive: into the store first, then to the screen."""

    def __init__(
        self,
        state: SweepState,
        config: SweepConfig,
        store: ResultStore,
        ledger: TrialLedger,
        screen: Screen,
        total: int,
        done: int,
    ) -> None:
        self._state, self._config, self._store, self._ledger, self.screen = state, config, store, ledger, screen
        self._total, self._done = total, done
        self._best = LiveRanking(config.search.objective, config.eval.min_signals, LIVE_ROWS)
        self.failures: list[PointFailure] = []

    @property
    def config(self) -> SweepConfig:
        return self._config

    @property
    def sweep_id(self) -> str:
        return self._state.sweep_id

    @property
    def best_score(self) -> float | None:
        """The objective at the best run so far; None while no run is ranked."""
        best = self._best.best
        return None if best is None or best.is_empty() else float(best.item(0, self._config.search.objective))

    def take(self, results: Sequence[RunResult], failures: Sequence[PointFailure]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._ledger.add(results, self._state.sweep_id, now)  # first: what was seen counts, whatever becomes of it
        self._store.append(
            results,
            sweep_id=self._state.sweep_id,
            experiment_name=experiment_name(self._config.tracking, self._config.name),
            config_hash=self._state.config_hash,
            timestamp_utc=now,
        )
        self._done += len(results)
        self.failures += failures
        self._best.add(results)
        for failure in failures:
            self.screen.say(
                f"failed: {failure.run_id} {failure.signal} {failure.swept} on {failure.dataset_id}: {failure.reason}"
            )
        self.screen.progress(self._done, len(self.failures), self._total, self._best.best)


def _search(
    missing: Sequence[Point], plan: SweepPlan, bundles: Sequence[Bundle], address: str, folder: Path, arrivals: _Arrivals
) -> None:
    from tune.metrics import SweepMetrics
    from tune.search import ray_session, run_points

    wanted = {point.signal for point in missing}
    classes = [signal.signal_class for signal in plan.signals if signal.name in wanted]
    markets = {name: load_market(plan.datasets[name], classes) for name in {point.dataset_id for point in missing}}
    n_bytes = sum(market.nbytes for market in markets.values())
    with ray_session(address, arrivals.config.parallel.max_workers, n_bytes) as dashboard:
        arrivals.screen.say(f"Ray dashboard: {dashboard}")
        metrics = SweepMetrics(arrivals.sweep_id)

        def take(results: Sequence[RunResult], failures: Sequence[PointFailure]) -> None:
            arrivals.take(results, failures)
            metrics.take(len(results), len(failures), arrivals.best_score)

        run_points(missing, markets, arrivals.config.parallel, folder / "tune", take, bundles)


def _start_tracking(config: SweepConfig, sweep_id: str, lake: Lake) -> SweepTracker | None:
    if config.tracking.backend == "none":
        return None
    return SweepTracker(lake, config.tracking, config.name, sweep_id, lake.sweeps / sweep_id / "mlflow_run.txt")


def _write_state(state: SweepState, lake: Lake) -> None:
    write_atomic(state_path(lake, state.sweep_id), json.dumps(asdict(state), indent=1).encode())
