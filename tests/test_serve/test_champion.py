"""The watcher: what it takes, what it refuses, what it says."""

import threading
from hashlib import sha256
from pathlib import Path

import pytest

import serve.champion
from engine.champion import PointerState, move_pointer, pointer_path, roll_back, version_path
from engine.config import InstrumentConfig
from engine.dataset.publish import publish_dataset
from engine.lake import Lake
from engine.signals.base import SignalContext
from engine.signals.bundle import read_bundle
from engine.signals.promoted import source_of
from engine.signals.registry import BUILT_IN, add_bundle, get_signal, signals_of
from serve.champion import ChampionWatcher, Serving, choose_signal, config_for, required_columns
from serve.trust import Trust
from tests.blocks import CONFIG, PROVENANCE, plain_block, publish_plain
from tests.own_signals import write_signal
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


def test_none_puts_the_instruments_own_signal_back(empty: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = watcher_of(empty, config)
    promote(empty)
    assert watcher.poll()
    move_pointer(empty, None)
    assert watcher.poll()
    assert (watcher.serving.champion, watcher.serving.generation, watcher.alarm) == (None, 2, None)
    assert not watcher.poll()


def test_a_pointer_that_is_gone_is_an_alarm(empty: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = watcher_of(empty, config)
    promote(empty)
    watcher.poll()
    pointer_path(empty).unlink()
    assert not watcher.poll()
    assert watcher.alarm is not None
    assert "promote --none" in watcher.alarm.message


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


def edit_and_promote(lake: Lake, promote: Promote, old: str, new: str, digest: str | None = None) -> None:
    """What promotion itself would refuse: change a version's file and its digest behind its back."""
    edit_version(lake, promote(lake).version, old, new, digest)


def edit_version(lake: Lake, version: int, old: str, new: str, digest: str | None = None) -> None:
    """Change a version's file, and its digest in the pointer."""
    path = version_path(lake, version)
    path.chmod(0o644)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    pointer = pointer_path(lake)
    lines = [line for line in pointer.read_text().splitlines() if not line.startswith("sha256")]
    found = sha256(path.read_bytes()).hexdigest()
    pointer.write_text("\n".join([*lines, f"sha256: '{found if digest is None else digest}'"]))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("signal: perm_derivative", "signal: crystal_ball", "'crystal_ball' is not known"),
        ("tanh_scale: 3.0", "tanh_scale: -3.0", "tanh_scale was -3.0"),
        ("tanh_scale: 3.0", "moon_phase: 3.0", "moon_phase"),
        ("\nversion: 1\n", "\nversion: 7\n", "says version 7"),
        ("signal:", "signal: [", "is not valid YAML"),
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


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_champion_edited_after_its_promotion_is_never_taken(
    empty: Lake, config: InstrumentConfig, promote: Promote, digest: str
) -> None:
    """Nor where the pointer was edited, too, and names no digest: what cannot be checked is not what was promoted."""
    watcher = watcher_of(empty, config)
    edit_and_promote(empty, promote, "tanh_scale: 3.0", "tanh_scale: 2.0", digest)
    assert not watcher.poll()
    assert watcher.serving.champion is None
    assert watcher.alarm is not None
    assert "is not as it was promoted" in watcher.alarm.message
    edit_and_promote(empty, promote, "tanh_scale: 3.0", "tanh_scale: 2.0")  # the same edit, with the digest of it
    assert watcher.poll()
    assert watcher.serving.champion is not None
    assert watcher.serving.champion.parameters["tanh_scale"] == 2.0


def test_a_pointer_that_moves_while_it_is_read_is_followed_once(
    empty: Lake, config: InstrumentConfig, promote: Promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded is what the pointer said, so that the next look takes the next one, and takes it once."""
    promote(empty, {"d2_weight": 0.5})
    watcher = watcher_of(empty, config)
    taken: list[tuple[int, int]] = []
    watcher._on_change = lambda serving: taken.append((serving.generation, serving.champion.version if serving.champion else 0))
    look = serve.champion.read_pointer

    def then_moves(lake: Lake) -> PointerState:
        found = look(lake)
        if found.version == 1 and not taken:
            promote(empty, {"d2_weight": 0.25})
        return found

    monkeypatch.setattr(serve.champion, "read_pointer", then_moves)
    assert [watcher.poll() for _ in range(3)] == [True, True, False]
    assert taken == [(1, 1), (2, 2)]


def test_the_alarm_tells_the_fault_there_is_now(empty: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = watcher_of(empty, config)
    promote(empty, cell_width_ms=50)
    watcher.poll()
    assert watcher.alarm is not None
    first = watcher.alarm
    watcher.poll()
    assert watcher.alarm is first
    promote(empty, grid_radius_ticks=20)
    watcher.poll()
    assert watcher.alarm is not None
    assert "champion version 2 was scored with grid_radius_ticks 20" in watcher.alarm.message
    promote(empty)
    assert watcher.poll()
    assert watcher.alarm is None


def test_a_champion_of_another_contract_is_refused_by_its_dataset(
    empty: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    publish_plain(empty, "of_another", 4, 5, seed=1)  # of TESTH6
    watcher = watcher_of(empty, config)
    promote(empty, dataset_id="of_another")
    assert not watcher.poll()
    assert watcher.alarm is not None
    assert "champion version 1 was scored on TESTH6, this instrument is MNQH6" in watcher.alarm.message
    same = watcher_of(empty, config.model_copy(update={"symbol": "TESTH6"}))
    assert same.poll(), same.alarm


@pytest.mark.parametrize(("signal", "is_refused"), [("msd", True), ("perm_derivative", False)])
def test_a_champion_of_the_other_rate_kernel_is_refused_where_it_reads_rates(
    empty: Lake, config: InstrumentConfig, promote: Promote, signal: str, is_refused: bool
) -> None:
    made_with = CONFIG | {"symbol": config.symbol, "rate_kernel": "finite"}
    publish_dataset(empty, "of_finite", [plain_block(4, 5, seed=1)], PROVENANCE | {"config": made_with})
    watcher = watcher_of(empty, config)
    promote(empty, signal=signal, dataset_id="of_finite")
    assert watcher.poll() is not is_refused
    told = "" if watcher.alarm is None else watcher.alarm.message
    assert ("champion version 1 was scored with rate_kernel finite, this instrument runs exact" in told) is is_refused
    same = watcher_of(empty, config.model_copy(update={"rate_kernel": "finite"}))
    assert same.poll(), same.alarm


def test_a_signal_is_compiled_before_it_serves_and_its_own_fault_is_an_alarm(
    empty: Lake, tmp_path: Path, config: InstrumentConfig, promote: Promote
) -> None:
    path = write_signal(tmp_path / "own")
    warmup = "\n    def warmup(self):\n        raise KeyError('no warm-up today')\n"
    path.write_text(path.read_text() + warmup)
    with signals_of(()):
        (name,) = add_bundle(read_bundle(path))
        promote(empty, signal=name, source=source_of(name))
    watcher = ChampionWatcher(empty, config, 1.0, trust=Trust(all_signals=True))
    assert not watcher.poll()
    assert watcher.alarm is not None
    assert watcher.alarm.message == "the champion does not load: KeyError: 'no warm-up today'"
    assert watcher.serving.champion is None
    promote(empty)
    assert watcher.poll()  # the watch goes on


@pytest.mark.parametrize("champion_is_promoted", [True, False])
def test_what_a_signal_is_built_with_and_said_to_be(
    empty: Lake, config: InstrumentConfig, promote: Promote, champion_is_promoted: bool
) -> None:
    other = config.model_copy(update={"cell_width_ms": 250, "grid_radius_ticks": 7, "perm_d2_weight": 0.125})
    champion = promote(empty, {"d2_weight": 0.75}) if champion_is_promoted else None
    choice = choose_signal(champion, other)
    assert choice.context == SignalContext(cell_width_ms=250, radius=7, tick_int=250_000_000)
    made = choice.build()
    assert made is not None
    assert made.context == choice.context  # type: ignore[attr-defined]
    assert made.params.d2_weight == (0.75 if champion_is_promoted else 0.125)
    assert made.params.model_dump(mode="json") == choice.describe()["parameters"]
    told = ("champion", 1) if champion_is_promoted else ("instrument", None)
    assert (choice.describe()["source"], choice.describe()["version"]) == told
    switched_off = choose_signal(champion, other.model_copy(update={"perm_runtime_enabled": False}))
    assert (switched_off.build() is not None, switched_off.describe()["enabled"]) == (champion_is_promoted,) * 2


def test_what_is_remembered_for_a_signal_is_what_it_reads_and_the_microstates(
    empty: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    assert choose_signal(promote(empty, signal="ads"), config).reads == tuple(
        sorted({"perm_microstate_id", *get_signal("ads").required_columns, *get_signal("ads").required_fields})
    )
    every = {*(column for name in BUILT_IN for column in get_signal(name).required_columns), "perm_microstate_id"}
    every |= {field for name in BUILT_IN for field in get_signal(name).required_fields}
    assert required_columns() == tuple(sorted(every))
    assert any(get_signal(name).required_fields for name in BUILT_IN)


def test_a_change_is_told_once_and_none_is_told_where_nothing_changed(
    empty: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    told: list[Serving] = []
    watcher = ChampionWatcher(empty, config, 1.0, told.append)
    assert not watcher.poll()
    assert (told, watcher.serving.generation) == ([], 0)
    promote(empty)
    assert watcher.poll()
    assert told == [watcher.serving]
    promote(empty, cell_width_ms=50)
    assert not watcher.poll()
    assert len(told) == 1


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
    champion = promote(empty, state5_table="reference")
    watcher = watcher_of(empty, config)
    assert watcher.poll()
    assert config_for(champion, config).state5_table == "reference"
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
