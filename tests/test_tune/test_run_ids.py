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
            "3db2aa54f6058e4d dedb6d4df990661b df828bf65ff13e80 6442971bc5bec18e 6964ed2714ab64c5 2a0e289cd8b7b716 "
            "54b7ff8d15b11c70 abed546f28c914d2 3b5f29be12c3bbcc 8705650fb9b49f3a 1b13ac38f96d9154 26ba39437a796675 "
            "cd99b816e66b4efd 7a0267bcb644d8a8 f262b9019f173be2",
        ),
        (
            {"signals": MODEL_SYSTEM, "datasets": ["wide"], "sweep": {}, "eval": {"warmup_bins": 100, "form": "reference"}},
            "8a12a012a1ddcd95 7b151736f354e955 cabd0a9610fac7ba 6a5f7c8d25fabd53 6e5544b609cb8c8b b388f7f487e44b3b "
            "2751481baa877ea9 0454e8cf6d0bb485 314daa994c7e5baf e049c7c7127dc495 b75133c519011691 46e079f6df3cf0dc "
            "ddbeef6ca934a8bc dd862aefebd4b0fb 5312d5e12fde8c66",
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
