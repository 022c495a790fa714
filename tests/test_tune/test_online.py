"""The online simulator: real calls on a real signal, its own arithmetic on made-up times, and a signal that cheats."""

import json
import time
from typing import Any

import numpy as np
import pytest

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.base import SignalContext
from engine.signals.registry import SIGNALS, get_signal
from engine.signals.statistical.perm_derivative import PermDerivative
from tests.test_tune.small_sweep import DATASET
from tune.cli import main
from tune.errors import RunFailedError
from tune.online import simulate_online
from tune.trial import Market, load_market

Capture = pytest.CaptureFixture[str]


class Cheat(PermDerivative):
    """Says something else one by one than as a batch, from bin 100 on."""

    name = "cheat"

    def update(self, rows: Any) -> Any:
        out = super().update(rows).copy()
        if out["sample_count"] > 100:
            out["score"] += 1e-12
        return out


class Fitted(PermDerivative):
    """Has a fit due at every hundredth bin; the one at bin 300 takes longer than its delay."""

    name = "fitted"

    def __init__(self, params: Any, context: SignalContext) -> None:
        super().__init__(params, context)
        self.settled: list[int] = []

    @property
    def is_fit_due(self) -> bool:
        return int(self._state.n[0]) % 100 == 99

    def settle(self) -> None:
        self.settled.append(int(self._state.n[0]) + 1)
        until = time.perf_counter() + (0.03 if self.settled[-1] == 300 else 0.0)
        while time.perf_counter() < until:
            pass


@pytest.fixture
def market(lake: Lake) -> Market:
    return load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])


def test_every_bin_is_one_call_and_the_percentiles_are_in_order(market: Market) -> None:
    report = simulate_online("perm_derivative", {"d2_weight": 0.5}, market, 100.0)
    assert report.n_bins == 2500
    assert report.n_ready == 2500 - 74
    us = report.latency_us
    assert 0 < us["p50"] <= us["p95"] <= us["p99"] <= us["p99_9"] <= us["max"]
    assert 0 < report.cpu_us["mean"] <= us["mean"] * 1.5
    assert report.over_budget == 0.0
    assert report.state_bytes > 0
    assert report.peak_rss_mb > 10
    assert (report.n_fits, report.n_late_fits, report.longest_fit_wait_ms) == (0, 0, 0.0)


def test_a_budget_below_every_call_is_always_exceeded(market: Market) -> None:
    report = simulate_online("perm_derivative", {}, market, 1e-6)
    assert report.over_budget == 1.0
    assert report.p99_budget_pct > 100


def test_a_signal_that_differs_from_its_batch_fails_with_the_bin_named(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNALS, "cheat", Cheat)
    with pytest.raises(RunFailedError, match="cheat gave bin 100 .* equal to the last bit") as failed:
        simulate_online("cheat", {}, market, 100.0)
    assert "\n" not in str(failed.value)


def test_waiting_for_a_fit_is_off_the_clock_and_lateness_is_counted(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNALS, "fitted", Fitted)
    report = simulate_online("fitted", {}, market, 15.0)
    assert report.longest_fit_wait_ms >= 30.0
    assert report.latency_us["p99_9"] < 30_000.0
    assert report.n_late_fits == 25  # no refit_delay_bins: any wait at all is late


def test_the_command(lake: Lake, capsys: Capture) -> None:
    arguments = ["online-sim", "--signal", "perm_derivative", "--dataset-id", DATASET, "--lake", str(lake.root)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dataset_id"] == DATASET
    assert set(found["latency_us"]) == {"p50", "p95", "p99", "p99_9", "max", "mean"}
    assert np.isfinite(found["p99_budget_pct"])
    assert main([*arguments, "--set", "d2_weight=0.5"]) == 0
    assert "the outputs are those of the batch, bit for bit" in capsys.readouterr().out


def test_the_command_fails_where_the_signal_is_at_fault(lake: Lake, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNALS, "cheat", Cheat)
    assert main(["online-sim", "--signal", "cheat", "--dataset-id", DATASET, "--lake", str(lake.root)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "This is a fault of the signal" in line
