"""Ray Tune wiring only: few of its trials, of many points each, results handed over as they arrive.

The caller's store is the truth and decides what is missing; Tune's own state is never read back. Source: ray.md.
"""

import logging
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune as ray_tune

from engine.errors import ConfigError
from engine.files import writing
from engine.ray_environment import begin_ray, init_arguments
from engine.signals.bundle import Bundle
from engine.signals.registry import origin, signals_of
from tune.code_version import code_version
from tune.config import ParallelConfig
from tune.errors import RunFailedError
from tune.trial import Market, Point, PointFailure, RunResult, evaluate_batch

BATCHES_PER_WORKER: Final = 4
MAX_BATCH_POINTS: Final = 200
REPORT_SECONDS: Final = 0.25  # how long a worker gathers results before it sends them
WORKER_RETRIES: Final = 2
_SHIPPED: Final = ("engine", "tune")

OnBatch = Callable[[Sequence[RunResult], Sequence[PointFailure]], None]


@contextmanager
def ray_session(address: str, max_workers: int, data_bytes: int) -> Iterator[str]:
    """A Ray to work on, started here or joined; yields the dashboard's address.

    Parameters
    ----------
    address : str
        ``local`` starts one on this machine, on loopback only, and stops it at the end; ``auto`` joins the running one;
        anything else is the address of a cluster's head.
    data_bytes : int
        What the object store must hold beside its own needs.

    Raises
    ------
    ConfigError
        No cluster answers at that address.
    WorkError
        Ray does not start here.
    """
    if ray.is_initialized():
        yield "that of the Ray already connected"
        return
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own screen shows what happens
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # and we report failed points ourselves
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C reaches us as KeyboardInterrupt
    context = begin_ray(ray.init, init_arguments(address, max_workers, data_bytes, _SHIPPED))
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else "not running"
    finally:
        ray.shutdown()


def run_points(
    points: Sequence[Point],
    markets: Mapping[str, Market],
    parallel: ParallelConfig,
    storage: Path,
    on_batch: OnBatch,
    bundles: Sequence[Bundle] = (),
) -> None:
    """Evaluate points on the Ray that is connected; returns when each has a result or a failure.

    Parameters
    ----------
    storage : Path
        Folder for Tune's state and for the marks that workers leave; every node must see it.
    on_batch : callable
        Called in this process with results and failures as they arrive; each point comes once.
    bundles : sequence of Bundle
        Signals of one's own, as sources: they travel with the work, so that a worker needs no file of ours.

    Raises
    ------
    RunFailedError
        Ray Tune gave up; what ``on_batch`` raises comes through as it is.
    """
    open_points = {point.run_id: point for point in points}

    def deliver(results: Sequence[RunResult], failures: Sequence[PointFailure]) -> None:
        new_results = [result for result in results if open_points.pop(result.meta["run_id"], None)]
        new_failures = [failure for failure in failures if open_points.pop(failure.run_id, None)]
        if new_results or new_failures:
            on_batch(new_results, new_failures)

    storage.mkdir(parents=True, exist_ok=True)
    marks = Path(tempfile.mkdtemp(prefix="marks-", dir=storage))
    data = ray.put(dict(markets))
    job = _Job(data, marks, parallel, storage, deliver, tuple(bundles))
    with writing(storage):
        _run_round(split(points, parallel.max_workers), job, WORKER_RETRIES)
    deliver([], _timed_out(open_points.values(), marks, parallel))
    # Whatever a dying worker took with it is tried once more, alone, so that one bad point costs no other.
    errors: dict[str, str] = {}
    if open_points:
        alone = [[point] for point in open_points.values()]
        with writing(storage):
            errors = _run_round(alone, job, 0)
    deliver([], _timed_out(open_points.values(), marks, parallel))
    deliver([], [_failure(point, errors.get(run_id, "its worker died")) for run_id, point in open_points.items()])


