"""What must stay fast, as ratios within one run: no machine's seconds are asserted."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.bench.stages import checkpoint
from engine.bench.suite import bench, keep
from engine.run.runner import Runner, Span
from engine.simulate.session import simulate
from tests.reference import Record
from tests.sessions import small_config
from tests.streams import DAY_START, OPEN, build_up, record, to_array

QUIET_BINS = 4000


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return bench(300.0)


def figure(result: dict[str, Any], what: str) -> dict[str, Any]:
    (found,) = [one for one in result["figures"] if one["what"] == what]
    return found


def test_book_and_field_keep_up_with_the_decoder(result: dict[str, Any]) -> None:
    """On a quiet machine about as fast; the bound leaves room for a noisy one."""
    assert figure(result, "book and field")["x_decode"] > 0.2


def test_exact_kernel_is_of_the_same_speed_class(result: dict[str, Any]) -> None:
    exact, finite = (figure(result, f"whole pipeline, {kernel}") for kernel in ("exact", "finite"))
    assert exact["seconds"] < 1.7 * finite["seconds"]


def test_one_bin_at_a_time_costs_little_more_than_blocks(result: dict[str, Any]) -> None:
    assert figure(result, "one bin at a time")["p50_us"] < 3 * figure(result, "whole pipeline, finite")["us_per_bin"]


def test_a_dataset_costs_no_more_than_its_bins_several_times(result: dict[str, Any]) -> None:
    made, bins = figure(result, "file to dataset on disk"), figure(result, "whole pipeline, finite")
    assert made["x_real_time"] > bins["x_real_time"] / 25  # so few bins hardly outweigh the disk's own waits


def test_figures_are_kept_by_date_and_code(result: dict[str, Any], tmp_path: Path) -> None:
    path = keep(result, tmp_path)
    assert path.name == f"{result['made_at'][:10]}_{result['code_version']}.json"
    assert json.loads(path.read_text()) == result
    assert all(one["seconds"] > 0 for one in result["figures"])


def test_a_kept_book_saves_the_fast_forward(tmp_path: Path) -> None:
    path = tmp_path / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=1, seconds=1890, rate=700.0)  # the warm-up of 10:01 begins at 09:31
    found = checkpoint(str(path), "10:01")
    assert found["seconds"] > 3 * found["with_s"]


def quiet_session(n_ticks: int) -> list[Record]:
    """``n_ticks`` far ticks touched once, then a quiet market with an event a bin."""
    far = [record("A", 1000 + i, side="B", tick=-20 - i, size=1, time=i) for i in range(n_ticks)]
    return [*build_up(), *far, *(record("N", 1, time=(1 + i) * 100_000_000) for i in range(QUIET_BINS))]


def test_slots_that_nobody_reads_cost_nothing() -> None:
    config = small_config(n_absolute_ticks=8192)
    took = []
    for n_ticks in (10, 3000):
        rows = to_array(quiet_session(n_ticks))
        times = []
        for _ in range(4):
            runner = Runner(config, Span(DAY_START, DAY_START + 86_400 * 10**9, OPEN))
            began = time.perf_counter()
            n_bins = sum(block.n for block in runner.feed(rows, 256))
            times.append(time.perf_counter() - began)
            assert n_bins == QUIET_BINS
        took.append(min(times[1:]))  # the first may compile
    assert runner.engine.field.n_in_use[0] > 3000
    assert took[1] < 2.0 * took[0]
