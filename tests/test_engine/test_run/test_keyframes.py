"""Kept states: a replay that begins at any bin gives the bits of the undisturbed one, whatever happened to what was kept."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

import engine
from engine.config import load_instrument
from engine.errors import ConfigError
from engine.run import keyframes
from engine.run.keyframes import engine_key, make_room, signal_key
from engine.run.replay import Replay, runtime_model
from engine.run.runner import Runner, Span
from engine.schema import Outputs
from engine.signals.base import SignalContext, SignalLike
from engine.signals.registry import get_signal, signal_of
from engine.simulate.session import simulate
from engine.source.records import open_source
from tests.full_disk import room_for
from tests.reference import F_BAD_TS_RECV
from tests.sessions import Bins, join
from tests.streams import DAY, INSTRUMENT_ID, SYMBOL, build_up, to_array, write_dbn

CONFIG = load_instrument()
CONTEXT = SignalContext(CONFIG.cell_width_ms, CONFIG.grid_radius_ticks, CONFIG.tick_int)
EVERY = 100
N_BINS = 450


@pytest.fixture(autouse=True)
def close_together(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """States lie 100 bins apart, and none is still being written when a test's folder goes."""
    monkeypatch.setattr(keyframes, "KEYFRAME_BINS", EVERY)
    yield
    keyframes.wait()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """450 bins of a simulated market, with cancels of unknown orders and doubtful times all along."""
    path = tmp_path_factory.mktemp("raw") / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=45, rate=60.0)
    source = open_source([path], CONFIG)
    rows = np.concatenate(list(source.records()))
    cancels = np.flatnonzero(rows["action"] == ord("C"))[::7]
    rows["order_id"][cancels] = 2**60 + np.arange(len(cancels), dtype=np.uint64)
    rows["flags"][::131] |= F_BAD_TS_RECV
    return write_dbn(path, rows, {SYMBOL: int(rows[0]["instrument_id"])}, end_ns=source.declared_end_ns)


Played = tuple[Bins, Replay]


def play(path: Path | list[Path], folder: Path | None, from_bin: int = 0, signal: SignalLike | None = None, **how: Any) -> Played:
    source = open_source(path if isinstance(path, list) else [path], CONFIG, DAY)
    replay = Replay(source, CONFIG, signal=signal, keyframes=folder, from_bin=from_bin, **({"block_bins": 1} | how))
    blocks = []
    for block in replay:
        blocks.append(block)
        keyframes.wait()  # a market runs slower than the disk
    keyframes.wait()
    return join(blocks), replay


def began_at(replay: Replay) -> int:
    assert replay.keyframes is not None
    return replay.keyframes.began_at


def require_same(found: Played, undisturbed: Played, from_bin: int) -> None:
    """Every bit from a bin on, and what was counted over the whole session."""
    (bins, replay), (all_bins, whole) = found, undisturbed
    assert bins.fields.tobytes() == all_bins.fields[from_bin:].tobytes()
    if from_bin < len(all_bins.fields):
        for name, column in all_bins.grid.items():
            assert bins.grid[name].tobytes() == column[from_bin:].tobytes(), name
    assert replay.anomalies == whole.anomalies
    assert replay.runner.first_anomalies == whole.runner.first_anomalies
    assert replay.quality_counts == whole.quality_counts
    assert replay.source.notices == whole.source.notices


@pytest.fixture(scope="module")
def whole(session: Path) -> Played:
    played = play(session, None)
    assert len(played[0].fields) == N_BINS
    assert played[1].anomalies["unknown_cancel"] > 10
    assert played[1].quality_counts
    return played


