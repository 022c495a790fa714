"""Which rules are loose, which runs may be ranked side by side, and who may stand at the head."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from engine.signals.base import SignalContext
from engine.signals.registry import make_signal
from tests.test_tune.made import frame, made
from tests.test_tune.markets import sound_rules
from tune.leaderboard import rank, render
from tune.strictness import in_groups, looseness, places, rules_group, seen_ahead, with_mark
from tune.tables import Column

FEE = {"fee_per_contract": 0.62}


def rules(**changes: Any) -> str:
    return json.dumps(asdict(sound_rules(**(FEE | changes))), sort_keys=True)


@pytest.mark.parametrize(
    ("changes", "lookahead", "words"),
    [
        ({}, "", ()),
        ({"order_delay_bins": 0, "feed_delay_bins": 1}, "", ()),  # late by the feed is late too
        ({"fee_per_contract": 0.01}, "", ()),
        ({"fee_per_contract": 0.0}, "", ("no fee",)),
        ({"order_delay_bins": 0}, "", ("no delay",)),
        ({"fill": "mid"}, "", ("mid fill",)),
        ({"sound_only": False}, "", ("unsound bins",)),
        ({}, "threshold_source=whole_sample", ("whole-sample thresholds",)),
        ({}, "flat_window=whole_series", ("lookahead flat_window=whole_series",)),
        (
            {"fill": "mid", "fee_per_contract": 0.0, "order_delay_bins": 0, "sound_only": False},
            "a=b threshold_source=whole_sample",
            ("mid fill", "no fee", "no delay", "unsound bins", "whole-sample thresholds", "lookahead a=b"),
        ),
    ],
)
def test_each_loose_rule_has_its_word(changes: dict[str, Any], lookahead: str, words: tuple[str, ...]) -> None:
    assert looseness(json.loads(rules(**changes)), lookahead) == words


def test_the_group_is_all_rules_but_what_a_candidate_chooses() -> None:
    own = {"tp_ticks": 2, "sl_ticks": 3, "cooldown_bins": 7, "warmup_bins": 900, "embargo_bins": 5}
    assert rules_group(rules(**own)) == rules_group(rules())
    others: list[dict[str, Any]] = [
        {"fee_per_contract": 0.63},
        {"feed_delay_bins": 1},
        {"order_delay_bins": 2},
        {"fill": "mid"},
        {"max_hold_bins": 1201},
        {"sound_only": False},
        {"position": "overlapping"},
    ]
    groups = {rules_group(rules(**one)) for one in others} | {rules_group(rules()), rules_group(rules(), "a=b")}
    assert len(groups) == len(others) + 2


def test_a_signal_says_that_its_thresholds_saw_the_whole_session() -> None:
    context = SignalContext(100, 50, 250_000_000)
    assert seen_ahead(make_signal("msd", {}, context)) == ()
    assert seen_ahead(make_signal("msd", {"threshold_source": "whole_sample"}, context)) == ("threshold_source=whole_sample",)


def test_rows_rank_among_their_own_rules_and_loose_ones_head_nothing() -> None:
    late = rules(order_delay_bins=2)
    rows = frame(
        made("free", 0.1, oos_expectancy_low=9.0, rules_json=rules(fee_per_contract=0.0)),
        made("free2", 0.1, oos_expectancy_low=8.0, rules_json=rules(fee_per_contract=0.0)),
        made("early1", 0.1, oos_expectancy_low=1.0),
        made("late1", 0.1, oos_expectancy_low=3.0, rules_json=late),
        made("early2", 0.1, oos_expectancy_low=2.0),
        made("late2", 0.1, oos_expectancy_low=0.5, rules_json=late),
    )
    ranked = rank(rows, "oos_expectancy_low", 5)
    assert ranked.get_column("run_id").to_list() == ["late1", "late2", "early2", "early1", "free", "free2"]
    assert places(ranked) == ["1", "2", "1", "2", "loose", "loose"]
    assert ranked.get_column("loose").to_list() == ["", "", "", "", "no fee", "no fee"]
    assert in_groups(ranked).equals(ranked)
    shown: dict[str, Column] = {column.name: column for column in render(ranked, "t", 10).columns}
    assert list(shown["#"].cells) == ["1", "2", "1", "2", "loose", "loose"]
    assert [" ".join(cell) for cell in shown["loose"].cells] == ["-", "-", "-", "-", "no fee", "no fee"]
    assert len({" ".join(cell) for cell in shown["rules"].cells}) == 3


def test_a_table_of_loose_rows_only_has_no_first_place_and_says_why() -> None:
    ranked = rank(frame(made("free", 0.1, rules_json=rules(fee_per_contract=0.0))), "oos_expectancy_low", 5)
    table = render(ranked, "t", 10)
    assert list(table.columns[0].cells) == ["loose"]
    assert "no fee" in table.title


def test_rows_from_before_the_column_said_it_are_loose_by_their_parameters() -> None:
    old = made("a", 0.1, resolved_params_json='{"threshold_source": "whole_sample"}')
    assert with_mark(frame(old)).get_column("loose").to_list() == ["whole-sample thresholds"]
    assert with_mark(frame(made("b", 0.1, resolved_params_json='{"threshold_source": "calibration"}'))).item(0, "loose") == ""
