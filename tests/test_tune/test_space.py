from dataclasses import asdict
from typing import Any

import pytest

from engine.dataset.read import Dataset
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake
from engine.signals.registry import SIGNALS, signal_names
from tests.blocks import publish_plain
from tests.reference_choices import REFERENCE_PARAMETERS
from tests.test_tune.small_sweep import DATASET, points_of
from tune import space
from tune.trial import usable_thresholds

MODEL_SYSTEM = sorted(REFERENCE_PARAMETERS)  # its fifteen signals


def test_points_are_the_product_each_once_in_a_fixed_order(lake: Lake) -> None:
    points = points_of(lake)
    assert len(points) == 8
    combinations = {(p.rules.tp_ticks, p.rules.cooldown_bins, p.swept["zscore_window_bins"]) for p in points}
    assert combinations == {(tp, c, w) for tp in (2, 4) for c in (10, 30) for w in (80, 200)}
    assert [p.run_id for p in points] == [p.run_id for p in points_of(lake)]
    assert points[0].parameters["zscore_min_periods"] == 75  # resolved, defaults included


def test_without_axes_one_point_on_defaults(lake: Lake) -> None:
    (point,) = points_of(lake, sweep={}, eval={"warmup_bins": 100})
    assert point.swept == {}
    assert point.rules.cooldown_bins == 30
    assert (point.rules.tp_ticks, point.rules.sl_ticks) == (8, 4)
    assert point.rules.tick_size == 0.25  # the dataset's own


def test_the_same_value_twice_is_one_point(lake: Lake) -> None:
    sweep = {"per_signal": {"perm_derivative": {"tanh_scale": [3, 3.0, 6.0]}}}
    assert len(points_of(lake, sweep=sweep, eval={"warmup_bins": 100})) == 2


def test_all_signals_on_their_defaults_are_a_point_each(lake: Lake) -> None:
    publish_plain(lake, "wide", n_bins=4000, radius=50, seed=7)
    points = points_of(lake, signals=["all"], datasets=["wide"], sweep={}, eval={"warmup_bins": 100})
    assert [p.signal for p in points] == signal_names()
    assert all(p.rules.warmup_bins >= 100 for p in points)


