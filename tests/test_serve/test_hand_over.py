"""When one signal takes over from another in an open stream: not late, not false, not with a hole in what it remembers."""

import json

import pytest

from engine.champion import roll_back
from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal
from serve.champion import ChampionWatcher, required_columns
from serve.frames import BinFrames, decode_header
from serve.recent import RecentBins
from serve.session import ConfigFrame
from serve.settings import Limits
from tests.sessions import Bins
from tests.test_serve.conftest import DAY, Promote
from tests.test_serve.test_session import (
    LATE_SWAP,
    N_BINS,
    SWAP,
    Late,
    configs,
    dataset,
    open_session,
    play,
    received,
    require_apart,
    scored_by,
    scores,
)

__all__ = ["dataset"]  # the fixture
KEPT = 40  # bins
SHORT = {"zscore_window_bins": 20, "zscore_min_periods": 10, "d2_weight": 1.0}  # its memory is 23 bins, fewer than are kept


def few_kept(config: InstrumentConfig) -> Limits:
    """As much memory as `KEPT` bins take."""
    bin_bytes = 2**26 // RecentBins(required_columns(), config.n_rows, 2**26).capacity
    return Limits(recent_bytes=KEPT * bin_bytes)


@pytest.mark.parametrize("n_behind", [KEPT - 1, KEPT, KEPT + 1])
def test_a_signal_that_fell_behind_the_bins_kept_is_warmed_again(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, n_behind: int
) -> None:
    """Of the bins it has not seen yet, all must still be there; else it would take over with a hole in its memory."""
    watcher, aside = ChampionWatcher(lake, config, 1.0), Late()
    session = open_session(lake, config, watcher, aside, few_kept(config))
    begun = SWAP - n_behind
    frames = play(session, begun)
    champion = promote(lake, SHORT)
    watcher.poll()
    frames += play(session, SWAP)  # warmed on what was there at its beginning
    aside.run()
    frames += session.turn(1)
    takes = n_behind <= KEPT
    assert len(configs(frames)) == takes
    assert len(aside.tasks) == (not takes)
    frames += play(session, LATE_SWAP)
    aside.run()
    frames += play(session)
    swap_at = SWAP if takes else LATE_SWAP
    (said,) = configs(frames)
    assert said["effective_bin_seq"] == swap_at
    old, new = scores(dataset)["score"], scored_by(dataset, champion.parameters, config)["score"]
    require_apart(old, new, swap_at)
    got = scores(received(frames))
    assert got["score"][:swap_at].tobytes() == old[:swap_at].tobytes()
    assert got["score"][swap_at:].tobytes() == new[swap_at:].tobytes()
    assert got["ready"][swap_at:].all()
    # It counts what it saw: those it remembers of its beginning, then each bin that came, none left out and none twice.
    model = make_signal("perm_derivative", champion.parameters, SignalContext(100, 50))
    behind = n_behind if takes else LATE_SWAP - SWAP
    assert got["sample_count"][swap_at] == min(model.memory_bins, KEPT) + behind + 1


def test_a_signal_that_could_not_be_warmed_keeps_no_later_one_out(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, caplog: pytest.LogCaptureFixture
) -> None:
    watcher, aside = ChampionWatcher(lake, config, 1.0), Late()
    session = open_session(lake, config, watcher, aside)
    frames = play(session, SWAP - 2)
    promote(lake)
    watcher.poll()
    frames += play(session, SWAP - 1)  # version 1 is being warmed
    champion = promote(lake, SHORT)
    watcher.poll()
    (future, _), aside.tasks = aside.tasks[0], []
    future.set_exception(MemoryError("no room"))
    frames += play(session, SWAP)  # it failed: version 2 is begun at once
    assert "could not take generation 1" in caplog.text
    assert len(aside.tasks) == 1
    aside.run()
    frames += play(session)
    (said,) = configs(frames)
    assert (said["runtime_model"]["version"], said["effective_bin_seq"]) == (2, SWAP)
    new = scored_by(dataset, champion.parameters, config)["score"]
    assert scores(received(frames))["score"][SWAP:].tobytes() == new[SWAP:].tobytes()


