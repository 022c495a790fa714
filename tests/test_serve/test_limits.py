"""Limits that change while the service runs: taken whole or refused whole, and what they change at once."""

import math
from pathlib import Path
from typing import Any

import pytest

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from engine.lake import Lake
from serve.limits import changed_settings
from serve.service import Service
from serve.settings import Limits, ServeSettings

AT_LAUNCH = Limits(max_clients=7, close_s=1.5)


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(lake=Lake.open(tmp_path), limits=AT_LAUNCH, log_level="WARNING")


@pytest.mark.parametrize(
    ("user_config", "limits", "log_level"),
    [
        (None, AT_LAUNCH, "WARNING"),
        ({}, AT_LAUNCH, "WARNING"),
        ({"limits": {}}, AT_LAUNCH, "WARNING"),
        ({"limits": {"max_clients": 1}}, Limits(max_clients=1, close_s=1.5), "WARNING"),
        ({"limits": {"max_clients": 9.0, "close_s": 3}}, Limits(max_clients=9, close_s=3.0), "WARNING"),
        ({"limits": {"close_s": 1e-9}}, Limits(max_clients=7, close_s=1e-9), "WARNING"),
        ({"limits": {"recent_bytes": 1 << 40}}, Limits(max_clients=7, close_s=1.5, recent_bytes=1 << 40), "WARNING"),
        ({"log_level": "DEBUG"}, AT_LAUNCH, "DEBUG"),
    ],
)
def test_what_is_named_changes_and_the_rest_is_as_at_launch(
    settings: ServeSettings, user_config: Any, limits: Limits, log_level: str
) -> None:
    changed = changed_settings(settings, AT_LAUNCH, user_config)
    assert (changed.limits, changed.log_level, changed.lake) == (limits, log_level, settings.lake)
    assert isinstance(changed.limits.max_clients, int)


@pytest.mark.parametrize(
    ("user_config", "words"),
    [
        ([], r"user_config was \[\]; it must map names to values: limits, log_level"),
        ({"limit": {}}, "user_config has 'limit'; allowed are: limits, log_level"),
        ({"limits": 5}, "user_config.limits was 5; it must map"),
        ({"limits": {"max_client": 5}}, "user_config.limits has 'max_client'; allowed are: max_clients, queue_bins"),
        ({"limits": {"max_clients": 0}}, "user_config.limits.max_clients was 0; it must be a whole number from 1 to"),
        ({"limits": {"max_clients": 1.5}}, "max_clients was 1.5; it must be a whole number"),
        ({"limits": {"max_clients": "5"}}, "max_clients was '5'; it must be a whole number"),
        ({"limits": {"max_clients": True}}, "max_clients was True; it must be a whole number"),
        ({"limits": {"max_clients": (1 << 40) + 1}}, "it must be a whole number from 1 to 1099511627776"),
        ({"limits": {"close_s": 0}}, "close_s was 0; it must be a number above 0"),
        ({"limits": {"close_s": math.nan}}, "close_s was nan; it must be a number above 0"),
        ({"limits": {"close_s": math.inf}}, "close_s was inf; it must be a number above 0"),
        ({"limits": {"close_s": None}}, "close_s was None; it must be a number above 0"),
        ({"limits": {"max_clients": 5}, "log_level": "loud"}, "user_config.log_level was 'loud'; it must be one of DEBUG"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_line(settings: ServeSettings, user_config: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        changed_settings(settings, AT_LAUNCH, user_config)
    assert "\n" not in str(caught.value)


def test_a_service_takes_them_and_shows_what_it_refused_until_it_takes_some(
    settings: ServeSettings, config: InstrumentConfig
) -> None:
    service = Service(settings, config)
    service.refuse_settings("max_clients was 0; it must be …")
    assert [(alarm["kind"], alarm["message"]) for alarm in service.health()["alarms"]] == [
        ("settings", "max_clients was 0; it must be …")
    ]
    assert service.health()["limits"]["max_clients"] == 7
    service.change_settings(changed_settings(settings, AT_LAUNCH, {"limits": {"max_clients": 8, "champion_poll_s": 3.0}}))
    assert (service.health()["limits"]["max_clients"], service.watcher.poll_s) == (8, 3.0)
    assert service.health()["alarms"] == []
