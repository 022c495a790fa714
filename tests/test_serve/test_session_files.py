"""A session's raw file that becomes another one while it is streamed, or that does not say whose records it holds."""

import os

import numpy as np
import pytest

from engine.config import InstrumentConfig
from engine.errors import SourceChangedError, SourceError
from engine.lake import Lake
from engine.run.replay import Replay
from engine.simulate.session import simulate
from engine.source.records import open_source
from serve.champion import ChampionWatcher
from serve.request import read_request
from serve.session import Session
from serve.settings import StreamDefaults
from tests.sessions import join
from tests.streams import write_dbn
from tests.test_serve.test_session import Inline, open_session, play, received


def test_a_file_that_is_replaced_is_streamed_to_its_end_as_it_was(
    lake: Lake, config: InstrumentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.source.dbn_file.WINDOW_RECORDS", 64)
    session = open_session(lake, config)
    as_it_was = join(Replay(open_source([session.request.dbn], config, session.request.dt), config)).to_bytes()
    first = play(session, 5)
    new = lake.root / "new.dbn"
    simulate(new, seed=9, seconds=5, rate=400.0, start="2026-02-06T09:25")
    new.replace(session.request.dbn)
    assert received([*first, *play(session)]).to_bytes() == as_it_was


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_a_file_that_is_shortened_ends_its_session_with_the_reason(
    lake: Lake, config: InstrumentConfig, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("engine.source.dbn_file.WINDOW_RECORDS", 64)
    session = open_session(lake, config)
    play(session, 5)
    os.truncate(session.request.dbn, size)
    with pytest.raises(SourceChangedError, match=f"{session.request.dbn} was changed while it was read"):
        play(session)


def test_a_recording_without_a_word_is_streamed_where_that_is_asked_for(lake: Lake, config: InstrumentConfig) -> None:
    (path,) = lake.raw_dir("MNQ").iterdir()
    rows = np.concatenate(list(open_source([path], config).records()))
    write_dbn(path, rows, {})
    with pytest.raises(SourceError, match="nowhere"):
        open_session(lake, config)
    watcher = ChampionWatcher(lake, config, 1.0)
    watcher.poll()
    request = read_request([], config, lake, StreamDefaults(), assumes_symbol=True)
    trusted = Session(request, lambda: watcher.serving, Inline())
    trusted.open()
    assert trusted.turn(1)