def split(points: Sequence[Point], workers: int) -> list[list[Point]]:
    """Batches of about equal size; points that share a score series stand together."""
    together: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        together[point.series_key].append(point)
    ordered = [point for group in together.values() for point in group]
    wanted = max(min(len(ordered), workers * BATCHES_PER_WORKER), -(-len(ordered) // MAX_BATCH_POINTS))
    edges = [round(i * len(ordered) / wanted) for i in range(wanted + 1)] if wanted else []
    return [ordered[low:high] for low, high in zip(edges, edges[1:], strict=False)]


@dataclass(frozen=True)
class _Job:
    """What the rounds of one sweep have in common."""

    data: "ray.ObjectRef[dict[str, Market]]"
    marks: Path
    parallel: ParallelConfig
    storage: Path
    deliver: OnBatch
    bundles: tuple[Bundle, ...]


def _run_round(batches: Sequence[Sequence[Point]], job: _Job, retries: int) -> dict[str, str]:
    """One Tune run over the batches; returns the error of each point whose trial Tune gave up."""
    deliver = _Deliver(job.deliver)
    trainable = ray_tune.with_parameters(
        _run_batch,
        markets=job.data,  # Tune hands the object itself to the worker, arrays as views of the store
        batches=list(batches),
        marks=str(job.marks),
        timeout_s=job.parallel.timeout_seconds,
        bundles=job.bundles,
    )
    tuner = ray_tune.Tuner(
        ray_tune.with_resources(trainable, {"cpu": 1}),
        param_space={"batch": ray_tune.grid_search(list(range(len(batches))))},
        tune_config=ray_tune.TuneConfig(reuse_actors=True, max_concurrent_trials=job.parallel.max_workers),
        run_config=ray_tune.RunConfig(
            name=f"tune-{time.time_ns()}",
            storage_path=str(job.storage),
            failure_config=ray_tune.FailureConfig(max_failures=retries),
            callbacks=[deliver],
            verbose=0,
        ),
    )
    errors: dict[str, str] = {}
    try:
        outcomes = tuner.fit()
    except ray_tune.TuneError as error:
        if deliver.error is not None:
            raise deliver.error from None  # Tune makes a page of text of it
        raise RunFailedError(f"Ray Tune gave up: {_last_line(error)}; what was computed is kept") from error
    for outcome in (outcomes[i] for i in range(len(outcomes))):
        if outcome.error is not None:
            batch = batches[(outcome.config or {})["batch"]]
            errors |= dict.fromkeys((point.run_id for point in batch), _last_line(outcome.error))
    return errors


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


class _Deliver(ray_tune.Callback):
    """Hands each report to the driver's own function."""

    def __init__(self, deliver: OnBatch) -> None:
        self._deliver: OnBatch | None = deliver
        self.error: Exception | None = None  # what the function raised

    def __getstate__(self) -> dict[str, Any]:
        return {"_deliver": None, "error": None}  # Tune pickles its callbacks into its own state, which is never read back

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if self._deliver is not None:
            try:
                self._deliver(result.get("results", ()), result.get("failures", ()))
            except Exception as error:
                self.error = error
                raise


def _run_batch(
    config: dict[str, Any],
    markets: Mapping[str, Market],
    batches: Sequence[Sequence[Point]],
    marks: str,
    timeout_s: float,
    bundles: Sequence[Bundle],
) -> None:
    """What runs on a worker: one batch, reporting every quarter of a second and at its end."""
    batch = [point for point in batches[config["batch"]] if not _mark(Path(marks), point).exists()]
    try:
        with signals_of(bundles):
            _require_same_code(batch)
            _report_each(batch, markets, Path(marks), timeout_s)
    except ConfigError as error:  # a signal that this node cannot load: what a point itself raises is its result
        ray_tune.report({"results": [], "failures": [_failure(point, str(error)) for point in batch]})


def _require_same_code(batch: Sequence[Point]) -> None:
    """Refuse to score with an installed signal that is not the one the sweep was planned with."""
    for name, planned in {(point.signal, point.code_version) for point in batch}:
        if origin(name).kind == "entry point" and code_version(name) != planned:
            raise ConfigError(f"signal {name} on this node ({origin(name).where}) is not the one the sweep was planned with")


def _report_each(batch: Sequence[Point], markets: Mapping[str, Market], marks: Path, timeout_s: float) -> None:
    results: list[RunResult] = []
    failures: list[PointFailure] = []
    reported = time.monotonic()
    watch = _Watch(batch, marks, timeout_s)
    with watch:
        for outcome in evaluate_batch(batch, markets):
            watch.next_point()
            if isinstance(outcome, RunResult):
                results.append(outcome)
            else:
                failures.append(outcome)
            if time.monotonic() - reported >= REPORT_SECONDS:
                ray_tune.report({"results": results, "failures": failures})
                results, failures, reported = [], [], time.monotonic()
                watch.restart()
    ray_tune.report({"results": results, "failures": failures})


class _Watch:
    """Ends the worker process when one point takes too long: a compiled loop cannot be interrupted in any other way."""

    def __init__(self, batch: Sequence[Point], marks: Path, timeout_s: float) -> None:
        self._batch, self._marks, self._timeout_s = batch, marks, timeout_s
        self._at = 0
        self._deadline = time.monotonic() + timeout_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._guard, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def next_point(self) -> None:
        self._at += 1
        self.restart()

    def restart(self) -> None:
        self._deadline = time.monotonic() + self._timeout_s

    def _guard(self) -> None:
        while not self._done.wait(max(0.0, self._deadline - time.monotonic())):
            if time.monotonic() >= self._deadline and self._at < len(self._batch):
                _mark(self._marks, self._batch[self._at]).touch()
                os._exit(1)


def _mark(marks: Path, point: Point) -> Path:
    return marks / f"timed-out-{point.run_id}"


def _timed_out(points: Iterable[Point], marks: Path, parallel: ParallelConfig) -> list[PointFailure]:
    reason = f"took longer than parallel.timeout_seconds, {parallel.timeout_seconds:g} s"
    return [_failure(point, reason) for point in points if _mark(marks, point).exists()]


def _failure(point: Point, reason: str) -> PointFailure:
    return PointFailure(point.run_id, point.dataset_id, point.signal, point.swept, reason)
