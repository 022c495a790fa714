"""What was tried counts: once, on every file it was tried on, whoever tried it."""

from pathlib import Path

import pytest

from engine.lake import Lake
from tests.test_tune.made import made, run_of
from tune.ledger import TrialLedger, tried_on


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
    assert ledger.trials().to_dicts() == [
        {
            "run_id": "a",
            "threshold": threshold,
            "sources": ["f1", "f2"],
            "signal_name": "s",
            "sweep_id": "first",
            "timestamp_utc": "at first",
            "sharpe": sharpe,
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


def test_the_spread_is_that_of_a_sample_and_a_trial_without_a_ratio_counts_all_the_same(lake: Lake) -> None:
    nan = float("nan")
    ledger = written(lake, "a", '["f1"]', {0.1: 1.0, 0.2: 3.0, 0.3: nan})
    written(lake, "b", '["f2"]', {0.1: 99.0})
    tried = tried_on(ledger.trials(), ["f1"])
    assert tried.n == 3
    assert tried.sharpe_std == pytest.approx(2**0.5)  # of 1 and 3, over one degree of freedom
    assert tried_on(ledger.trials(), ["f2"]) == type(tried)(1, 0.0)


def test_of_equal_ratios_two_spread_by_nothing(lake: Lake) -> None:
    assert tried_on(written(lake, "a", '["f1"]', {0.1: 2.0, 0.2: 2.0}).trials(), ["f1"]).sharpe_std == 0.0


def test_a_run_without_rows_writes_no_file(lake: Lake) -> None:
    ledger = TrialLedger(lake)
    ledger.add([], "s", "now")
    assert not ledger.folder.exists()
    assert ledger.trials().is_empty()
