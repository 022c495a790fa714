"""A session of 450 bins, and the states kept of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.run import keyframes
from engine.simulate.session import simulate
from engine.source.records import open_source
from tests.kept_states import CONFIG, EVERY, N_BINS, Played, play
from tests.reference import F_BAD_TS_RECV
from tests.streams import DAY, SYMBOL, write_dbn


@pytest.fixture
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


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.void]:
    """25 s of a simulated market; its first 2,013 records are the snapshot."""
    path = tmp_path_factory.mktemp("raw") / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=25, rate=60.0)
    return np.concatenate(list(open_source([path], CONFIG, DAY).records()))
