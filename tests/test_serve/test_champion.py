"""The watcher: what it takes, what it refuses, what it says."""

import threading
from pathlib import Path

import pytest

from engine.champion import pointer_path, roll_back, version_path
from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.champion import ChampionWatcher, Serving, choose_signal, config_for
from tests.test_serve.conftest import Promote


@pytest.fixture
def empty(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path)


def watcher_of(lake: Lake, config: InstrumentConfig) -> ChampionWatcher:
    return ChampionWatcher(lake, config, poll_s=0.05)


def test_without_a_champion_the_instruments_own_model_serves(empty: Lake, config: InstrumentConfig) -> None:
    watcher = watcher_of(empty, config)
    assert not watcher.poll()
    assert watcher.serving.champion is None
    assert watcher.alarm is None
    said = choose_signal(None, config).describe()
    assert (said["name"], said["source"], said["version"], said["enabled"]) == ("perm_derivative", "instrument", None, True)
    assert said["parameters"]["zscore_window_bins"] == config.perm_zscore_window_bins == 60


def test_a_switched_off_instrument_model_is_none(config: InstrumentConfig) -> None:
    choice = choose_signal(None, config.model_copy(update={"perm_runtime_enabled": False}))
    assert choice.build() is None
    assert choice.describe()["enabled"] is False


def test_a_promotion_and_a_rollback_are_taken_once_each(empty: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = watcher_of(empty, config)
    promote(empty, {"d2_weight": 0.5})
    assert watcher.poll()
    assert not watcher.poll()
    assert watcher.serving.generation == 1
    promote(empty, {"d2_weight": 0.25})
    assert watcher.poll()
    assert watcher.serving.champion is not None
    assert watcher.serving.champion.version == 2
    roll_back(empty)
    assert watcher.poll()
    assert watcher.serving.champion.version == 1
    assert choose_signal(watcher.serving.champion, config).describe()["parameters"]["d2_weight"] == 0.5


@pytest.mark.parametrize(
    ("fields", "parameters", "words"),
    [
        ({"cell_width_ms": 50}, {}, ["cell_width_ms 50", "100"]),
        ({"grid_radius_ticks": 20}, {}, ["grid_radius_ticks 20", "50"]),
        ({"state5_table": "upside_down"}, {}, ["state5_table", "upside_down"]),
        ({"evaluation": {"tick_size": 0.1}}, {}, ["tick_size 0.1", "runs 0.25", "tick_size: 0.1 in the instrument file"]),
    ],
)
def test_a_champion_that_does_not_fit_raises_the_alarm_and_changes_nothing(
    empty: Lake, config: InstrumentConfig, promote: Promote, fields: dict, parameters: dict, words: list[str]
) -> None:
    promote(empty)
    watcher = watcher_of(empty, config)
    watcher.poll()
    before = watcher.serving
    promote(empty, parameters, **fields)
    assert not watcher.poll()
    assert watcher.serving is before
    assert watcher.alarm is not None
    assert [word for word in words if word not in watcher.alarm.message] == [], watcher.alarm.message
    since = watcher.alarm.since
    watcher.poll()
    assert watcher.alarm.since == since  # the same alarm, not a new one
    roll_back(empty)
    watcher.poll()
    assert watcher.alarm is None
    assert watcher.serving.champion is not None
    assert watcher.serving.champion.version == 1


def edit_and_promote(lake: Lake, promote: Promote, old: str, new: str) -> None:
    """What promotion itself would refuse: change a version's file and its digest behind its back."""
    edit_version(lake, promote(lake).version, old, new)


def edit_version(lake: Lake, version: int, old: str, new: str) -> None:
    """Change a version's file, and its digest in the pointer."""
    path = version_path(lake, version)
    path.chmod(0o644)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    pointer = pointer_path(lake)
    lines = [line for line in pointer.read_text().splitlines() if not line.startswith("sha256")]
    pointer.write_text("\n".join([*lines, "sha256: ''"]))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("signal: perm_derivative", "signal: crystal_ball", "'crystal_ball' is not known"),
        ("tanh_scale: 3.0", "tanh_scale: -3.0", "tanh_scale was -3.0"),
        ("tanh_scale: 3.0", "moon_phase: 3.0", "moon_phase"),
        ("\nversion: 1\n", "\nversion: 7\n", "says version 7"),
        ("signal:", "signal: [", "is not YAML"),
    ],
)
def test_a_champion_that_does_not_load_raises_the_alarm(
    empty: Lake, config: InstrumentConfig, promote: Promote, old: str, new: str, words: str
) -> None:
    watcher = watcher_of(empty, config)
    edit_and_promote(empty, promote, old, new)
    assert not watcher.poll()
    assert watcher.serving.champion is None
    assert watcher.alarm is not None
    assert words in watcher.alarm.message


def test_a_lost_pointer_raises_the_alarm_and_the_champion_goes_on(
    empty: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    promote(empty)
    watcher = watcher_of(empty, config)
    watcher.poll()
    pointer_path(empty).unlink()
    assert not watcher.poll()
    assert watcher.serving.champion is not None
    assert watcher.alarm is not None
    assert "pointer is gone" in watcher.alarm.message


def test_the_table_a_champion_was_scored_with_is_honoured(empty: Lake, config: InstrumentConfig, promote: Promote) -> None:
    champion = promote(empty, state5_table="by_side")
    watcher = watcher_of(empty, config)
    assert watcher.poll()
    assert config_for(champion, config).state5_table == "by_side"
    assert config_for(None, config) is config


def test_the_thread_takes_a_promotion_without_being_asked(empty: Lake, config: InstrumentConfig, promote: Promote) -> None:
    taken: list[Serving] = []
    changed = threading.Event()

    def on_change(serving: Serving) -> None:
        taken.append(serving)
        changed.set()

    watcher = ChampionWatcher(empty, config, 0.05, on_change)
    watcher.start()
    try:
        assert watcher.is_watching
        promote(empty)
        assert changed.wait(2.0), "a promotion must be taken within 2 s"
    finally:
        watcher.stop()
    assert not watcher.is_watching
    assert [serving.generation for serving in taken] == [1]


def test_an_old_learned_champion_that_bears_the_instruments_tick_is_taken(
    empty: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    promote(empty, signal="lsvm_der", evaluation={"tick_size": 0.25})
    edit_version(empty, 1, "  seed: 42", "  seed: 42\n  tick_size: 0.25")
    watcher = watcher_of(empty, config)
    assert watcher.poll(), watcher.alarm
    signal = choose_signal(watcher.serving.champion, config).build()
    assert signal is not None
    assert "tick_size" not in signal.params.model_dump()


def test_an_old_learned_champion_that_bears_another_tick_raises_the_alarm(
    empty: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    promote(empty, signal="lsvm_der")
    edit_version(empty, 1, "  seed: 42", "  seed: 42\n  tick_size: 0.5")
    watcher = watcher_of(empty, config)
    assert not watcher.poll()
    assert watcher.alarm is not None
    assert "tick_size was 0.5" in watcher.alarm.message
    assert "the instrument's is 0.25" in watcher.alarm.message
    assert "sweep and promote anew" in watcher.alarm.message