@pytest.fixture(scope="module")
def made(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """States of the session, one every 100 bins."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyframes, "KEYFRAME_BINS", EVERY)
        play(session, folder)
    return folder


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> Path:
    """A copy of them, to be damaged."""
    shutil.copytree(made, tmp_path / "kept")
    return tmp_path / "kept"


def engines(folder: Path) -> list[int]:
    """Bins at which the engine's state is kept."""
    return sorted(int(path.stem) for path in folder.glob("*/*.engine"))


def at(folder: Path, bin_seq: int, kind: str) -> Path:
    (path,) = folder.glob(f"*/{bin_seq:09d}*.{kind}")
    return path


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


class Seen(NamedTuple):
    """Bins counted, shape (1,)."""

    bins: NDArray[np.int64]


class Counting(engine.Signal):
    """Counts bins; gives its state so many times, and takes it back or not."""

    name = "counting"
    required_fields = ("bin_seq",)
    default_thresholds = (1.0,)
    Params = engine.SignalParams
    memory_bins = 1
    gives = 1_000
    takes = True
    is_fitting = False

    def _fresh_state(self) -> Seen:
        return Seen(np.zeros(1, np.int64))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        out["sample_count"] = self._state.bins[0] + 1 + np.arange(len(out))
        self._state.bins[0] += len(out)

    def snapshot(self) -> bytes:
        self.gives -= 1
        if self.gives < 0:
            raise NotImplementedError
        return super().snapshot()

    def restore(self, data: bytes) -> None:
        super().restore(data)
        if not self.takes and self._state.bins[0]:
            raise NotImplementedError


def counting(**how: Any) -> Counting:
    signal = Counting(Counting.Params(), CONTEXT)
    for name, value in how.items():
        setattr(signal, name, value)
    return signal


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


# What a state is bound to


def keys_of(path: Path, span: tuple[int, int, int | None] = (1, 2, 3), sessions: int = 0, **overrides: object) -> tuple[str, str]:
    """Keys of the engine's and of the signal's states."""
    config = load_instrument(overrides=overrides)
    runner = Runner(config, Span(*span), np.zeros((sessions, 2), np.int64), runtime_model(config))
    key = engine_key(open_source([path], config, DAY), runner)
    assert runner.signal is not None
    return key, signal_key(runner.signal, key, runner.signal.snapshot())


def test_states_are_bound_to_all_that_decides_their_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {SYMBOL: INSTRUMENT_ID, "MNQM6": 1}
    path, other = (write_dbn(tmp_path / name, to_array(build_up()), ids) for name in ("a.dbn", "b.dbn"))
    found = {
        "as it is": keys_of(path),
        "path": keys_of(other),
        "start of the day": keys_of(path, (0, 2, 3)),
        "end of the day": keys_of(path, (1, 3, 3)),
        "first bin": keys_of(path, (1, 2, 4)),
        "no first bin": keys_of(path, (1, 2, None)),
        "hours": keys_of(path, sessions=1),
        "symbol": keys_of(path, symbol="MNQM6"),
        "width": keys_of(path, cell_width_ms=50),
        "field": keys_of(path, tau_jerk=9.0),
        "spectrum": keys_of(path, spectrum_windows=[5, 10, 20, 41]),
        "rates": keys_of(path, rate_kernel="finite"),
    }
    monkeypatch.setattr(keyframes, "_code", lambda: "other code")
    found["code"] = keys_of(path)
    monkeypatch.undo()
    os.utime(path, ns=(1, 1))
    found["time"] = keys_of(path)
    for i in range(2):
        assert len({keys[i] for keys in found.values()}) == len(found)


def test_engines_states_are_shared_by_what_only_scores(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "a.dbn", to_array(build_up()))
    plain = keys_of(path)
    other = keys_of(path, perm_d1_weight=0.5)
    assert other[0] == plain[0]
    assert other[1] != plain[1]
    assert keys_of(path, state5_table="by_side", projection_horizons_bins=[7]) == plain


def test_a_signals_states_are_bound_to_its_class_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Counting):
        pass

    one, other = counting(), Other(Counting.Params(), CONTEXT)
    keys = {signal_key(one, "", b""), signal_key(other, "", b""), signal_key(one, "", b"taught"), signal_key(one, "engine", b"")}
    monkeypatch.setattr(keyframes, "_code_of", lambda home: "other code")
    assert len(keys | {signal_key(one, "", b"")}) == 5


# What is damaged, lost, or has no room


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def foreign(path: Path) -> None:
    """That of another bin's signal under an engine's name, and the other way round."""
    suffix = {".engine": "signal", ".signal": "engine"}[path.suffix]
    path.write_bytes(next(path.parent.glob(f"*.{suffix}")).read_bytes())


