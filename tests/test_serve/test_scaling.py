"""How many replicas the open streams need."""

from types import SimpleNamespace
from typing import Any

import pytest

from serve.scaling import POLICY, Scaling, replicas_for_streams


def context(reported: dict[str, list[float]], target: int = 100, now: int = 1) -> Any:
    """What Serve hands to a policy: samples of each replica, oldest first."""
    samples = {name: [SimpleNamespace(timestamp=float(i), value=n) for i, n in enumerate(ns)] for name, ns in reported.items()}
    config = SimpleNamespace(get_target_ongoing_requests=lambda: float(target))
    return SimpleNamespace(raw_metrics={"streams": samples} if reported else {}, config=config, target_num_replicas=now)


@pytest.mark.parametrize(
    ("reported", "replicas"),
    [
        ({"a": [0.0]}, 0.0),
        ({"a": [1.0]}, 1.0),
        ({"a": [100.0]}, 1.0),
        ({"a": [101.0]}, 2.0),
        ({"a": [200.0]}, 2.0),
        ({"a": [100.0], "b": [101.0]}, 3.0),
        ({"a": [900.0, 60.0], "b": [60.0]}, 2.0),  # the newest sample counts, not the mean
        ({"a": [200.0, 0.0], "b": [0.0]}, 0.0),
        ({"a": [150.0], "b": []}, 2.0),  # one that has not reported yet
    ],
)
def test_as_many_as_the_newest_numbers_of_streams_need(reported: dict[str, list[float]], replicas: float) -> None:
    assert replicas_for_streams(context(reported)) == (replicas, {})


def test_before_the_first_report_it_stays_as_it_is() -> None:
    assert replicas_for_streams(context({}, now=3)) == (3.0, {})
    assert replicas_for_streams(context({"a": []}, now=2)) == (2.0, {})


def test_a_fixed_number_is_not_scaled_and_a_range_is_by_our_policy() -> None:
    assert Scaling(3).options() == {"num_replicas": 3}
    scaled = Scaling(1, 4, 50).options()["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"], scaled["target_ongoing_requests"]) == (1, 4, 50)
    assert scaled["policy"] == {"policy_function": POLICY}
    # A report is at most 10 s old and a sample a fifth of the look-back; a minute is what scaling down may take.
    assert 10.0 + scaled["look_back_period_s"] / 5 + scaled["downscale_delay_s"] < 40.0