def test_per_signal_axes_stand_over_universal_ones(lake: Lake) -> None:
    sweep = {"universal": {"tanh_scale": [1.0]}, "per_signal": {"perm_derivative": {"tanh_scale": [2.0, 3.0]}}}
    points = points_of(lake, sweep=sweep, eval={"warmup_bins": 100})
    assert sorted(p.parameters["tanh_scale"] for p in points) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signals": ["nope"]}, "'nope' is not known; choose one of: .*perm_derivative"),
        ({"signals": ["perm_derivative", "perm_derivative"]}, "each may stand once"),
        ({"datasets": [DATASET, DATASET]}, "each may stand once"),
        ({"sweep": {"per_signal": {"nope": {}}}}, "'nope' is not known"),
        ({"sweep": {"per_signal": {"ads": {}}}}, r"per_signal has ads, which is not in signals \(perm_derivative\)"),
        ({"sweep": {"per_signal": {"perm_derivative": {"windw": [1]}}}}, "unknown key 'windw'.*allowed are: .*zscore_window"),
        ({"sweep": {"universal": {"windw": [1]}}}, "unknown key 'windw'"),
        ({"sweep": {"per_signal": {"perm_derivative": {"tanh_scale": [3, -1]}}}}, "tanh_scale was -1.*greater than 0"),
        ({"sweep": {"per_signal": {"perm_derivative": {"center_exclusion_radius": [50]}}}}, "radius was 50"),
        ({"sweep": {"universal": {"cooldown_bins": [-1]}}}, "cooldown_bins was -1"),
        ({"sweep": {"universal": {"cooldown_bins": [1.5]}}}, "cooldown_bins was 1.5"),
        ({"eval": {"tick_size": 0.5}}, "tick_size was 0.5; dataset random_walk was made with 0.25"),
        ({"eval": {"warmup_bins": 2500}}, "has only 2500 bins"),
        (
            {"eval": {"warmup_bins": 100, "max_hold_bins": 2401}},
            "max_hold_bins was 2401; dataset random_walk has 2500 bins, of which 2400 come after .*Set at most 2400$",
        ),
        ({"eval": {"sl_ticks": [4, 1]}}, "sl_ticks was 1; at the touch the spread alone costs 1 tick or more"),
        ({"eval": {"sl_ticks": 0.5, "form": "reference", "fill": "touch"}}, "sl_ticks was 0.5; at the touch"),
        ({"search": {"kind": "random"}}, "needs search.n_trials"),
        ({"search": {"kind": "grid", "n_trials": 3}}, "n_trials is for kind random"),
    ],
)
def test_refused_before_anything_runs(lake: Lake, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        points_of(lake, **changes)
    assert "\n" not in str(error.value)


def test_missing_dataset_names_what_is_there(lake: Lake) -> None:
    with pytest.raises(DatasetError, match=r"'gone' is not in .*there: random_walk"):
        points_of(lake, datasets=[DATASET, "gone"])


def test_random_search_draws_a_seeded_part_of_the_grid(lake: Lake) -> None:
    every = {p.run_id for p in points_of(lake)}
    drawn = [p.run_id for p in points_of(lake, search={"kind": "random", "n_trials": 3, "seed": 1})]
    assert len(drawn) == 3
    assert set(drawn) < every
    assert drawn == [p.run_id for p in points_of(lake, search={"kind": "random", "n_trials": 3, "seed": 1})]
    assert drawn != [p.run_id for p in points_of(lake, search={"kind": "random", "n_trials": 3, "seed": 2})]


def test_points_carry_the_dataset_they_are_for(lake: Lake) -> None:
    assert {p.dataset_checksum for p in points_of(lake)} == {Dataset.open(lake, DATASET).checksum}


def test_what_is_not_given_follows_the_form_the_dataset_and_the_signal(lake: Lake) -> None:
    (sound,) = points_of(lake, sweep={}, eval={"warmup_bins": 100})
    r = sound.rules
    assert (r.fill, r.trigger, r.position, r.rearm, r.delay_bins, r.sound_only) == ("touch", "edge", "single", True, 1, True)
    assert (r.fee_per_contract, r.contract_multiplier, r.cell_width_ms) == (0.62, 2.0, 100)  # the dataset says MNQ
    assert r.embargo_bins == 303  # what perm_derivative remembers
    (reference,) = points_of(lake, sweep={}, eval={"warmup_bins": 100, "form": "reference"})
    r = reference.rules
    assert (r.fill, r.trigger, r.position, r.rearm, r.delay_bins, r.sound_only) == ("mid", "edge", "overlapping", False, 0, False)
    assert (r.fee_per_contract, r.embargo_bins) == (0.0, 0)
    (mixed,) = points_of(lake, sweep={}, eval={"warmup_bins": 100, "form": "reference", "fill": "touch", "feed_delay_bins": 2})
    assert (mixed.rules.fill, mixed.rules.delay_bins, mixed.rules.position) == ("touch", 2, "overlapping")
    assert len({sound.run_id, reference.run_id, mixed.run_id}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"fill": "mid"},
        {"trigger": "level"},
        {"position": "overlapping"},
        {"rearm": False},
        {"feed_delay_bins": 1},
        {"order_delay_bins": 2},
        {"min_bins_to_close": 3},
        {"fee_per_contract": 0.5},
        {"quality": "any"},
        {"n_folds": 4},
        {"embargo_bins": 7},
    ],
)
def test_run_id_follows_every_rule_of_the_judge(lake: Lake, change: dict[str, Any]) -> None:
    ids = {points_of(lake, sweep={}, eval={"warmup_bins": 100, **rules})[0].run_id for rules in ({}, change)}
    assert len(ids) == 2


def test_the_thresholds_of_every_signal_are_those_the_workers_would_use(lake: Lake) -> None:
    publish_plain(lake, "wide", n_bins=4000, radius=50, seed=7)
    for form in ("sound", "reference"):
        points = points_of(lake, signals=["all"], datasets=["wide"], sweep={}, eval={"warmup_bins": 100, "form": form})
        assert len(points) == len(SIGNALS)
        for p in points:
            assert p.thresholds == usable_thresholds(SIGNALS[p.signal], SIGNALS[p.signal].default_thresholds, p.rules), p.signal


def test_the_fee_of_an_unknown_contract_must_be_given(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "KNOWN_FEES", {"ES": 2.25})
    with pytest.raises(ConfigError, match=r"fee_per_contract is not given, .* fee of MNQ is not known here \(known: ES\)"):
        points_of(lake)
    (point,) = points_of(lake, sweep={}, eval={"warmup_bins": 100, "fee_per_contract": 1.5})
    assert point.rules.fee_per_contract == 1.5


# --- each rule from its own key ---

EVERY_KEY = {
    "tp_ticks": 7,
    "sl_ticks": 3,
    "max_hold_bins": 211,
    "warmup_bins": 101,
    "fill": "mid",
    "trigger": "level",
    "position": "overlapping",
    "rearm": False,
    "feed_delay_bins": 5,
    "order_delay_bins": 6,
    "min_bins_to_close": 9,
    "fee_per_contract": 0.0,
    "quality": "any",
    "n_folds": 4,
    "embargo_bins": 0,
}