def lock(path: Path) -> None:
    """What can be listed and not read."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, empty, flip, foreign, lock])
@pytest.mark.parametrize("kind", ["engine", "signal"])
def test_a_damaged_state_is_stepped_over_with_a_notice(
    kind: str, damage: Callable[[Path], None], session: Path, whole: Played, kept: Path
) -> None:
    damage(at(kept, 400, kind))
    found = play(session, kept, 420)
    require_same(found, whole, 420)
    assert began_at(found[1]) == 300
    (notice,) = found[1].notices
    assert ".engine could not be used" in notice if kind == "engine" else ".signal could not be used" in notice
    if damage is not lock:  # and was made anew on the way
        assert began_at(play(session, kept, 420)[1]) == 400


def test_all_states_damaged_is_a_replay_from_the_start(session: Path, whole: Played, kept: Path) -> None:
    for path in kept.glob("*/*.engine"):
        flip(path)
    found = play(session, kept, 420)
    require_same(found, whole, 420)
    assert (began_at(found[1]), len(found[1].notices)) == (0, 4)


@pytest.mark.parametrize("kind", ["engine", "signal"])
def test_a_lost_part_is_a_state_that_is_not_there(kind: str, session: Path, whole: Played, kept: Path) -> None:
    at(kept, 400, kind).unlink()
    found = play(session, kept, 420)
    require_same(found, whole, 420)
    assert (began_at(found[1]), found[1].notices) == (300, [])
    assert began_at(play(session, kept, 420)[1]) == 400


def test_the_folder_may_go_while_a_replay_keeps_states(session: Path, whole: Played, tmp_path: Path) -> None:
    replay = Replay(open_source([session], CONFIG), CONFIG, keyframes=tmp_path / "kept", block_bins=1)
    blocks = []
    for block in replay:
        blocks.append(block)
        keyframes.wait()
        if len(blocks) == 250:
            shutil.rmtree(tmp_path / "kept")
    require_same((join(blocks), replay), whole, 0)
    assert engines(tmp_path / "kept") == [300, 400]


def test_a_full_disk_costs_no_bin(session: Path, whole: Played, tmp_path: Path) -> None:
    with room_for(1000):
        found = play(session, tmp_path / "kept")
    require_same(found, whole, 0)
    (notice,) = found[1].notices
    assert notice.startswith(f"states of the session are not kept in {tmp_path / 'kept'} (no room")
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file() and path.name != "end.bins"] == []


def test_a_folder_that_cannot_be_costs_no_bin(session: Path, whole: Played, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    found = play(session, tmp_path / "kept", 310)
    require_same(found, whole, 310)
    assert found[1].notices == [
        f"states of the session are not kept in {tmp_path / 'kept'} (Not a directory); a later start at a bin takes longer"
    ]


# Several at once, and what it costs


def test_two_replays_of_a_session_at_once_do_not_disturb_each_other(session: Path, whole: Played, tmp_path: Path) -> None:
    found: list[Played] = []
    both = threading.Barrier(2)

    def run() -> None:
        both.wait()
        found.append(play(session, tmp_path))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for played in found:
        require_same(played, whole, 0)
    assert {path.suffix for path in tmp_path.glob("*/*")} == {".engine", ".signal", ".bins"}
    found = [play(session, tmp_path, 420)]
    assert began_at(found[0][1]) >= 400
    require_same(found[0], whole, 420)


def test_bins_do_not_wait_for_the_writer(session: Path, whole: Played, tmp_path: Path) -> None:
    """The writer is held up from the first bin to the last: one state waits for it, and no more are taken meanwhile."""
    go_on = threading.Event()
    keyframes._writer().submit(go_on.wait)
    replay = Replay(open_source([session], CONFIG), CONFIG, keyframes=tmp_path, block_bins=1)
    bins = join(replay)
    assert engines(tmp_path) == []
    go_on.set()
    keyframes.wait()
    require_same((bins, replay), whole, 0)
    assert engines(tmp_path) == [100]


def test_a_start_at_the_end_costs_a_fifth_of_running_there_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of 12,100 bins, 99 behind a state; in processor time, so that a busy machine changes nothing."""
    monkeypatch.setattr(keyframes, "KEYFRAME_BINS", 3_000)
    path = tmp_path / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=1210, rate=5.0)
    play(path, tmp_path / "kept", block_bins=256)
    assert engines(tmp_path / "kept") == [3000, 6000, 9000, 12000]

    def cost(folder: Path | None) -> float:
        began = time.process_time()
        assert len(play(path, folder, 12_099)[0].fields) == 1
        return time.process_time() - began

    assert cost(tmp_path / "kept") < cost(None) / 5


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    """Five files of 100 bytes, the limit 450: nine tenths of it are 405, so one goes, the oldest; the next limit takes three."""
    for i, name in enumerate("abcde"):
        path = tmp_path / f"session-{name in 'de'}" / f"{name}.engine"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, ns=(10**18 + i, 10**18 + i))

    def left() -> str:
        return "".join(sorted(path.stem for path in tmp_path.glob("*/*")))

    make_room(tmp_path, 500)
    assert left() == "abcde"
    os.utime(tmp_path / "session-False" / "a.engine", ns=(2 * 10**18, 2 * 10**18))  # it was used
    make_room(tmp_path, 450)
    assert left() == "acde"
    make_room(tmp_path, 250)
    assert left() == "ae"
    make_room(tmp_path, 99)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_state_stays(tmp_path: Path) -> None:
    """Decoded records may lie in the folder, too; what a killed writer left goes."""
    for name in ("records/a.mbo", "session/.a.engine.xyz.tmp"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(bytes(100))
    make_room(tmp_path, 0)
    assert [path.name for path in tmp_path.rglob("*")] == ["records", "a.mbo"]


def test_a_state_that_was_used_is_not_the_least_recently_used(session: Path, kept: Path) -> None:
    for path in kept.glob("*/*"):
        os.utime(path, ns=(10**18, 10**18))
    play(session, kept, 250, n_bins=251)
    used = {path.name.split(".")[0][:9] for path in kept.glob("*/*") if path.stat().st_mtime_ns > 10**18}
    assert used == {"000000200"}


def test_states_are_bounded_in_bytes(session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyframes, "FOLDER_BYTES", 0)
    play(session, tmp_path)
    assert engines(tmp_path) == []