def test_a_signal_that_failed_is_not_tried_again_at_every_bin(
    lake: Lake, config: InstrumentConfig, promote: Promote, caplog: pytest.LogCaptureFixture
) -> None:
    watcher, aside = ChampionWatcher(lake, config, 1.0), Late()
    session = open_session(lake, config, watcher, aside)
    play(session, 10)
    promote(lake)
    watcher.poll()
    assert session.wants_change
    play(session, 11)
    (future, _), aside.tasks = aside.tasks[0], []
    future.set_exception(MemoryError("no room"))
    play(session, 20)
    assert not session.wants_change
    assert (aside.tasks, caplog.text.count("could not take generation")) == ([], 1)
    promote(lake)  # the next one is taken as ever
    watcher.poll()
    assert session.wants_change
    frames = play(session, 21)
    aside.run()
    frames += play(session, 22)
    assert [said["runtime_model"]["version"] for said in configs(frames)] == [2]
    assert not session.wants_change


@pytest.mark.parametrize("begun", [SWAP, SWAP - 1, SWAP - 30])
def test_a_replay_begun_in_mid_session_hands_over_as_one_that_saw_it_all(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, begun: int
) -> None:
    """What the signal remembers lies before the first bin that the replay computed for its clients."""
    watcher, aside = ChampionWatcher(lake, config, 1.0), Late()
    session = open_session(lake, config, watcher, aside, resume_from=str(begun))
    frames = play(session, SWAP - begun + 1)
    champion = promote(lake, SHORT | {"zscore_window_bins": 60})
    watcher.poll()
    frames += play(session, LATE_SWAP - begun)
    aside.run()
    frames += play(session)
    (said,) = configs(frames)
    assert said["effective_bin_seq"] == LATE_SWAP
    old, new = scores(dataset)["score"], scored_by(dataset, champion.parameters, config)
    require_apart(old, new["score"], LATE_SWAP)
    got = scores(received(frames))
    assert got["score"][: LATE_SWAP - begun].tobytes() == old[begun:LATE_SWAP].tobytes()
    assert got["score"][LATE_SWAP - begun :].tobytes() == new["score"][LATE_SWAP:].tobytes()
    assert got["ready"][LATE_SWAP - begun]


def test_there_and_back_in_one_stream_each_scores_its_own_bins(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins
) -> None:
    """A stream that has changed before changes as a fresh one does; the instrument's perm_* values are not the champion's."""
    watcher = ChampionWatcher(lake, config, 1.0)
    first = promote(lake, {"d1_weight": 0.25, "d2_weight": 1.0})
    session = open_session(lake, config, watcher)
    frames = play(session, SWAP)
    second = promote(lake, {"d1_weight": 1.0, "d3_weight": 2.0})
    watcher.poll()
    frames += play(session, LATE_SWAP)
    roll_back(lake)
    watcher.poll()
    frames += play(session)
    one, two = (scored_by(dataset, champion.parameters, config)["score"] for champion in (first, second))
    for swap_at in (SWAP, LATE_SWAP):
        require_apart(one, two, swap_at)
    got = scores(received(frames))["score"]
    for first_bin, until, expected in ((0, SWAP, one), (SWAP, LATE_SWAP, two), (LATE_SWAP, N_BINS, one)):
        assert got[first_bin:until].tobytes() == expected[first_bin:until].tobytes()
    said = configs(frames)
    assert [(one["runtime_model"]["version"], one["effective_bin_seq"]) for one in said] == [(2, SWAP), (1, LATE_SWAP)]
    assert [one["runtime_model"]["parameters"] for one in said] == [second.parameters, first.parameters]


