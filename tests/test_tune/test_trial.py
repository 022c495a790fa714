import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.registry import get_signal, make_signal
from tests.test_tune.small_sweep import DATASET, evaluated, points_of
from tune.scoring import walk_all
from tune.tally_kernels import Trades
from tune.trial import (
    Market,
    Point,
    PointFailure,
    RunResult,
    evaluate,
    evaluate_batch,
    load_market,
    prediction_mode,
    score_of,
    signal_context,
    signal_series,
)


def point_trades(point: Point, market: Market, threshold: float) -> Trades:
    """The trades behind one row."""
    series = signal_series(point.signal, point.parameters, market)
    tape = market.tape(point.rules)
    return walk_all(score_of(point, series), tape, [threshold], [point.rules], prediction_mode(get_signal(point.signal))).trades


def test_series_is_the_live_models_bit_for_bit(lake: Lake) -> None:
    dataset = Dataset.open(lake, DATASET)
    market = load_market(dataset, [get_signal("perm_derivative")])
    series = signal_series("perm_derivative", {"d2_weight": 0.5}, market)
    live = make_signal("perm_derivative", {"d2_weight": 0.5}, signal_context(dataset))
    codes = dataset.columns(["perm_state5_code"])["perm_state5_code"]
    one_by_one = np.array([live.update({"perm_state5_code": row}) for row in codes[:400]])
    assert one_by_one.tobytes() == series[:400].tobytes()


def test_one_row_a_threshold_and_the_figures_follow_from_the_trades(lake: Lake) -> None:
    point = points_of(lake)[0]
    market = load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])
    result = evaluate(point, market)
    assert [row["threshold"] for row in result.rows] == list(point.thresholds)
    trades = point_trades(point, market, point.thresholds[2])
    row = result.rows[2]
    assert row["n_signals"] == len(trades.fired) > 0
    assert row["mean_pnl_ticks"] == pytest.approx(trades.pnl.mean(), rel=1e-12)


def test_sharing_a_series_changes_nothing(lake: Lake) -> None:
    points = points_of(lake)
    market = load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])
    for point, shared in zip(points, evaluated(lake, points), strict=True):
        assert evaluate(point, market).rows == shared.rows


def test_state_diagnostics_count_every_bin(lake: Lake) -> None:
    (result,) = evaluated(lake, points_of(lake)[:1])
    n = result.meta["n_bins"]
    assert sum(json.loads(result.meta["perm_state5_distribution_json"]).values()) == n
    assert sum(json.loads(result.meta["perm_micro9_distribution_json"]).values()) == n
    assert np.sum(json.loads(result.meta["perm_state5_transition_matrix_json"])) == n - 1


def test_a_point_that_fails_is_reported_and_the_rest_go_on(lake: Lake) -> None:
    good = points_of(lake)
    bad = replace(good[0], parameters={**good[0].parameters, "center_exclusion_radius": 50})
    market = load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])
    outcomes = list(evaluate_batch([good[0], bad, good[1]], {DATASET: market}))
    assert [type(outcome) for outcome in outcomes] == [RunResult, PointFailure, RunResult]
    failure = outcomes[1]
    assert isinstance(failure, PointFailure)
    assert "center_exclusion_radius was 50" in failure.reason
    assert failure.run_id == bad.run_id != good[0].run_id


def test_a_point_keeps_its_id_on_its_way_to_a_worker(lake: Lake) -> None:
    point = points_of(lake)[0]
    assert pickle.loads(pickle.dumps(point)).run_id == point.run_id
