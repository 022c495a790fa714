"""Kept states: a replay that begins at any bin gives the bits of the undisturbed one; whose signal is whose."""

from pathlib import Path

import numpy as np
import pytest
import zstandard

from engine.errors import ConfigError
from engine.run import keyframes
from engine.run.replay import Replay, runtime_model
from engine.signals.base import SignalLike
from engine.signals.registry import get_signal, signal_of
from engine.source.records import open_source
from tests.full_disk import room_for
from tests.kept_states import CONFIG, CONTEXT, N_BINS, Played, at, began_at, counting, engines, play, require_same
from tests.streams import INSTRUMENT_ID, SYMBOL, build_up, to_array, write_dbn

pytestmark = pytest.mark.usefixtures("close_together")


# The same bits


def test_a_replay_that_keeps_states_is_undisturbed(session: Path, whole: Played, tmp_path: Path) -> None:
    require_same(play(session, tmp_path), whole, 0)
    assert engines(tmp_path) == [100, 200, 300, 400]


@pytest.mark.parametrize("block_bins", [1, 64])
@pytest.mark.parametrize(
    ("from_bin", "state"), [(0, 0), (1, 0), (99, 0), (100, 100), (101, 100), (299, 200), (400, 400), (449, 400), (450, 400)]
)
def test_any_bin_comes_as_in_a_replay_from_the_start(
    from_bin: int, state: int, block_bins: int, session: Path, whole: Played, made: Path
) -> None:
    found = play(session, made, from_bin, block_bins=block_bins)
    assert began_at(found[1]) == state
    require_same(found, whole, from_bin)


def test_without_states_the_bin_is_the_same(session: Path, whole: Played) -> None:
    require_same(play(session, None, 150), whole, 150)


def test_a_replay_that_began_in_the_middle_keeps_states_too(session: Path, whole: Played, kept: Path) -> None:
    at(kept, 300, "engine").unlink()
    play(session, kept, 250)
    assert engines(kept) == [100, 200, 300, 400]
    found = play(session, kept, 310)
    assert began_at(found[1]) == 300
    require_same(found, whole, 310)


def test_large_blocks_end_where_a_state_is_due(session: Path, tmp_path: Path) -> None:
    play(session, tmp_path, block_bins=64)
    assert engines(tmp_path) == [100, 200, 300, 400]


def test_the_number_of_bins_is_each_replays_own(session: Path, whole: Played, kept: Path) -> None:
    bins, replay = play(session, kept, 210, n_bins=220)
    assert began_at(replay) == 200
    assert bins.fields.tobytes() == whole[0].fields[210:220].tobytes()
    assert len(play(session, kept, 300, n_bins=220)[0].fields) == 0  # beyond its last one


def test_a_first_bin_below_nought_is_refused(session: Path) -> None:
    with pytest.raises(ConfigError, match="the first bin was -1; it must be at least 0"):
        play(session, None, -1)


@pytest.mark.parametrize("start", [None, "09:00:05"])
def test_a_compressed_file_is_entered_in_its_middle(start: str | None, session: Path, tmp_path: Path) -> None:
    packed = tmp_path / f"{session.name}.zst"
    packed.write_bytes(zstandard.compress(session.read_bytes()))
    cold = play(packed, None, start_time=start)
    play(packed, tmp_path / "kept", start_time=start)
    for _ in range(2):
        found = play(packed, tmp_path / "kept", 310, start_time=start)
        assert began_at(found[1]) == 300
        require_same(found, cold, 310)
    assert len(list((tmp_path / "kept" / "records").glob("*.mbo"))) == 1
    assert found[1].source.place.n_before > 1000  # of about 2,700 records


def test_a_compressed_file_that_cannot_be_decoded_for_want_of_room_gives_the_same(session: Path, tmp_path: Path) -> None:
    packed = tmp_path / f"{session.name}.zst"
    packed.write_bytes(zstandard.compress(session.read_bytes()))
    cold = play(packed, None)
    play(packed, tmp_path / "kept")
    with room_for(1000):
        found = play(packed, tmp_path / "kept", 310)
    assert began_at(found[1]) == 300
    require_same(found, cold, 310)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_change_of_id_before_the_state_is_counted_and_told(chunk: int, tmp_path: Path) -> None:
    """Two files of two ids; the second goes on for 300 bins of one record each."""
    old, new = to_array(build_up()), to_array([*build_up(), *build_up()])
    new = np.concatenate([new, np.repeat(new[-1:], 300)])
    new["instrument_id"] = 7
    new["ts_event"] = old["ts_event"][-1] + np.arange(len(new), dtype=np.uint64) * 100_000_000
    new["ts_recv"] = new["ts_event"] + 1
    new["order_id"] += 100
    new["order_id"][-300:] = 1000 + np.arange(300)
    paths = [
        write_dbn(tmp_path / "a-20260206.dbn", old, {SYMBOL: INSTRUMENT_ID}),
        write_dbn(tmp_path / "b-20260206.dbn", new, {SYMBOL: 7}),
    ]

    cold = play(paths, None, chunk_records=chunk)
    assert "changes of the contract's instrument id: 1" in cold[1].notices[0]
    play(paths, tmp_path / "kept", chunk_records=chunk)
    found = play(paths, tmp_path / "kept", 205, chunk_records=chunk)
    assert began_at(found[1]) == 200
    require_same(found, cold, 205)