def test_every_rule_comes_from_its_own_key_and_the_rest_from_the_dataset(lake: Lake) -> None:
    (point,) = points_of(lake, sweep={"universal": {"cooldown_bins": [13]}}, eval=EVERY_KEY)
    expected = {name: value for name, value in EVERY_KEY.items() if name != "quality"}
    expected |= {"cooldown_bins": 13, "tick_size": 0.25, "contract_multiplier": 2.0, "cell_width_ms": 100, "sound_only": False}
    assert asdict(point.rules) == expected


def test_barriers_and_cooldowns_multiply_in_this_order(lake: Lake) -> None:
    axes = {"universal": {"cooldown_bins": [20, 10]}, "per_signal": {"perm_derivative": {"d2_weight": [0.7, 0.6]}}}
    points = points_of(lake, sweep=axes, eval={"tp_ticks": [8, 6], "sl_ticks": [5, 4], "warmup_bins": 100})
    found = [(p.swept["d2_weight"], p.rules.tp_ticks, p.rules.sl_ticks, p.rules.cooldown_bins) for p in points]
    assert found == [(w, tp, sl, c) for w in (0.7, 0.6) for tp in (8, 6) for sl in (5, 4) for c in (20, 10)]


def test_axes_multiply_by_name() -> None:
    assert space.expand({"b": [1, 2], "a": ["x", "y"]}) == [
        {"a": "x", "b": 1},
        {"a": "x", "b": 2},
        {"a": "y", "b": 1},
        {"a": "y", "b": 2},
    ]
    assert space.expand({}) == [{}]


@pytest.mark.parametrize("max_hold", [10, 302, 303, 304])
def test_an_embargo_spans_what_the_signal_remembers_however_short_a_trade(lake: Lake, max_hold: int) -> None:
    """perm_derivative looks back over a window of 300 bins, and three more."""
    (point,) = points_of(lake, sweep={}, eval={"warmup_bins": 100, "max_hold_bins": max_hold})
    assert point.rules.embargo_bins == 303


LABELS = ("tp_ticks", "sl_ticks", "max_hold_bins")


def labels_of(points: list[Any]) -> list[tuple[float, ...]]:
    return [tuple(point.parameters[name] for name in LABELS) for point in points]


def test_labels_are_the_trades_that_are_judged(wide: Lake) -> None:
    asked = {"warmup_bins": 100, "tp_ticks": [20, 6], "sl_ticks": 10, "max_hold_bins": 300}
    points = points_of(wide, signals=["knn_cl"], sweep={}, eval=asked)
    assert labels_of(points) == [(20, 10, 300), (6, 10, 300)]
    assert [point.rules.tp_ticks for point in points] == [20, 6]
    assert len({point.series_key for point in points}) == len({point.run_id for point in points}) == 2
    assert all(point.swept == {} for point in points)


def test_labels_that_a_sweep_sets_are_kept(wide: Lake) -> None:
    asked = {"warmup_bins": 100, "tp_ticks": [20, 6], "sl_ticks": 10, "max_hold_bins": 300}
    fixed = {"per_signal": {"knn_cl": {"tp_ticks": [8], "max_hold_bins": [50]}}}
    points = points_of(wide, signals=["knn_cl"], sweep=fixed, eval=asked)
    assert labels_of(points) == [(8, 10, 50), (8, 10, 50)]
    assert len({point.series_key for point in points}) == 1  # one fit for both barriers


def test_a_label_looks_ahead_where_a_trade_ends_at_once(wide: Lake) -> None:
    (point,) = points_of(wide, signals=["knn_cl"], sweep={}, eval={"warmup_bins": 100, "max_hold_bins": 1})
    assert point.parameters["max_hold_bins"] == 2


