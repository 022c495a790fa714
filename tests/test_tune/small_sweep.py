"""A small sweep over random bins, and what it comes to without Ray."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Any

import pytest

from engine.dataset.read import Dataset
from engine.files import write_atomic
from engine.lake import Lake
from engine.signals.registry import get_signal
from tune.cli import main
from tune.config import SweepConfig, parse_sweep_config
from tune.results import ResultStore
from tune.run import new_state, state_path
from tune.space import build_points, open_datasets
from tune.trial import Point, RunResult, evaluate_batch, load_market

Capture = pytest.CaptureFixture[str]
DATASET = "random_walk"
OWN_AXES = {"universal": {"cooldown_bins": [10]}, "per_signal": {"mine": {"window_bins": [5, 20]}}}
COMMON = {"experiment_name": "vp/t", "config_hash": "c" * 64, "timestamp_utc": "2026-02-06T15:00:00+00:00"}


def sweep_values(**changes: Any) -> dict[str, Any]:
    """Content of a small sweep file: 8 points."""
    values: dict[str, Any] = {
        "name": "small",
        "datasets": [DATASET],
        "signals": ["perm_derivative"],
        "eval": {"tp_ticks": [2, 4], "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100},
        "sweep": {
            "universal": {"cooldown_bins": [10, 30]},
            "per_signal": {"perm_derivative": {"zscore_window_bins": [80, 200]}},
        },
        "tracking": {"backend": "none"},
    }
    return {**values, **changes}


@contextmanager
def resolutions() -> Iterator[list[str]]:
    """The names for which this thread asks the registry while the context is open, whoever asks and by whichever import."""
    asked: list[str] = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code is get_signal.__code__:
            asked.append(frame.f_locals["name"])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield asked
    finally:
        sys.setprofile(before)


def points_of(lake: Lake, **changes: Any) -> list[Point]:
    """The points of the small sweep."""
    config = parse_sweep_config(sweep_values(**changes), "test")
    return build_points(config, [(dataset, "immutable") for dataset in open_datasets(config, lake)])


def evaluated(lake: Lake, points: list[Point]) -> list[RunResult]:
    """Points evaluated here, without Ray."""
    names = {point.dataset_id for point in points}
    classes = [get_signal(name) for name in sorted({point.signal for point in points})]
    markets = {name: load_market(Dataset.open(lake, name), classes) for name in names}
    results = [outcome for outcome in evaluate_batch(points, markets) if isinstance(outcome, RunResult)]
    assert len(results) == len(points)
    return results


def finished_sweep(lake: Lake, **changes: Any) -> str:
    """A sweep of the lake as if it had run; its id."""
    config: SweepConfig = parse_sweep_config(sweep_values(**changes), "test")
    points = points_of(lake, **changes)
    state = new_state(config, None)
    values = {**asdict(state), "run_ids": [point.run_id for point in points]}
    write_atomic(state_path(lake, state.sweep_id), json.dumps(values).encode())
    ResultStore(lake).append(evaluated(lake, points), sweep_id=state.sweep_id, **COMMON)
    return state.sweep_id


def swept(lake: Lake, capsys: Capture, *arguments: str) -> dict[str, Any]:
    """What a sweep command reports; it must not fail."""
    code = main(["sweep", *arguments, "--lake", str(lake.root), "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured
    return {**json.loads(captured.out), "said": captured.err}
