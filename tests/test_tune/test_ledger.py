"""What was tried counts: once, on every file it was tried on, whoever tried it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.lake import Lake
from tests.test_tune.made import HOUR, START, made, run_of
from tune.ledger import SCHEMA, TrialLedger, tried_on
from tune.parts import write_part


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def written(lake: Lake, run_id: str, sources: str, ratios: dict[float, float], sweep_id: str = "s") -> TrialLedger:
    """A ledger after one run more; ``ratios`` are threshold to Sharpe."""
    ledger = TrialLedger(lake)
    rows = [made(run_id, threshold, sources_json=sources, sharpe=sharpe) for threshold, sharpe in ratios.items()]
    ledger.add([run_of(rows)], sweep_id, f"at {sweep_id}")
    return ledger


def test_a_trial_is_kept_with_what_it_was(lake: Lake) -> None:
    ledger = written(lake, "a", '["f1", "f2"]', {0.1: 0.5, 0.2: -0.5}, "first")
    kept = ledger.trials()
    assert kept.get_column("candidate").n_unique() == 2  # the thresholds are two candidates
    assert kept.drop("candidate").to_dicts() == [
        {
            "run_id": "a",
            "threshold": threshold,
            "sources": ["f1", "f2"],
            "signal_name": "s",
            "sweep_id": "first",
            "timestamp_utc": "at first",
            "sharpe": sharpe,
            "start_ns": START,
            "end_ns": START + HOUR,
            "block_n": [0] * 48,
            "block_pnl": [0.0] * 48,
        }
        for threshold, sharpe in ((0.1, 0.5), (0.2, -0.5))
    ]


def test_a_trial_is_a_run_at_a_threshold_and_the_first_to_score_it_stands(lake: Lake) -> None:
    written(lake, "b", '["f1"]', {0.2: 1.0}, "first")
    written(lake, "a", '["f1"]', {0.1: 2.0, 0.2: 3.0}, "second")
    ledger = written(lake, "b", '["f1"]', {0.1: 4.0, 0.2: 5.0}, "third")
    found = ledger.trials().select("run_id", "threshold", "sweep_id", "sharpe").rows()
    assert found == [("b", 0.2, "first", 1.0), ("a", 0.1, "second", 2.0), ("a", 0.2, "second", 3.0), ("b", 0.1, "third", 4.0)]


@pytest.mark.parametrize(
    ("asked", "n"), [(["f1"], 3), (["f2"], 3), (["f1", "f2"], 4), (["f3"], 1), (["f2", "f3"], 4), (["f"], 0), ([], 0)]
)
def test_a_trial_over_two_files_counts_on_each_of_them_and_once_on_both(lake: Lake, asked: list[str], n: int) -> None:
    written(lake, "both", '["f1", "f2"]', {0.1: 1.0, 0.2: 1.0})
    written(lake, "one", '["f1"]', {0.1: 1.0})
    written(lake, "two", '["f2"]', {0.1: 1.0})
    ledger = written(lake, "other", '["f3"]', {0.1: 1.0})
    assert tried_on(ledger.trials(), asked).n == n


def test_a_trial_without_a_ratio_counts_all_the_same(lake: Lake) -> None:
    ledger = written(lake, "a", '["f1"]', {0.1: 1.0, 0.2: 3.0, 0.3: float("nan")})
    assert tried_on(ledger.trials(), ["f1"]).n == 3


def test_parts_of_an_older_version_count_and_cannot_be_resampled(lake: Lake) -> None:
    old = SCHEMA.remove(SCHEMA.get_field_index("block_pnl"))
    row = {"run_id": "old", "threshold": 0.1, "sources": ["f1"], "signal_name": "s", "sharpe": 1.0}
    write_part(TrialLedger(lake).folder, [row], old)
    tried = tried_on(written(lake, "new", '["f1"]', {0.1: 1.0}).trials(), ["f1"])
    assert (tried.n, tried.known.get_column("run_id").to_list()) == (2, ["new"])
    assert tried.panel([(START, START + HOUR)], np.zeros((0, 48)))[1] == 1


def level(ticks: float) -> list[float]:
    return [ticks] * 48


def panel_of(lake: Lake, rows: list[dict[str, Any]], sessions: list[tuple[int, int]], own: Any = None) -> tuple[Any, int]:
    ledger = TrialLedger(lake)
    ledger.add([run_of([row]) for row in rows], "s", "now")
    none = np.zeros((0, 48 * len(sessions)))
    return tried_on(ledger.trials(), ["f1"]).panel(sessions, none if own is None else own)


NOON = START + HOUR


def test_a_candidate_stands_in_the_sessions_it_was_tried_on_and_earns_nothing_in_the_others(lake: Lake) -> None:
    rows = [
        made("a1", 0.1, block_pnl=level(1.0)),
        made("a2", 0.7, block_pnl=level(2.0), start_ns=NOON, end_ns=NOON + HOUR),  # another number, the same place
        made("b1", 0.1, block_pnl=level(3.0), signal_name="t"),
        made("c1", 0.1, block_pnl=level(4.0), start_ns=NOON + HOUR, end_ns=NOON + 2 * HOUR),  # on neither
    ]
    panel, n_known = panel_of(lake, rows, [(START, NOON), (NOON, NOON + HOUR)])
    assert n_known == 3
    assert sorted(panel.tolist()) == [level(1.0) + level(2.0), level(3.0) + level(0.0)]


def test_another_cut_of_a_session_is_no_way_round(lake: Lake) -> None:
    rows = [
        made("a1", 0.1, block_pnl=level(1.0)),
        made("a2", 0.1, block_pnl=level(2.0), end_ns=NOON - 1),  # the same candidate once more
        made("b1", 0.1, block_pnl=level(3.0), signal_name="t", start_ns=NOON - 1, end_ns=NOON + 1),  # half and half: the first
    ]
    panel, n_known = panel_of(lake, rows, [(START, NOON), (NOON, NOON + HOUR)])
    assert n_known == 3
    assert sorted(row[0] for row in panel.tolist()) == [1.0, 2.0, 3.0]
    assert not panel[:, 48:].any()


def test_trials_that_earned_the_same_stand_once_and_ours_come_first(lake: Lake) -> None:
    rows = [made(f"r{i}", 0.1, block_pnl=level(0.1), signal_name=f"s{i}") for i in range(5)]
    panel, n_known = panel_of(lake, [*rows, made("z", 0.1, block_pnl=level(7.0))], [(START, NOON)], np.full((2, 48), 0.1))
    assert n_known == 6
    assert panel[:, 0].tolist() == [np.float32(0.1), np.float32(0.1), 7.0]


@pytest.mark.parametrize("name", ["signal_name", "resolved_params_json", "rules_json", "grid_variant_id", "code_version"])
def test_a_candidate_is_another_where_one_thing_differs(lake: Lake, name: str) -> None:
    ledger = TrialLedger(lake)
    ledger.add([run_of([made("a", 0.1)]), run_of([made("b", 0.1, **{name: "other"})])], "s", "now")
    ledger.add([run_of([made("c", 0.5, dataset_id="e")])], "s", "now")
    one, other, again = ledger.trials().get_column("candidate")
    assert one == again != other


def test_a_run_without_rows_writes_no_file(lake: Lake) -> None:
    ledger = TrialLedger(lake)
    ledger.add([], "s", "now")
    assert not ledger.folder.exists()
    assert ledger.trials().is_empty()
