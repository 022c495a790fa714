"""A replica's counts and delays, and the health that is told of them."""

from pathlib import Path
from typing import Any

import pytest

from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.champion import Alarm
from serve.figures import Figures
from serve.service import Service
from serve.settings import ServeSettings, StreamDefaults
from tests.test_serve.conftest import DAY, Promote


def test_bins_are_counted_and_only_paced_ones_have_a_delay() -> None:
    figures = Figures()
    assert figures.lag_quantile_ms(0.5) is None
    for lag_ms in (None, 4.0, None, 0.0, 8.0):
        figures.bin_sent(lag_ms)
    assert figures.bins_served == 5
    assert list(figures.lags_ms) == [4.0, 0.0, 8.0]
    assert figures.lag_quantile_ms(0.5) == 4.0
    assert figures.lag_quantile_ms(1.0) == 8.0
    assert figures.lag_quantile_ms(0.75) == 6.0  # halfway from 4 to 8


def test_each_delay_is_taken_once() -> None:
    figures = Figures()
    figures.bin_sent(1.0)
    figures.bin_sent(2.0)
    assert figures.take_new_lags() == [1.0, 2.0]
    assert figures.take_new_lags() == []
    figures.bin_sent(3.0)
    assert figures.take_new_lags() == [3.0]
    assert list(figures.lags_ms) == [1.0, 2.0, 3.0]  # the recent ones stay for the quantiles


@pytest.mark.parametrize(("n", "first_recent"), [(2047, 0.0), (2048, 0.0), (2049, 1.0)])
def test_delays_are_bounded_the_newest_are_recent(n: int, first_recent: float) -> None:
    figures = Figures()
    for i in range(n):
        figures.bin_sent(float(i))
    assert (figures.lags_ms[0], figures.lags_ms[-1]) == (first_recent, n - 1.0)
    assert len(figures.take_new_lags()) == min(n, 2048)
    assert figures.bins_served == n


def test_two_replicas_count_apart() -> None:
    one, two = Figures(), Figures()
    one.bin_sent(1.0)
    assert (two.bins_served, list(two.lags_ms), two.take_new_lags()) == (0, [], [])


def service_of(lake: Lake, config: InstrumentConfig, **settings: Any) -> Service:
    """A service whose watcher runs, without the compiling that comes first."""
    service = Service(ServeSettings(lake=lake, **settings), config)
    service.watcher.poll()
    return service


class Open:
    """A client's stream, as a replica sees it."""

    def __init__(self, is_streaming: bool) -> None:
        self.is_streaming = is_streaming


DEFAULTS = {
    "dt": DAY,
    "start_time": "09:25",
    "model": "champion",
    "perm_names": (),
    "projection": {"use_cubic": False, "cubic_scale": 1 / 6, "damping_lambda": 0.0},
    "sealed_ok": False,
    "is_live": False,
}


def test_health_tells_each_figure_under_its_name(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    champion = promote(lake, {"d2_weight": 0.5})
    service = service_of(lake, config, defaults=StreamDefaults(dt=DAY, start_time="09:25"))
    figures = service.figures
    figures.streams_opened, figures.streams_refused, figures.bins_dropped, figures.swaps = 11, 12, 13, 14
    for lag_ms in [1.0] * 150 + [200.0] * 50:
        figures.bin_sent(lag_ms)
    service.streams |= {Open(True), Open(False), Open(True)}  # type: ignore[arg-type]
    service.watcher._alarm = Alarm("it does not load", "2026-02-07T01:02:03.000+00:00")
    body = service.health()
    expected = {
        "service": "vacuum-pressure",
        "instrument": "future_mbo:MNQH6",
        "config_version": config.config_version,
        "defaults": DEFAULTS,
        "alarms": [{"kind": "champion", "message": "it does not load", "since": "2026-02-07T01:02:03.000+00:00"}],
        "deployments": None,
        "sessions": 0,  # no engine runs for them
        "pace": [],
        "clients": 3,
        "ring_bytes": 0,
        "lag_ms": 1.0,
        "lag_p99_ms": 200.0,
        "bins_served": 200,
        "bins_dropped": 13,
        "swaps": 14,
        "streams_opened": 11,
        "streams_refused": 12,
        "champion": {
            "version": 1,
            "signal": "perm_derivative",
            "run_id": "abc",
            "sweep": "test",
            "dataset_id": "elsewhere",
            "created_at": "2026-02-07T00:00:00+00:00",
            "standing": "not_proven",  # promoted past no gate, and with no promise to hold a record against
            "because": None,
            "failed": [],
            "promise": None,
            "record": None,
        },
        "model": {
            "name": "perm_derivative",
            "enabled": True,
            "version": 1,
            "source": "champion",
            "parameters": champion.parameters,
            "fitted": None,  # it begins anew in each stream
            "since": service.watcher.serving.since,
            "standing": "not_proven",
            "because": None,
            "record": None,
        },
    }
    assert {name: body[name] for name in expected} == expected
    assert 0 <= body["uptime_s"] < 300
    told = service.champion()
    assert (told["alarm"], told["since"], told["champion"]) == (
        "it does not load",
        service.watcher.serving.since,
        {**champion.model_dump(mode="json"), "standing": "not_proven", "record": None},
    )
    assert told["model"] == {name: value for name, value in expected["model"].items() if name != "since"}


def test_trouble_is_the_first_that_keeps_it_from_serving(lake: Lake, config: InstrumentConfig, tmp_path: Path) -> None:
    service = service_of(lake, config)
    assert service.trouble() == "the champion is not being watched"
    assert service.health()["status"] == "error"
    service.watcher.poll_s = 60.0
    service.watcher.start()
    try:
        assert service.trouble() is None
        assert (service.health()["status"], service.health()["reason"]) == ("ok", None)
        there = service_of(lake, config, defaults=StreamDefaults(dt=DAY))
        there.watcher = service.watcher
        assert there.trouble() is None
        other = service_of(lake, config, defaults=StreamDefaults(dt="2026-02-05"))  # not the last day, which is there
        other.watcher = service.watcher
        assert "dt was 2026-02-05" in (other.trouble() or "")
        empty = service_of(Lake.open(tmp_path / "empty"), config)
        empty.watcher = service.watcher
        assert "engine simulate" in (empty.trouble() or "")
        service.closing = True
        assert service.trouble() == "the service is going away"
    finally:
        service.watcher.stop()
