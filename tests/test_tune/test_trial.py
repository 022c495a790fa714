import json
import pickle
from dataclasses import asdict, fields, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.base import SignalContext
from engine.signals.registry import get_signal, make_signal
from engine.trades.tape import GAP, POSTPONED, SOUND
from tests.blocks import publish_random
from tests.test_tune.markets import sound_rules
from tests.test_tune.small_sweep import DATASET, evaluated, points_of
from tune.coefficients import CONTROL_FIELDS
from tune.rules import Rules
from tune.scoring import walk_all
from tune.tally_kernels import Trades
from tune.trial import (
    BIN_COLUMNS,
    JudgedSeries,
    Market,
    Point,
    PointFailure,
    RunResult,
    evaluate,
    evaluate_batch,
    judge_together,
    load_market,
    prediction_mode,
    score_of,
    signal_context,
    signal_series,
    usable_thresholds,
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


# --- what makes an id ---

POINT = Point(
    dataset_id="d",
    dataset_checksum="c",
    grid_variant_id="v",
    signal="perm_derivative",
    parameters={"b": 2, "a": 1},
    swept={"a": 1},
    rules=sound_rules(),
    thresholds=(0.1, 0.2),
    code_version="e",
)


def test_an_id_is_a_hash_of_six_things_in_order() -> None:
    rules = json.dumps(asdict(sound_rules()), sort_keys=True)
    text = f'["c", "perm_derivative", {{"a": 1, "b": 2}}, {rules}, [0.1, 0.2], "e"]'
    assert POINT.run_id == sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"dataset_checksum": "C"}, False),
        ({"signal": "ads"}, False),
        ({"parameters": {"a": 1, "b": 3}}, False),
        ({"thresholds": (0.1, 0.3)}, False),
        ({"thresholds": (0.1,)}, False),
        ({"code_version": "E"}, False),
        ({"dataset_id": "D"}, True),
        ({"grid_variant_id": "V"}, True),
        ({"swept": {}}, True),
        ({"parameters": {"a": 1, "b": 2}}, True),
    ],
)
def test_an_id_follows_what_decides_a_number_and_no_name(changes: dict[str, Any], is_same: bool) -> None:
    assert (replace(POINT, **changes).run_id == POINT.run_id) == is_same


@pytest.mark.parametrize("name", [field.name for field in fields(Rules)])
def test_an_id_follows_every_rule(name: str) -> None:
    value = getattr(POINT.rules, name)
    other = not value if isinstance(value, bool) else value + "x" if isinstance(value, str) else value + 1
    assert replace(POINT, rules=replace(POINT.rules, **{name: other})).run_id != POINT.run_id


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"dataset_id": "D"}, False),
        ({"signal": "ads"}, False),
        ({"parameters": {"a": 1, "b": 3}}, False),
        ({"rules": sound_rules(tp_ticks=9)}, True),
        ({"thresholds": (0.3,)}, True),
    ],
)
def test_points_share_a_series_where_dataset_signal_and_parameters_agree(changes: dict[str, Any], is_same: bool) -> None:
    assert (replace(POINT, **changes).series_key == POINT.series_key) == is_same


# --- what is read, and what is left out ---

COLUMNS = {
    "mid_price": [100.5, 200.5, 300.5],
    "ts_ns": [10, 20, 30],
    "perm_microstate_id": [0, 1, 2],
    "quality": [0, 4, 2],
    "best_bid_price_int": [100, 200, 300],
    "best_ask_price_int": [104, 204, 304],
    "bid_low_int": [97, 197, 297],
    "bid_high_int": [102, 202, 302],
    "ask_low_int": [103, 203, 303],
    "ask_high_int": [108, 208, 308],
}
TYPES = {"quality": np.uint16, "mid_price": np.float64, "perm_microstate_id": np.int8}
MARKET = Market({name: np.array(v, TYPES.get(name, np.int64)) for name, v in COLUMNS.items()}, {}, SignalContext(100, 5), ("f1",))


