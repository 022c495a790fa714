"""The table of claims: its stages on one signal, and its form. The figures themselves stand in tune/README.md."""

import pytest

from engine.lake import Lake
from tests.blocks import publish_plain

claims = pytest.importorskip("tests.claims", reason="the reference choices of the signals are not in this checkout")


def test_stages_are_those_of_a_sweep(lake: Lake) -> None:
    dataset = publish_plain(lake, "plain", n_bins=4000, radius=50, seed=3)
    found = claims.claim_of(dataset, "perm_derivative")
    assert found.claim.n > found.cost.n > 0  # overlapping trades against one at a time
    assert found.cost.ticks < found.causal.ticks  # spread and fees
    assert found.break_even == pytest.approx((4 + 2 * 0.62 / 0.5) / 12)
    assert found.low < found.tested.ticks < found.high
    assert 0 <= found.tested.tp_rate <= 1


def test_the_largest_claim_stands_first_and_what_is_lost_adds_up() -> None:
    stage = claims.Stage
    small = claims.Claim("small", stage(0.4, 1.0, 9), stage(0.35, 0.5, 9), stage(0.3, -1, 9), stage(0.2, -2, 9), -3.0, -1.0, 0.5)
    large = claims.Claim("large", stage(0.6, 2.0, 9), stage(0.5, 1.0, 9), stage(0.4, 0, 9), stage(float("nan"), 0, 0), 0, 0, 0.5)
    lines = claims.table([small, large]).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["large", "small"]
    assert "no trades" in lines[2]
    assert [cell.strip() for cell in lines[3].split("|")[-4:-1]] == ["+0.050", "+0.050", "+0.100"]
    assert claims.best_shown([{"tp_rate": 1.0, "n_signals": 4}]).n == 0
