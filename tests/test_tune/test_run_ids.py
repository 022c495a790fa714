"""What a run id follows, and ids written down: none may change by the way."""

from dataclasses import replace
from typing import Any

import pytest

from engine.lake import Lake
from tests.blocks import publish_plain, publish_random
from tests.reference_choices import REFERENCE_PARAMETERS
from tests.test_tune.small_sweep import points_of
from tune.code_version import code_version

MODEL_SYSTEM = sorted(REFERENCE_PARAMETERS)  # its fifteen signals


def test_run_id_follows_everything_that_decides_the_numbers(lake: Lake) -> None:
    base = points_of(lake)[0]
    seen = {base.run_id}
    for change in (
        {"eval": {"tp_ticks": [2], "sl_ticks": 3, "max_hold_bins": 200, "warmup_bins": 100}},
        {"eval": {"tp_ticks": [2], "sl_ticks": 2, "max_hold_bins": 201, "warmup_bins": 100}},
        {"eval": {"tp_ticks": [2], "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 101}},
        {"sweep": {"universal": {"cooldown_bins": [11]}}},
        {"sweep": {"per_signal": {"perm_derivative": {"d2_weight": [0.5]}}}},
    ):
        run_id = points_of(lake, **change)[0].run_id
        assert run_id not in seen
        seen.add(run_id)
    publish_random(lake, "other", seed=8)
    assert points_of(lake, datasets=["other"])[0].run_id not in seen
    publish_random(lake, "copy", seed=7)
    assert points_of(lake, datasets=["copy"])[0].run_id == base.run_id  # the same numbers under another name
    assert points_of(lake, name="renamed")[0].run_id == base.run_id


@pytest.mark.parametrize(
    ("changes", "run_ids"),
    [  # written down before signals were resolved once a sweep: what the ids hold may not change by the way; those of labelled
        # signals since their tick is the instrument's: with "tick_size": 0.25 among their parameters they hash to the old ones;
        # all of them since there is a rule min_bins_to_close, and those that score 1000 bins of 4000 since no trade may last
        # longer: without it, and with 1200 for that, they hash to the old ones
        (
            {},
            "8f21c7dd734641be a81d54566afeb65a 77b3caab0cbfee6e b0206999ab3e4cd2 8fca3430922264cf 5c173e7180b82f3c "
            "2bab8b2bea964228 0059f2fea225e838",
        ),
        ({"sweep": {}, "eval": {"warmup_bins": 100}}, "7d40e014f4b98fa3"),
        (
            {"sweep": {"per_signal": {"perm_derivative": {"tanh_scale": [3, 3.0, 6.0]}}}, "eval": {"warmup_bins": 100}},
            "7d40e014f4b98fa3 7271ce051c1a64a3",
        ),
        (
            {
                "sweep": {"universal": {"tanh_scale": [1.0]}, "per_signal": {"perm_derivative": {"tanh_scale": [2.0, 3.0]}}},
                "eval": {"warmup_bins": 100},
            },
            "0af745384cdbd369 7d40e014f4b98fa3",
        ),
        ({"search": {"kind": "random", "n_trials": 3, "seed": 1}}, "8f21c7dd734641be 77b3caab0cbfee6e 8fca3430922264cf"),
        (
            {"signals": MODEL_SYSTEM, "datasets": ["wide"], "sweep": {}, "eval": {"warmup_bins": 100}},
            "d40a27057bf9018c 5027b18ffd9d56f8 690c328c58439022 5bceab8432b19342 135c819351322cb1 b359ac68f6981d1a "
            "76a7ec8e84d8e472 344a58685d8e6fc2 390513562308ca4a 0115c71cb3746190 7d40e014f4b98fa3 da8122d148ed057d "
            "4dcee750742ac772 5a8c26139aae5c2e 53b43af0ea41e6ce",
        ),
        (
            {"signals": MODEL_SYSTEM, "datasets": ["wide"], "sweep": {}, "eval": {"warmup_bins": 100, "form": "reference"}},
            "cdbdba21dfc3a59a a8fb34f570ce75ea 60c7d77fa1994f75 657627bde78df707 4f26d78c3b74a33c f6650e6e7493280a "
            "52b829e0656a784a 40851c074a40bd71 14470deb00b0bf4c f0fbdf2373d6ef0a 93afae454f405050 2e75a0deb9d0d855 "
            "3c27fc50021caa13 ff635937cd22036f fe6fb38134c3c7ba",
        ),
        (
            {"sweep": {}, "eval": {"warmup_bins": 100, "form": "reference", "fill": "touch", "feed_delay_bins": 2}},
            "87ede9cf752aada5",
        ),
        ({"sweep": {}, "eval": {"warmup_bins": 100, "fill": "mid"}}, "d535e1561aacf76b"),
        ({"sweep": {}, "eval": {"warmup_bins": 100, "trigger": "level"}}, "d2a933a8e052c64a"),
        ({"sweep": {}, "eval": {"warmup_bins": 100, "position": "overlapping"}}, "0b37d02598567837"),
        ({"sweep": {}, "eval": {"warmup_bins": 100, "rearm": False}}, "fd9f1107b551edab"),
        ({"sweep": {}, "eval": {"warmup_bins": 100, "quality": "any"}}, "ad5731259cd5b4ab"),
        ({"sweep": {}, "eval": {"warmup_bins": 100, "embargo_bins": 7}}, "068e0285a24db43f"),
    ],
)
def test_run_ids_are_those_of_old_but_for_data_and_code(lake: Lake, changes: dict[str, Any], run_ids: str) -> None:
    if "datasets" in changes:
        publish_plain(lake, "wide", n_bins=4000, radius=50, seed=7)
    points = points_of(lake, **changes)
    bare = []
    for point in points:  # of old the embargo was no longer than a trade
        rules = replace(point.rules, embargo_bins=min(point.rules.embargo_bins, point.rules.max_hold_bins))
        bare.append(replace(point, rules=rules, dataset_checksum="0" * 64, code_version="0" * 16))
    assert [point.run_id for point in bare] == run_ids.split()
    assert [point.code_version for point in points] == [code_version(point.signal) for point in points]