def test_a_tape_takes_each_price_from_its_own_column() -> None:
    tape = MARKET.tape(sound_rules())
    names = ("best_bid_price_int", "best_ask_price_int", "bid_low_int", "bid_high_int", "ask_low_int", "ask_high_int")
    assert [column.tolist() for column in tape[:6]] == [COLUMNS[name] for name in names]
    assert tape.state.tolist() == [SOUND, POSTPONED, GAP]
    assert sorted(BIN_COLUMNS) == sorted((*COLUMNS, *CONTROL_FIELDS))


def test_quality_counts_where_the_rules_say_so_and_the_mid_where_they_fill_there() -> None:
    any_bin = MARKET.tape(sound_rules(sound_only=False))
    assert any_bin.state.tolist() == [SOUND, SOUND, SOUND]
    assert any_bin.bid_low.tolist() == COLUMNS["bid_low_int"]
    mid = [100_500_000_000, 200_500_000_000, 300_500_000_000]
    for sound_only, states in ((True, [SOUND, POSTPONED, GAP]), (False, [SOUND, SOUND, SOUND])):
        tape = MARKET.tape(sound_rules(fill="mid", sound_only=sound_only))
        assert [column.tolist() for column in tape[:6]] == [mid] * 6
        assert tape.state.tolist() == states


def outputs(**columns: list[Any]) -> Any:
    return np.rec.fromarrays(list(columns.values()), names=",".join(columns))


@pytest.mark.parametrize(
    ("sound_only", "trigger", "silent"),
    [(True, "edge", True), (True, "level", True), (False, "level", True), (False, "edge", False)],
)
def test_a_bin_at_which_a_signal_is_not_ready_says_nothing(sound_only: bool, trigger: str, silent: bool) -> None:
    point = replace(POINT, rules=sound_rules(sound_only=sound_only, trigger=trigger))
    found = score_of(point, outputs(score=[1.0, 2.0, 3.0], ready=[True, False, True]))
    assert repr(found.tolist()) == repr([1.0, float("nan") if silent else 2.0, 3.0])


def test_a_prediction_goes_before_a_score() -> None:
    series = outputs(score=[1.0, 2.0], prediction=[3.0, 4.0], ready=[True, True])
    assert score_of(POINT, series).tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("signal", "sound_only", "expected"),
    [
        ("perm_derivative", True, (0.01, 0.5, 0.51)),
        ("perm_derivative", False, (-0.1, 0.0, 0.01, 0.5, 0.51)),
        ("gbm_mf", True, (0.51,)),  # a probability
        ("gbm_mf", False, (-0.1, 0.0, 0.01, 0.5, 0.51)),
    ],
)
def test_thresholds_that_leave_no_silence_serve_the_reference_only(
    signal: str, sound_only: bool, expected: tuple[float, ...]
) -> None:
    found = usable_thresholds(get_signal(signal), (-0.1, 0.0, 0.01, 0.5, 0.51), sound_rules(sound_only=sound_only))
    assert found == expected


def test_a_market_holds_what_any_of_the_signals_reads_and_names_its_files(lake: Lake) -> None:
    dataset = Dataset.open(lake, DATASET)
    market = load_market(dataset, [get_signal("perm_derivative"), get_signal("ads")])
    assert {*get_signal("perm_derivative").required_columns, *get_signal("ads").required_columns} == market.columns.keys()
    assert market.sources == ("0" * 64,)
    assert market.context == SignalContext(cell_width_ms=100, radius=5, tick_int=250_000_000)
    assert (market.ts_ns[0], market.mid[0]) == (dataset.bins(["ts_ns"])["ts_ns"][0], dataset.bins(["mid_price"])["mid_price"][0])
    assert market.nbytes == sum(array.nbytes for array in (*market.bins.values(), *market.columns.values()))


