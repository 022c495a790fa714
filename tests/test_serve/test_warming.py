"""A signal that takes over in mid-stream says what it says of the session's dataset: however little of the past was kept."""

import json
from typing import Any

import pytest

from engine.champion import FittedState, fitted_path
from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.schema import MODEL_PREFIX
from engine.signals.base import SignalContext, SignalLike, signal_inputs
from engine.signals.carried import begun_with
from engine.signals.promoted import fitted_of
from engine.signals.registry import make_signal
from serve.champion import ChampionWatcher, Serving, required_columns
from serve.recent import RecentBins
from serve.settings import Limits
from serve.warming import Past, warmed
from tests.sessions import Bins
from tests.test_serve.conftest import Promote
from tests.test_serve.test_session import (
    SWAP,
    configs,
    dataset,
    learns_here,
    open_session,
    play,
    received,
    request_of,
    scores,
)

__all__ = ["dataset"]  # the fixture
LATE = 300


def few_kept(config: InstrumentConfig) -> Limits:
    """As much memory as 40 bins take."""
    bin_bytes = 2**26 // RecentBins(required_columns(), config.n_rows, 2**26).capacity
    return Limits(recent_bytes=40 * bin_bytes)


def fresh(name: str, values: dict[str, Any], config: InstrumentConfig) -> SignalLike:
    return make_signal(name, values, SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int))


def says(signal: SignalLike, bins: Bins) -> Any:
    """Of the whole session, as a sweep has it scored."""
    return signal.run(signal_inputs(signal, bins.grid, bins.fields))


def require_same(got: Bins, whole: Any, first: int) -> None:
    for name in ("score", "ready"):
        assert got.fields[MODEL_PREFIX + name].tobytes() == whole[name][first:].tobytes(), name


@pytest.mark.parametrize("swap_at", [SWAP, LATE])
@pytest.mark.parametrize("signal", ["perm_derivative", "trade_intensity", "spg", "pca_ad", "lsvm_der", "xgb_snap", "svm_sp"])
def test_after_a_swap_with_little_kept_the_scores_are_those_of_the_dataset(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, signal: str, swap_at: int
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, limits=few_kept(config))
    play(session, swap_at)
    champion = promote(lake, learns_here(signal), signal=signal)
    watcher.poll()
    frames = play(session)
    (said,) = configs(frames)
    assert (said["effective_bin_seq"], said["runtime_model"]["fitted"]) == (swap_at, None)
    require_same(received(frames), says(fresh(signal, champion.parameters, config), dataset), swap_at)


def test_reading_again_follows_a_stream_that_goes_on_meanwhile(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins
) -> None:
    """The stream had 100 bins when it began, 180 at the first look and 300 from the second on; it can give 20 of them itself."""
    champion = promote(lake, learns_here("xgb_snap"), signal="xgb_snap")
    now = iter((180, 300, 300))
    session = open_session(lake, config)
    empty = RecentBins(session.choice.reads, config.n_rows, 1).since(0)
    past = Past(request_of(lake, config), 100, empty, lambda: next(now), 20)
    ready = warmed(Serving(1, champion, ""), past, lambda: False)
    assert ready.n_bins == 300
    assert ready.signal is not None
    columns = signal_inputs(ready.signal, dataset.grid, dataset.fields)
    rest = ready.signal.run({name: column[300:] for name, column in columns.items()})
    whole = says(fresh("xgb_snap", champion.parameters, config), dataset)
    assert rest["score"].tobytes() == whole["score"][300:].tobytes()


@pytest.fixture
def fitted(config: InstrumentConfig, dataset: Bins) -> FittedState:
    """What a champion carries that was judged on this very session: enough to tell it from one that carries nothing."""
    signal = fresh("xgb_snap", learns_here("xgb_snap"), config)
    says(signal, dataset)
    state = fitted_of(signal, "yesterday", 1_770_000_000_000_000_000)
    assert state is not None
    return state


@pytest.mark.parametrize("swap_at", [60, SWAP, LATE])
def test_a_champion_with_a_fitted_state_is_ready_with_its_first_bin_however_young_the_stream(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, fitted: FittedState, swap_at: int
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, limits=few_kept(config))
    play(session, swap_at)
    champion = promote(lake, learns_here("xgb_snap"), signal="xgb_snap", fitted=fitted)
    watcher.poll()
    assert watcher.alarm is None
    frames = play(session)
    (said,) = configs(frames)
    assert said["effective_bin_seq"] == swap_at
    assert said["runtime_model"]["fitted"] == {"dataset_id": "yesterday", "end_ns": "1770000000000000000"}
    begun = says(begun_with(fresh("xgb_snap", champion.parameters, config), fitted.data), dataset)
    got = received(frames)
    require_same(got, begun, swap_at)
    assert scores(got)["ready"][0]
    cold = says(fresh("xgb_snap", champion.parameters, config), dataset)
    assert not cold["ready"][:165].any()  # its own first fit acts at bin 150 + 15
    assert cold["score"][LATE:].tobytes() == begun["score"][LATE:].tobytes()


def test_a_stream_from_the_start_of_a_new_day_is_ready_from_its_first_whole_bin(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, fitted: FittedState
) -> None:
    champion = promote(lake, learns_here("xgb_snap"), signal="xgb_snap", fitted=fitted)
    got = received(play(open_session(lake, config)))
    begun = says(begun_with(fresh("xgb_snap", champion.parameters, config), fitted.data), dataset)
    require_same(got, begun, 0)
    assert scores(got)["ready"][:150].mean() > 0.9


@pytest.mark.parametrize("harm", ["gone", "edited", "of other parameters"])
def test_a_champion_whose_fitted_state_does_not_load_leaves_the_old_one_and_alarms(
    lake: Lake, config: InstrumentConfig, promote: Promote, fitted: FittedState, harm: str
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    first = promote(lake)
    watcher.poll()
    values = learns_here("xgb_snap") | ({"seed": 9} if harm == "of other parameters" else {})
    path = fitted_path(lake, fitted.sha256)
    champion = promote(lake, values, signal="xgb_snap", fitted=fitted)
    if harm == "gone":
        path.unlink()
    elif harm == "edited":
        path.chmod(0o644)
        path.write_bytes(fitted.data[:-1] + b"x")
    watcher.poll()
    assert watcher.serving.champion == first
    assert watcher.alarm is not None
    told = {"gone": "is gone", "edited": "is not as it was promoted", "of other parameters": "does not load"}[harm]
    assert told in watcher.alarm.message
    assert f"version {champion.version}" in watcher.alarm.message


def test_what_a_version_carries_stands_in_its_file_by_hash_only(lake: Lake, promote: Promote, fitted: FittedState) -> None:
    champion = promote(lake, learns_here("xgb_snap"), signal="xgb_snap", fitted=fitted)
    (text,) = (path.read_text() for path in lake.models.glob("champion-0*.yaml"))
    assert fitted.sha256 in text
    assert "data" not in json.loads(json.dumps(champion.told()))["fitted"]
    again = promote(lake, learns_here("xgb_snap"), signal="xgb_snap", fitted=fitted)  # the same bytes, kept once
    assert again.version == 2
    assert [path.stem for path in (lake.models / "fitted").iterdir()] == [fitted.sha256]
