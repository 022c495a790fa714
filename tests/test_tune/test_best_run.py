"""Which run of a sweep is its best, and at which of its thresholds: on made-up runs in a real store."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from tests.test_tune.made import made, run_of
from tests.test_tune.small_sweep import COMMON, sweep_values
from tune import promote
from tune.config import parse_sweep_config
from tune.results import ResultStore
from tune.run import new_state, state_path

Sweep = Callable[..., str]


@pytest.fixture
def sweep_of(tmp_path: Path) -> tuple[Lake, Sweep]:
    """A lake, and how a sweep of made-up runs comes into it."""
    lake = Lake(tmp_path / "made")

    def sweep(*runs: list[dict[str, Any]], **changes: Any) -> str:
        state = new_state(parse_sweep_config(sweep_values(**changes), "test"), None)
        values = {**asdict(state), "run_ids": [rows[0]["run_id"] for rows in runs]}
        write_atomic(state_path(lake, state.sweep_id), json.dumps(values).encode())
        ResultStore(lake).append([run_of(rows) for rows in runs], sweep_id=state.sweep_id, **COMMON)
        return state.sweep_id

    return lake, sweep


def test_of_a_runs_thresholds_that_tie_the_surer_one_in_sample_is_promoted(sweep_of: tuple[Lake, Sweep]) -> None:
    lake, sweep = sweep_of
    rows = [made("a", t, oos_expectancy_low=1.0, expectancy_low=low) for t, low in ((0.1, -2.0), (0.2, -1.0), (0.3, -3.0))]
    assert promote.best_run(lake, sweep(rows)) == ("a", 0.2)


def test_the_best_is_of_the_sweep_that_is_named(sweep_of: tuple[Lake, Sweep]) -> None:
    lake, sweep = sweep_of
    one = sweep([made("a", 0.1, oos_expectancy_low=1.0)], [made("b", 0.1, oos_expectancy_low=2.0)])
    other = sweep([made("c", 0.1, oos_expectancy_low=3.0)])
    assert promote.best_run(lake, one) == ("b", 0.1)
    assert promote.best_run(lake, other) == ("c", 0.1)


def test_the_best_is_by_the_sweeps_own_objective_and_among_rows_with_trades_enough(sweep_of: tuple[Lake, Sweep]) -> None:
    lake, sweep = sweep_of
    runs = [
        [made("a", 0.1, sharpe=1.0, oos_expectancy_low=9.0, n_signals=99)],
        [made("b", 0.1, sharpe=2.0, oos_expectancy_low=8.0, n_signals=8)],
        [made("c", 0.1, sharpe=3.0, oos_expectancy_low=7.0, n_signals=7)],
    ]
    objective = {"search": {"objective": "sharpe"}}
    assert promote.best_run(lake, sweep(*runs)) == ("a", 0.1)
    assert promote.best_run(lake, sweep(*runs, **objective)) == ("c", 0.1)
    assert promote.best_run(lake, sweep(*runs, **objective, eval={"min_signals": 8})) == ("b", 0.1)
    none = sweep(*runs, eval={"min_signals": 100})
    with pytest.raises(ConfigError, match="has no run with 100 trades or more"):
        promote.best_run(lake, none)
