"""The leaderboard over a lake, on made-up runs: which of them stand on it, and against which they are judged."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from engine.lake import Lake
from tests.test_tune.made import made, run_of
from tests.test_tune.markets import sound_rules
from tests.test_tune.small_sweep import COMMON
from tune.notebook import compare, standings
from tune.results import ResultStore

UNSOUND = json.dumps(asdict(sound_rules(fee_per_contract=0.62, sound_only=False)))
MID = json.dumps(asdict(sound_rules(fee_per_contract=0.62, fill="mid")))
RUNS: list[dict[str, Any]] = [
    made("a", 0.1, oos_expectancy_low=1.0, sharpe=5.0),
    made("b", 0.1, oos_expectancy_low=2.0, sharpe=4.0, signal_name="series:mine"),
    made("c", 0.1, oos_expectancy_low=3.0, sharpe=3.0, dataset_id="e"),
    made("few", 0.1, oos_expectancy_low=9.0, sharpe=9.0, n_signals=4),
    made("just", 0.1, oos_expectancy_low=0.5, sharpe=0.5, n_signals=5),
    made("ahead", 0.1, oos_expectancy_low=8.0, sharpe=8.0, lookahead="flat_window: whole_series"),
    made("mid", 0.1, oos_expectancy_low=7.0, sharpe=7.0, fill_model="mid to mid", rules_json=MID),
    made("unsound", 0.1, oos_expectancy_low=6.0, sharpe=6.0, rules_json=UNSOUND),
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    ResultStore(lake).append([run_of([row]) for row in RUNS], sweep_id="s", **COMMON)
    return lake


@pytest.mark.parametrize(
    ("asked", "run_ids"),
    [
        ({}, ["c", "b", "a", "just"]),
        ({"top": 2}, ["c", "b"]),
        ({"sort": "sharpe"}, ["a", "b", "c", "just"]),
        ({"min_signals": 4}, ["few", "c", "b", "a", "just"]),
        ({"min_signals": 6}, ["c", "b", "a"]),
        ({"signal": "series:mine"}, ["b"]),
        ({"dataset": "e"}, ["c"]),
        ({"dataset": "d", "signal": "series:mine"}, ["b"]),
        ({"with_all": True}, ["c", "b", "a", "just", "ahead", "mid", "unsound"]),
    ],
)
def test_what_stands_on_the_leaderboard(lake: Lake, asked: dict[str, Any], run_ids: list[str]) -> None:
    assert compare(lake, **asked).get_column("run_id").to_list() == run_ids


def test_runs_under_looser_rules_are_counted_and_neither_compared_nor_chosen_among(lake: Lake) -> None:
    strict = standings(lake, None, None, "oos_expectancy_low", 5, 1, with_all=False)
    assert strict.n_loose == 3
    assert [luck.n_compared for luck in strict.beside.lucks] == [4]  # those that are not among the top one too
    every = standings(lake, None, None, "oos_expectancy_low", 5, 20, with_all=True)
    assert every.n_loose == 0
    assert [luck.n_compared for luck in every.beside.lucks] == [7]
