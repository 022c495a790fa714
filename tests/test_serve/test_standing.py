"""What is known of the model reaches streams that are open: a demotion, a trade more, and nothing twice."""

import json
from collections.abc import Iterator

import pytest

from engine.champion import Champion, move_pointer
from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.champion import ChampionWatcher
from serve.frames import BinFrames
from serve.paper import PaperDesk
from serve.session import ConfigFrame, Session
from serve.standing import StandingWatch
from tests.test_serve.conftest import Promote
from tests.test_serve.test_paper import promise_by, rules_of
from tests.test_serve.test_session import Inline, request_of


@pytest.fixture
def desk(lake: Lake) -> Iterator[PaperDesk]:
    made = PaperDesk(lake)
    yield made
    made.close()


def lose(desk: PaperDesk, champion: Champion, first: int, n_trades: int) -> None:
    """Trades of 4 ticks lost each, where half a tick was promised: of 79 the promise does not stand any more."""
    for i in range(first, first + n_trades):
        one = {"session": "s", "bin": i, "entry_ns": 10**12 * i, "session_start_ns": 1}
        ended = {"kind": "close", "session": "s", "bin": i, "exit_ns": one["entry_ns"] + 1, "net_ticks": -4.0}
        desk.submit(champion, [{"kind": "open", **one}, ended])
    desk.flush()


def test_it_looks_no_more_often_than_it_may_and_tells_each_change_once(lake: Lake, promote: Promote, desk: PaperDesk) -> None:
    champion = promote(lake, gate={}, promise=promise_by(rules_of()))
    clock = 100.0
    watch = StandingWatch(desk, lambda: clock, 1.0)
    assert not watch.is_news(champion)  # the first look is what was told
    lose(desk, champion, 1, 1)
    clock = 100.99
    assert not watch.is_news(champion)
    clock = 101.0
    assert watch.is_news(champion)
    clock = 105.0
    assert not watch.is_news(champion)
    lose(desk, champion, 2, 78)
    clock = 106.0
    assert watch.is_news(champion)
    assert watch.now(champion)["standing"] == "on_trial"
    other = promote(lake, gate={}, promise=promise_by(rules_of()))
    assert not watch.is_news(other)  # it takes over, which is told with that
    assert not watch.is_news(None)
    assert not StandingWatch(None).is_news(champion)


def test_an_open_stream_learns_of_a_demotion_between_two_bins(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk
) -> None:
    champion = promote(lake, gate={}, promise=promise_by(rules_of()))
    watcher = ChampionWatcher(lake, config, 1.0)
    watcher.poll()
    session = Session(request_of(lake, config), lambda: watcher.serving, Inline(), None, desk)
    clock = 0.0
    session._standing = StandingWatch(desk, lambda: clock, 1.0)
    session.open()
    said = json.loads(session.config_frame().text)["runtime_model"]
    assert said["standing"] == "proven"
    frames = [frame for _ in range(10) for frame in session.turn(1)]
    assert all(isinstance(frame, BinFrames) for frame in frames)
    lose(desk, champion, 1, 79)
    clock = 1.0
    config_frame, bin_frame = session.turn(1)
    assert isinstance(config_frame, ConfigFrame)
    assert isinstance(bin_frame, BinFrames)
    told = json.loads(config_frame.text)
    assert (told["reason"], told["effective_bin_seq"]) == ("standing_change", 10)
    assert bin_frame.bin_seq == 10
    assert told["runtime_model"]["standing"] == "on_trial"
    assert told["runtime_model"]["record"].startswith("on trial: 79 live trades")
    assert told["runtime_model"] | {"standing": "proven", "record": said["record"]} == said  # and nothing else changed
    clock = 2.0
    (bin_frame,) = session.turn(1)
    assert isinstance(bin_frame, BinFrames)


def test_none_rollback_and_promotion_again_are_told_alike(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    first = promote(lake)
    watcher.poll()
    session = Session(request_of(lake, config), lambda: watcher.serving, Inline(), None, desk)
    session.open()
    for _ in range(100):
        session.turn(1)
    told = []
    for version in (None, first.version, None, first.version):
        move_pointer(lake, version)
        watcher.poll()
        config_frame, bin_frame = session.turn(1)
        assert isinstance(config_frame, ConfigFrame)
        assert isinstance(bin_frame, BinFrames)
        said = json.loads(config_frame.text)
        header = json.loads(bin_frame.header(0))
        told.append((said["reason"], said["runtime_model"]["version"], header["runtime_model_ready"]))
        assert said["effective_bin_seq"] == header["bin_seq"] == bin_frame.bin_seq
    assert told == [("model_change", version, True) for version in (None, 1, None, 1)]
