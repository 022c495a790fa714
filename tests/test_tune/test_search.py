"""The Ray wiring, on a real local cluster that all tests here share."""

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.ray_environment import prepare_ray_environment, require_answer
from engine.signals.registry import get_signal
from tests.blocks import publish_random
from tests.full_disk import room_for
from tests.processes import descendants
from tests.test_tune.markets import sound_rules
from tests.test_tune.small_sweep import DATASET, evaluated, points_of
from tune.cli import main
from tune.config import ParallelConfig
from tune.results import ResultStore
from tune.trial import Point, PointFailure, RunResult, load_market

FULL = 4096  # bytes that a file may have: a sweep's state and no more
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    prepare_ray_environment(is_own=True)
    from tune.search import ray_session

    with ray_session("local", 2, 64 << 20) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    publish_random(lake, DATASET, n_bins=2500, radius=5, seed=7)
    return lake


def searched(
    lake: Lake, points: list[Point], storage: Path, timeout_s: float = 100.0
) -> tuple[dict[str, RunResult], dict[str, PointFailure], list[str]]:
    """What came of the points: results, failures, and every id in the order of arrival."""
    from tune.search import run_points

    results: dict[str, RunResult] = {}
    failures: dict[str, PointFailure] = {}
    arrived: list[str] = []

    def take(new_results: list[RunResult], new_failures: list[PointFailure]) -> None:
        results.update({result.meta["run_id"]: result for result in new_results})
        failures.update({failure.run_id: failure for failure in new_failures})
        arrived.extend([result.meta["run_id"] for result in new_results] + [failure.run_id for failure in new_failures])

    markets = {DATASET: load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])}
    run_points(points, markets, ParallelConfig(max_workers=2, timeout_seconds=timeout_s), storage, take)
    return results, failures, arrived


def test_every_point_arrives_once_and_equals_the_plain_function(ray_address: str, lake: Lake, tmp_path: Path) -> None:
    windows = {"per_signal": {"perm_derivative": {"zscore_window_bins": list(range(80, 105))}}}
    points = points_of(lake, sweep=windows)
    results, failures, arrived = searched(lake, points, tmp_path)
    assert failures == {}
    assert sorted(arrived) == sorted(point.run_id for point in points)
    for plain in evaluated(lake, points):
        found = results[plain.meta["run_id"]]
        assert repr(found.rows) == repr(plain.rows)  # to the last bit, NaN included
        assert {**found.meta, "elapsed_seconds": 0} == {**plain.meta, "elapsed_seconds": 0}


def test_a_failing_point_costs_no_other(ray_address: str, lake: Lake, tmp_path: Path) -> None:
    points = points_of(lake)
    bad = replace(points[0], parameters={**points[0].parameters, "center_exclusion_radius": 50})
    results, failures, _ = searched(lake, [*points, bad], tmp_path)
    assert set(results) == {point.run_id for point in points}
    assert "center_exclusion_radius was 50" in failures[bad.run_id].reason


def test_a_point_that_takes_too_long_is_ended_and_named(ray_address: str, lake: Lake, tmp_path: Path) -> None:
    (point,) = points_of(lake)[:1]
    results, failures, arrived = searched(lake, [point], tmp_path, timeout_s=1e-6)
    assert results == {}
    assert arrived == [point.run_id]
    assert "longer than parallel.timeout_seconds, 1e-06 s" in failures[point.run_id].reason
    results, failures, _ = searched(lake, [point], tmp_path)  # and with enough time it is tried again
    assert (set(results), failures) == ({point.run_id}, {})


def test_a_killed_worker_is_replaced_and_its_batch_done_again(ray_address: str, lake: Lake, tmp_path: Path) -> None:
    from tune.search import run_points

    points = points_of(lake, sweep={"per_signal": {"perm_derivative": {"zscore_window_bins": list(range(80, 120))}}})
    arrived: list[str] = []
    killed: list[int] = []

    def take(results: list[RunResult], failures: list[PointFailure]) -> None:
        assert failures == []
        arrived.extend(result.meta["run_id"] for result in results)
        if not killed:
            killed.extend(pid for pid, title in descendants(os.getpid()).items() if "ImplicitFunc" in title)
            os.kill(killed[0], signal.SIGKILL)

    markets = {DATASET: load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])}
    run_points(points, markets, ParallelConfig(max_workers=2), tmp_path, take)
    assert sorted(arrived) == sorted(point.run_id for point in points)
    assert killed


def test_what_stops_the_results_from_being_kept_comes_through_as_it_is(ray_address: str, lake: Lake, tmp_path: Path) -> None:
    """A full disk is no page of Tune's text."""
    from tune.search import run_points

    fault = OSError(errno.ENOSPC, "No space left on device", "the ledger")

    def take(results: list[RunResult], failures: list[PointFailure]) -> None:
        raise fault

    markets = {DATASET: load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])}
    with pytest.raises(OSError, match="the ledger") as error:
        run_points(points_of(lake)[:2], markets, ParallelConfig(max_workers=2), tmp_path, take)
    assert error.value is fault


def test_sweep_on_a_full_disk_is_one_line_and_goes_on_when_there_is_room(
    ray_address: str, lake: Lake, write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--lake", str(lake.root)]
    with room_for(FULL):
        assert main(["sweep", str(write_config(name="full")), *where]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    sweep = told.split()[-1]
    assert told.startswith("python -m tune: no space left on the disk for ")
    assert told.endswith(f"Free some space and go on with: python -m tune sweep --resume {sweep}")
    assert sorted(ResultStore(lake).run_ids()) == []
    assert main(["sweep", "--resume", sweep, *where, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(ResultStore(lake).run_ids()) == report["n_points"]
    assert [path.name for path in lake.harness.rglob(".*.tmp")] == []


def test_dashboard_is_on_loopback(ray_address: str) -> None:
    assert ray_address.startswith("http://127.0.0.1:")


def test_a_real_ray_answers_as_one(ray_address: str) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")
    require_answer(address)


def test_points_are_split_evenly_and_those_of_one_series_stand_together() -> None:
    from tune.search import split

    def names(n: int, workers: int) -> list[list[int]]:
        points = [point(i, series=i % 2) for i in range(n)]
        return [[int(one.thresholds[0]) for one in batch] for batch in split(points, workers)]

    assert names(10, 1) == [[0, 2], [4, 6, 8], [1, 3, 5], [7, 9]]  # four batches a worker
    assert names(3, 1) == [[0], [2], [1]]
    assert names(0, 1) == []
    assert [len(batch) for batch in names(800, 1)] == [200] * 4
    assert [len(batch) for batch in names(801, 1)] == [160, 160, 161, 160, 160]  # no more than 200 in one
    assert len(names(100, 3)) == 12
    assert sorted(i for batch in names(801, 1) for i in batch) == list(range(801))


def point(number: int, series: int) -> Point:
    return Point("d", "c", "v", "s", {"series": series}, {}, sound_rules(), (float(number),), "e")