def test_the_headers_name_who_scored_their_bin(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher)
    frames = play(session, 3)
    promote(lake, signal="ads")
    watcher.poll()
    frames += play(session, 6)
    names = [decode_header(frame.header(0))["runtime_model_name"] for frame in frames if isinstance(frame, BinFrames)]
    assert names == ["perm_derivative"] * 3 + ["ads"] * 3


def test_where_the_instruments_own_signal_is_off_a_champion_scores_all_the_same(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, perm_runtime_enabled="false")
    assert json.loads(session.config_frame().text)["runtime_model"]["enabled"] is False
    frames = play(session, SWAP)
    champion = promote(lake, SHORT)
    watcher.poll()
    frames += play(session)
    (said,) = configs(frames)
    assert said["runtime_model"]["enabled"] is True
    got = scores(received(frames))
    assert not got[:SWAP]["ready"].any()
    assert not got[:SWAP]["score"].any()
    new = scored_by(dataset, champion.parameters, config)
    assert new["score"][SWAP] != 0
    assert got["score"][SWAP:].tobytes() == new["score"][SWAP:].tobytes()
    begun = open_session(lake, config, watcher, perm_runtime_enabled="false")
    assert scores(received(play(begun)))["score"].tobytes() == new["score"].tobytes()


def test_a_closed_session_warms_nothing_any_more(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher, aside = ChampionWatcher(lake, config, 1.0), Late()
    session = open_session(lake, config, watcher, aside)
    play(session, 10)
    promote(lake)
    watcher.poll()
    play(session, 11)
    session.close()
    assert aside.tasks[0][0].cancelled()


# --- what is said of it ---


def test_every_line_of_the_config_frame(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, resume_from="7", perm_d2_weight="0.5")
    first_ns = received(play(open_session(lake, config), 1)).fields["bin_start_ns"][0]
    said = json.loads(session.config_frame().text)
    stated = {
        "mode": "replay",
        "deployment_stage": "local",
        "projection_model": {"use_cubic": False, "cubic_scale": 1 / 6, "damping_lambda": 0.0},
        # Of the session's first bin, not of the one it goes on from. How many there are is certain of a whole file.
        "session": {
            "dt": DAY,
            "start_ns": str(first_ns),
            "end_ns": str(first_ns + N_BINS * 100_000_000),
            "n_bins": N_BINS,
        },
        "notices": [],
        "config_version": session.config.config_version,
        "perm_d2_weight": 0.5,
    }
    assert {name: said[name] for name in stated} == stated
    assert said["config_version"] != config.config_version
    assert "effective_bin_seq" not in said
    assert session.config_frame().effective_bin_seq == 7
    assert session.config_frame("model_change").effective_bin_seq == 7
    changed = json.loads(session.config_frame("model_change").text)
    assert (changed["reason"], changed["effective_bin_seq"]) == ("model_change", 7)
    assert {name: value for name, value in changed.items() if name not in ("reason", "effective_bin_seq")} == said
    promote(lake)
    watcher.poll()
    for name, value, n_notices in (("perm_mixed_weight", "0.5", 1), ("projection_horizons_bins", "2,3", 0), ("speed", "2", 0)):
        told = json.loads(open_session(lake, config, watcher, **{name: value}).config_frame().text)["notices"]
        assert len(told) == n_notices, name


def test_a_turn_computes_as_many_bins_as_asked_and_none_after_the_end(
    lake: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, resume_from="380")
    assert [frame.bin_seq for frame in session.turn(1) if isinstance(frame, BinFrames)] == [380]
    promote(lake)
    watcher.poll()
    turn = session.turn(16)
    assert isinstance(turn[0], ConfigFrame)
    assert [frame.bin_seq for frame in turn[1:] if isinstance(frame, BinFrames)] == list(range(381, 397))
    assert not session.ended
    assert [frame.bin_seq for frame in session.turn(16) if isinstance(frame, BinFrames)] == [397, 398, 399]
    assert session.ended
    assert session.n_bins == N_BINS
