"""Bins in blocks: what a turn of any size gives is what single bins are, and nothing is computed beyond what was asked for."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.champion import ChampionWatcher
from serve.frames import BinFrames
from serve.paper import PaperDesk
from serve.paper_states import PaperStates
from serve.session import ConfigFrame, Session
from tests.sessions import Bins
from tests.test_serve.conftest import Promote
from tests.test_serve.test_model_trades import told
from tests.test_serve.test_paper import promise_by, rules_of, session_of
from tests.test_serve.test_session import (
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

__all__ = ["dataset"]  # a fixture

SIZES = [2, 7, 16, 300, 1000]  # 300 of the 400 bins are more than one block holds, 1,000 more than there are


def in_turns(session: Session, size: int) -> list[ConfigFrame | BinFrames]:
    frames: list[ConfigFrame | BinFrames] = []
    while not session.ended:
        frames += session.turn(size)
    return frames


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resume_from", ["0", "123", "399"])
def test_turns_of_any_size_give_the_frames_of_single_bins(
    lake: Lake, config: InstrumentConfig, size: int, resume_from: str
) -> None:
    single = play(open_session(lake, config, resume_from=resume_from))
    assert len(single) == N_BINS - int(resume_from)
    assert in_turns(open_session(lake, config, resume_from=resume_from), size) == single


def test_a_turn_computes_no_bin_more_than_it_hands_out(lake: Lake, config: InstrumentConfig) -> None:
    session = open_session(lake, config)
    session.turn(1)  # was computed on opening
    at = 1
    for size in (1, 16, 2, 5, 257, 300):
        assert len(session.turn(size)) == min(size, N_BINS - at)
        at = min(at + size, N_BINS)
        assert (session.next_bin, session.n_bins, session.ended) == (at, at, size == 300)


@pytest.mark.parametrize("size", [2, 16, 300])
def test_another_signal_takes_over_between_two_turns_whatever_their_size(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, size: int
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher)
    frames = session.turn(SWAP)
    champion = promote(lake, {"d1_weight": 0.25, "d2_weight": 1.0})
    watcher.poll()
    frames += in_turns(session, size)
    (said,) = configs(frames)
    assert (said["reason"], said["effective_bin_seq"]) == ("model_change", SWAP)
    assert isinstance(frames[SWAP], ConfigFrame)
    got = scores(received(frames))["score"]
    old, new = scores(dataset)["score"], scored_by(dataset, champion.parameters, config)["score"]
    assert got[:SWAP].tobytes() == old[:SWAP].tobytes()
    assert got[SWAP:].tobytes() == new[SWAP:].tobytes()
    require_apart(old, new, SWAP)


def test_a_signal_that_is_warm_while_blocks_were_computed_sees_them_all(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins
) -> None:
    watcher, aside = ChampionWatcher(lake, config, 1.0), Late()
    session = open_session(lake, config, watcher, aside)
    frames = session.turn(100)
    champion = promote(lake, {"d1_weight": 0.25, "d2_weight": 1.0})
    watcher.poll()
    frames += session.turn(SWAP - 100)  # it was shown 100 bins, and meanwhile these are made in one block
    aside.run()
    frames += session.turn(N_BINS)
    (said,) = configs(frames)
    assert said["effective_bin_seq"] == SWAP
    new = scored_by(dataset, champion.parameters, config)["score"]
    assert scores(received(frames))["score"][SWAP:].tobytes() == new[SWAP:].tobytes()
    require_apart(scores(dataset)["score"], new, SWAP)


@pytest.mark.parametrize("size", [1, *SIZES])
def test_each_bin_tells_its_own_trades_and_states_are_kept_where_they_are_due(
    lake: Lake, config: InstrumentConfig, promote: Promote, tmp_path: Path, size: int
) -> None:
    promote(lake, promise=promise_by(rules_of()))

    def played(folder: Path, advance: Callable[[Session], list[ConfigFrame | BinFrames]]) -> tuple[object, object, object]:
        desk = PaperDesk(lake, PaperStates(folder, every_bins=50))
        session = session_of(lake, config, desk)
        frames = advance(session)
        desk.close()
        return told(frames), session.told, {path.name: path.read_bytes() for path in folder.rglob("*.trades")}

    by_bin, at_end, kept = played(tmp_path / "single", play)
    assert isinstance(by_bin, dict)
    assert len(by_bin) > 10
    assert isinstance(kept, dict)
    assert sorted(kept) == [f"{n_bins:09d}.trades" for n_bins in range(50, 401, 50)]
    assert played(tmp_path / "blocks", partial(in_turns, size=size)) == (by_bin, at_end, kept)


def test_bins_in_blocks_cost_less_than_bins_one_by_one(lake: Lake, config: InstrumentConfig) -> None:
    def cpu_s(size: int) -> float:
        session = open_session(lake, config)
        session.turn(1)
        begun = time.thread_time()
        in_turns(session, size)
        return time.thread_time() - begun

    single, in_blocks = (min(cpu_s(size) for _ in range(3)) for size in (1, 16))
    assert in_blocks < 0.75 * single
