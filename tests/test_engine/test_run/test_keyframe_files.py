"""Kept states on disk: what they are bound to, and bins that stay right whatever becomes of them."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.config import load_instrument
from engine.run import keyframes
from engine.run.keyframes import engine_key, make_room, signal_key
from engine.run.replay import Replay, runtime_model
from engine.run.runner import Runner, Span
from engine.simulate.session import simulate
from engine.source.records import open_source
from tests.full_disk import room_for
from tests.kept_states import (
    CONFIG,
    CONTEXT,
    Counting,
    Played,
    at,
    began_at,
    counting,
    engines,
    play,
    require_same,
)
from tests.sessions import join
from tests.streams import DAY, INSTRUMENT_ID, SYMBOL, build_up, to_array, write_dbn

pytestmark = pytest.mark.usefixtures("close_together")


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


def test_only_so_many_states_of_a_process_wait_to_be_written(session: Path, tmp_path: Path) -> None:
    """Six instruments' replays come to their hundredth bin while the writer is held up: four states are taken, no more."""
    go_on = threading.Event()
    keyframes._writer().submit(go_on.wait)
    for tau in (5.0, 6.0, 7.0, 8.0, 9.0, 11.0):
        config = load_instrument(overrides={"tau_jerk": tau})
        join(Replay(open_source([session], config), config, keyframes=tmp_path, n_bins=120))
    go_on.set()
    keyframes.wait()
    assert engines(tmp_path) == [100] * 4
    play(session, tmp_path, n_bins=120)
    assert engines(tmp_path) == [100] * 5  # there is room again


def test_a_state_that_another_replay_has_kept_meanwhile_is_not_taken_again(session: Path, tmp_path: Path) -> None:
    """Both begin without any; the one that comes to the hundredth bin first keeps it."""
    one, other = (Replay(open_source([session], CONFIG), CONFIG, keyframes=tmp_path, n_bins=120) for _ in range(2))
    join(one)
    keyframes.wait()
    before = {path: path.stat().st_ino for path in tmp_path.glob("*/*")}
    taken: list[int] = []
    other.runner.arrays = lambda: taken.append(1) or {}  # type: ignore[method-assign, func-returns-value]
    join(other)
    keyframes.wait()
    assert (taken, {path: path.stat().st_ino for path in tmp_path.glob("*/*")}) == ([], before)


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
