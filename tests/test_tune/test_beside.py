"""What stands beside a ranking, on rows made by hand: which rows are compared, on what span, against how many trials."""

from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.lake import Lake
from tests.test_tune.made import HOUR, START, frame, made, run_of
from tune import beside
from tune.beside import Beside, with_luck
from tune.leaderboard import rank
from tune.ledger import TrialLedger
from tune.luck import overfitting_probability


def wave(size: float, lean: float) -> list[float]:
    """Net ticks of the 48 blocks: up and down by ``size`` about ``lean``."""
    return [lean + (size if block % 2 else -size) for block in range(48)]


def beside_of(rows: list[dict[str, Any]], min_signals: int = 5, lake: Lake | None = None) -> Beside:
    table = frame(*rows)
    trials = TrialLedger(lake).trials() if lake is not None else TrialLedger(Lake(Path("/nowhere"))).trials()
    return with_luck(rank(table, "oos_expectancy_low", min_signals), table, trials, min_signals)


@pytest.fixture
def ledgered(tmp_path: Path) -> Lake:
    """A lake whose ledger has trials of Sharpe ratios 1 and 3 on file f1, and three of 10 on f2."""
    lake = Lake(tmp_path / "lake")
    one = [made("a", 0.1, sharpe=1.0), made("a", 0.2, sharpe=3.0)]
    other = [made("z", 0.1 * place, sources_json='["f2"]', sharpe=10.0) for place in (1, 2, 3)]
    TrialLedger(lake).add([run_of(one), run_of(other)], "s", "now")
    return lake


def test_each_row_bears_the_trials_on_its_own_files(ledgered: Lake) -> None:
    rows = [
        made("a", 0.1, oos_expectancy_low=2.0, block_pnl=wave(2.0, 1.0)),
        made("b", 0.1, oos_expectancy_low=1.0, block_pnl=wave(2.0, 1.0), sources_json='["f2"]', dataset_id="e"),
    ]
    found = beside_of(rows, lake=ledgered)
    assert found.ranking.select("run_id", "n_trials").rows() == [("a", 2), ("b", 3)]
    # Ratios without skill over 48 spans spread by 1 / sqrt 47 = 0.145865. The best of two stands 0.51976 of it high, of three
    # 0.85280. 35,700 bins of 0.1 s in 48 blocks are 0.020660 h, of which the root is 0.14374.
    assert found.ranking.get_column("chance_sharpe").to_list() == pytest.approx([0.52745, 0.86541], abs=5e-5)
    # Ratio 1/2 a block, no skew, kurtosis 1: Phi(0.5 sqrt 47 - 0.51976) = Phi(2.90807) and Phi(2.57503)
    assert found.ranking.get_column("deflated_sharpe").to_list() == pytest.approx([0.99818, 0.99499], abs=2e-5)
    assert found.ranking.get_column("pbo").is_nan().all()  # each alone on its span
    assert [(luck.lineage, luck.n_trials, luck.n_compared) for luck in found.lucks] == [("d", 2, 1), ("e", 3, 1)]
    assert [luck.n_resampled for luck in found.lucks] == [2, 3]  # the ledger knows more than the one row of each
    assert found.lines[1].startswith("d: best of 2 trials")
    assert found.lines[4].startswith("e: best of 3 trials")