# Signals


@pytest.mark.parametrize("name", ["ads", "knn_cl"])
def test_a_signal_goes_on_from_its_own_state(name: str, session: Path, tmp_path: Path) -> None:
    params = {"min_train_bins": 120, "refit_interval_bins": 60, "refit_delay_bins": 20} if name == "knn_cl" else {}

    def fresh() -> SignalLike:
        return signal_of(get_signal(name), params, CONTEXT)

    cold = play(session, None, signal=fresh())
    play(session, tmp_path, signal=fresh())
    found = play(session, tmp_path, 330, signal=fresh())
    assert began_at(found[1]) >= 300
    require_same(found, cold, 330)


def test_two_signals_share_the_engines_states_and_not_each_others(session: Path, whole: Played, kept: Path) -> None:
    before = at(kept, 300, "engine").stat().st_mtime_ns

    def fresh() -> SignalLike:
        return signal_of(get_signal("ads"), {}, CONTEXT)

    assert began_at(play(session, kept, 300, signal=fresh())[1]) == 0
    play(session, kept, signal=fresh())
    assert at(kept, 300, "engine").stat().st_mtime_ns == before
    assert len(list(kept.glob("*/*.signal"))) == 8
    assert began_at(play(session, kept, 300, signal=fresh())[1]) == 300
    require_same(play(session, kept, 300), whole, 300)


def test_a_signal_that_has_learnt_before_is_another_one(session: Path, kept: Path) -> None:
    """It came with a state of its own: what a fresh one held later is none of it."""
    taught = runtime_model(CONFIG)
    assert taught is not None
    taught.run(taught._zero_bins(5))  # type: ignore[attr-defined]
    state = taught.snapshot()
    replay = play(session, kept, 300, signal=taught)[1]
    assert began_at(replay) == 0
    again = runtime_model(CONFIG)
    assert again is not None
    again.restore(state)
    assert began_at(play(session, kept, 300, signal=again)[1]) == 300


def counts(played: Played) -> list[int]:
    return played[0].fields["runtime_model_sample_count"].tolist()


@pytest.mark.parametrize(("gives", "notice"), [(0, "gives no state to keep"), (1, "gave no state to keep")])
def test_replays_of_a_signal_without_snapshots_are_run_anew(gives: int, notice: str, session: Path, tmp_path: Path) -> None:
    for _ in range(2):
        played = play(session, tmp_path, 310, signal=counting(gives=gives))
        assert counts(played) == list(range(311, N_BINS + 1))
        assert began_at(played[1]) == 0
        assert any(f"counting {notice} (NotImplementedError)" in told for told in played[1].notices)


def test_a_signal_that_does_not_take_its_state_back_begins_as_it_came(session: Path, tmp_path: Path) -> None:
    play(session, tmp_path, signal=counting())
    played = play(session, tmp_path, 310, signal=counting(takes=False))
    assert began_at(played[1]) == 0
    assert counts(played) == list(range(311, N_BINS + 1))
    assert "counting did not take its kept state back (NotImplementedError)" in played[1].notices[0]


def test_of_a_signal_that_need_not_wait_for_its_fits_nothing_is_kept(session: Path, tmp_path: Path) -> None:
    play(session, tmp_path, signal=counting(late_policy="hold"))
    assert engines(tmp_path) == []


def test_a_state_is_not_taken_while_a_fit_is_under_way(session: Path, tmp_path: Path) -> None:
    """The signal says so from bin 150 to bin 230: the state that was due at 200 is taken at 230."""
    signal = counting()
    replay = Replay(open_source([session], CONFIG), CONFIG, signal=signal, keyframes=tmp_path, block_bins=1)
    for block in replay:
        signal.is_fitting = 150 <= int(block.bins["bin_seq"][0]) + 1 < 230
        keyframes.wait()
    assert engines(tmp_path) == [100, 230, 300, 400]
    assert began_at(play(session, tmp_path, 229, signal=counting())[1]) == 100
    found = play(session, tmp_path, 231, signal=counting())
    assert began_at(found[1]) == 230
    assert counts(found) == list(range(232, N_BINS + 1))


def test_what_another_signal_left_in_mid_session_is_not_kept(session: Path, tmp_path: Path) -> None:
    replay = Replay(open_source([session], CONFIG), CONFIG, signal=counting(), keyframes=tmp_path, block_bins=1)
    for block in replay:
        keyframes.wait()
        if block.bins["bin_seq"][0] == 250:
            replay.runner.take_over(counting(), CONFIG)
    keyframes.wait()
    assert engines(tmp_path) == [100, 200]