def test_a_run_tells_what_it_was_each_thing_at_its_own_place() -> None:
    """Three bins, of which the first is warm-up and the other two are not sound."""
    rules = sound_rules(tp_ticks=7, sl_ticks=3, max_hold_bins=11, warmup_bins=1, cooldown_bins=13)
    other = replace(rules, tp_ticks=9, cooldown_bins=17)
    points = [replace(POINT, rules=rules), replace(POINT, rules=other)]
    judged = JudgedSeries(np.zeros(3), (0.4, 0.6), "signed", "reads later", {"perm_taxonomy_version": "t"})
    first, second = judge_together(points, MARKET, judged)
    told = first.meta
    expected = {
        "run_id": points[0].run_id,
        "dataset_id": "d",
        "dataset_checksum": "c",
        "grid_variant_id": "v",
        "signal_name": "perm_derivative",
        "signal_params_json": '{"a": 1}',
        "resolved_params_json": '{"a": 1, "b": 2}',
        "eval_tp_ticks": 7,
        "eval_sl_ticks": 3,
        "eval_max_hold_bins": 11,
        "warmup_bins": 1,
        "cooldown_bins": 13,
        "tick_size": 0.25,
        "lookahead": "reads later",
        "rules_json": json.dumps(asdict(rules), sort_keys=True),
        "thresholds_json": "[0.4, 0.6]",
        "code_version": "e",
        "n_bins": 3,
        "n_unsound_bins": 2,
        "start_ns": 10,
        "end_ns": 30,
        "sources_json": '["f1"]',
        "perm_taxonomy_version": "t",
    }
    assert {name: told[name] for name in expected} == expected
    assert [(row["run_id"], row["threshold"], row["cooldown_bins"]) for row in first.rows] == [
        (points[0].run_id, 0.4, 13),
        (points[0].run_id, 0.6, 13),
    ]
    assert [(row["run_id"], row["threshold"], row["cooldown_bins"]) for row in second.rows] == [
        (points[1].run_id, 0.4, 17),
        (points[1].run_id, 0.6, 17),
    ]
    assert (second.meta["eval_tp_ticks"], second.meta["n_unsound_bins"]) == (9, 2)
    warmer = [replace(POINT, rules=replace(rules, warmup_bins=2))]
    assert judge_together(warmer, MARKET, judged)[0].meta["n_unsound_bins"] == 1


def test_points_that_stand_together_keep_their_own_dataset_rules_and_thresholds(lake: Lake) -> None:
    """Neighbours that differ in one thing: a series, a pass or a market shared too far would give one the other's numbers."""
    publish_random(lake, "other", n_bins=2500, radius=5, seed=8)
    markets = {name: load_market(Dataset.open(lake, name), [get_signal("perm_derivative")]) for name in (DATASET, "other")}
    (base, *_) = points_of(lake)
    points = [
        base,
        replace(base, rules=replace(base.rules, max_hold_bins=base.rules.max_hold_bins - 150)),
        replace(base, rules=replace(base.rules, tp_ticks=9.0)),
        replace(base, dataset_id="other", dataset_checksum="o"),
        replace(base, parameters={**base.parameters, "d2_weight": 0.9}),
    ]
    found = list(evaluate_batch(points, markets))
    for point, outcome in zip(points, found, strict=True):
        assert isinstance(outcome, RunResult)
        alone = evaluate(point, markets[point.dataset_id])
        assert repr(outcome.rows) == repr(alone.rows)
        assert outcome.meta["run_id"] == point.run_id
    assert len({repr([row["expectancy_ticks"] for row in outcome.rows]) for outcome in found}) == 5  # type: ignore[union-attr]


def test_a_market_that_is_not_there_fails_its_own_points_only(lake: Lake) -> None:
    (base, *_) = points_of(lake)
    market = load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])
    gone = replace(base, dataset_id="gone")
    outcomes = list(evaluate_batch([gone, base], {DATASET: market}))
    assert [type(outcome) for outcome in outcomes] == [PointFailure, RunResult]
    assert outcomes[0] == PointFailure(gone.run_id, "gone", "perm_derivative", base.swept, "KeyError: 'gone'")