def test_what_luck_says_of_a_span_is_of_its_best_row(ledgered: Lake) -> None:
    rows = [
        made("a", 0.1, oos_expectancy_low=1.0, sharpe=0.1, block_pnl=wave(2.0, 0.1)),
        made("b", 0.1, oos_expectancy_low=2.0, sharpe=0.2, block_pnl=wave(2.0, 0.2)),
    ]
    found = beside_of(rows, lake=ledgered)
    (luck,) = found.lucks
    assert luck.best_sharpe == 0.2
    assert luck.deflated == found.ranking.item(0, "deflated_sharpe") > found.ranking.item(1, "deflated_sharpe")
    assert luck.chance_sharpe == found.ranking.item(0, "chance_sharpe")
    assert found.lines[1].startswith("best of 2 trials")  # one span needs no name


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        ({}, True),
        ({"sources_json": '["f2"]'}, False),
        ({"start_ns": START - 1}, False),
        ({"end_ns": START + HOUR + 1}, False),
        ({"warmup_bins": 301}, False),
        ({"dataset_id": "e"}, True),
        ({"signal_name": "t"}, True),
        ({"cooldown_bins": 31}, True),
    ],
)
def test_rows_are_compared_where_files_and_span_are_the_same(change: dict[str, Any], alike: bool) -> None:
    rows = [made("a", 0.1, block_pnl=wave(2.0, 1.0)), made("b", 0.1, block_pnl=wave(1.0, -1.0), **change)]
    found = beside_of(rows)
    assert [luck.n_compared for luck in found.lucks] == ([2] if alike else [1, 1])
    assert [luck.n_resampled for luck in found.lucks] == ([2] if alike else [1, 1])  # the rows alone, of which no ledger knows


def test_rows_with_too_few_trades_or_of_an_older_version_are_not_compared() -> None:
    rows = [
        made("a", 0.1, n_signals=8, block_pnl=wave(2.0, 1.0)),
        made("a", 0.2, n_signals=8, block_pnl=wave(2.0, 0.5)),  # not shown, yet it was tried
        made("b", 0.1, n_signals=7, block_pnl=wave(1.0, -1.0)),
        made("c", 0.1, fill_model=None, block_pnl=wave(1.0, -1.0)),
    ]
    found = beside_of(rows, min_signals=8)
    assert found.ranking.height == 1
    assert [luck.n_compared for luck in found.lucks] == [2]
    assert found.choosing.n_candidates == 2


def test_a_row_bears_the_blocks_of_the_threshold_that_is_shown() -> None:
    rows = [
        made("a", 0.1, expectancy_low=-1.0, sharpe=-5.0, block_pnl=wave(2.0, -1.0)),
        made("a", 0.2, expectancy_low=1.0, sharpe=5.0, block_pnl=wave(2.0, 1.0)),
    ]
    found = beside_of(rows)
    assert found.ranking.item(0, "deflated_sharpe") > 0.9
    assert found.lucks[0].best_sharpe == 5.0


def test_of_more_rows_than_can_be_compared_a_fixed_draw_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert beside.MAX_COMPARED == 4000
    monkeypatch.setattr(beside, "MAX_COMPARED", 4)
    blocks = {f"r{i}": [float((i * 7 + block * block * 3) % 11) for block in range(48)] for i in range(5)}
    rows = [made(run_id, 0.1, block_pnl=pnl) for run_id, pnl in blocks.items()]
    one, other = beside_of(rows), beside_of(rows[::-1])
    assert one.lucks[0].n_compared == 4
    assert one.lucks[0].pbo == other.lucks[0].pbo
    monkeypatch.setattr(beside, "MAX_COMPARED", 5)
    every = beside_of(rows).lucks[0]
    assert every.n_compared == 5
    assert every.pbo == overfitting_probability(np.array(list(blocks.values())))


def test_an_empty_ranking_has_the_columns_and_nothing_to_say() -> None:
    found = beside_of([made("a", 0.1, n_signals=1)])
    assert found.ranking.schema["n_trials"] == pl.Int64
    assert {found.ranking.schema[name] for name in ("chance_sharpe", "deflated_sharpe", "pbo")} == {pl.Float64}
    assert (len(found.ranking), found.lucks, found.lines) == (0, [], [])


def test_a_flat_row_is_not_deflated() -> None:
    (value,) = beside_of([made("a", 0.1, block_pnl=[0.0] * 48)]).ranking.get_column("deflated_sharpe")
    assert repr(value) == repr(nan)