def test_signals_without_labels_take_nothing_from_the_evaluation(wide: Lake) -> None:
    calibration = {"per_signal": {"pfp": {"calibration_bins": [2000]}}}
    points = points_of(wide, signals=["pfp"], sweep=calibration, eval={"warmup_bins": 100, "tp_ticks": [20, 6]})
    assert len({point.series_key for point in points}) == 1


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose grid reaches as far as a calibrated signal looks; 2500 bins."""
    lake = Lake(tmp_path_factory.mktemp("wide"))
    publish_plain(lake, DATASET, n_bins=2500, radius=50, seed=7)
    return lake


@pytest.mark.parametrize(("warmup", "start"), [(1, 2000), (1999, 2000), (2000, 2000), (2001, 2001)])
def test_nothing_is_scored_that_a_signals_thresholds_saw(wide: Lake, warmup: int, start: int) -> None:
    calibration = {"per_signal": {"pfp": {"calibration_bins": [2000]}}}
    (point,) = points_of(wide, signals=["pfp"], sweep=calibration, eval={"warmup_bins": warmup})
    assert point.rules.warmup_bins == start


@pytest.mark.parametrize(("hold", "lasts"), [(499, 499), (500, 500), (501, 500), (None, 500)])
def test_no_trade_lasts_longer_than_what_a_signals_thresholds_leave(wide: Lake, hold: int | None, lasts: int) -> None:
    calibration = {"per_signal": {"pfp": {"calibration_bins": [2000]}}}
    (point,) = points_of(wide, signals=["pfp"], sweep=calibration, eval={"warmup_bins": 100, "max_hold_bins": hold})
    assert point.rules.max_hold_bins == lasts


def test_a_bin_must_be_left_to_score(wide: Lake) -> None:
    def start(calibration: int, warmup: int) -> int:
        axes = {"per_signal": {"pfp": {"calibration_bins": [calibration]}}}
        return points_of(wide, signals=["pfp"], sweep=axes, eval={"warmup_bins": warmup})[0].rules.warmup_bins

    assert (start(2499, 0), start(300, 2499)) == (2499, 2499)
    with pytest.raises(ConfigError, match="on the first 2500 bins; dataset random_walk has only 2500 bins"):
        start(2500, 0)
    with pytest.raises(ConfigError, match="warmup_bins was 2500"):
        start(300, 2500)


@pytest.mark.parametrize(
    ("warmup", "given", "hold"), [(100, 2400, 2400), (100, None, 1200), (1300, None, 1200), (1301, None, 1199)]
)
def test_a_trade_may_last_as_long_as_the_session_and_does_so_where_nothing_is_given(
    lake: Lake, warmup: int, given: int | None, hold: int
) -> None:
    (point,) = points_of(lake, sweep={}, eval={"warmup_bins": warmup, "max_hold_bins": given})
    assert point.rules.max_hold_bins == hold


def test_a_stop_may_be_wider_than_a_tick_and_at_the_mid_any(lake: Lake) -> None:
    for changes in ({"sl_ticks": 1.25}, {"sl_ticks": 1, "fill": "mid"}, {"sl_ticks": 0.5, "form": "reference"}):
        assert points_of(lake, sweep={}, eval={"warmup_bins": 100, **changes})[0].rules.sl_ticks == changes["sl_ticks"]


@pytest.mark.parametrize(("feed", "order", "to_close"), [(0, 1, 2), (3, 4, 8), (0, 0, 1)])
def test_from_an_entry_to_a_close_an_order_must_have_time_to_leave_again(
    lake: Lake, feed: int, order: int, to_close: int
) -> None:
    delays = {"warmup_bins": 100, "feed_delay_bins": feed, "order_delay_bins": order}
    assert points_of(lake, sweep={}, eval=delays)[0].rules.min_bins_to_close == to_close
    assert points_of(lake, sweep={}, eval={**delays, "min_bins_to_close": 5})[0].rules.min_bins_to_close == 5


def test_a_fee_of_nothing_is_a_fee_that_was_given(lake: Lake) -> None:
    (point,) = points_of(lake, sweep={}, eval={"warmup_bins": 100, "fee_per_contract": 0})
    assert point.rules.fee_per_contract == 0.0


def test_a_tick_size_that_is_the_datasets_own_may_be_given(lake: Lake) -> None:
    (point,) = points_of(lake, sweep={}, eval={"warmup_bins": 100, "tick_size": 0.25})
    assert point.rules.tick_size == 0.25


@pytest.mark.parametrize(("n_trials", "places"), [(3, [0, 2, 4]), (8, range(8)), (9, range(8))])
def test_a_draw_keeps_the_order_of_the_grid(lake: Lake, n_trials: int, places: Any) -> None:
    """Seed 1 draws places 2, 4 and 0 of eight; as many as there are is all of them."""
    every = points_of(lake)
    drawn = points_of(lake, search={"kind": "random", "n_trials": n_trials, "seed": 1})
    assert [p.run_id for p in drawn] == [every[place].run_id for place in places]


def test_signals_run_in_the_order_in_which_they_are_named(wide: Lake) -> None:
    points = points_of(wide, signals=["pfp", "ads"], sweep={"per_signal": {"pfp": {"calibration_bins": [300]}}})
    assert list(dict.fromkeys(p.signal for p in points)) == ["pfp", "ads"]
    assert {p.signal: p.rules.cooldown_bins for p in points} == {"pfp": 30, "ads": 30}


@pytest.mark.parametrize("value", [True, "10", None])
def test_a_cooldown_is_a_whole_number(lake: Lake, value: Any) -> None:
    with pytest.raises(ConfigError, match="it must be a whole number of bins, 0 or more"):
        points_of(lake, sweep={"universal": {"cooldown_bins": [value]}})
    assert points_of(lake, sweep={"universal": {"cooldown_bins": [0]}})[0].rules.cooldown_bins == 0
