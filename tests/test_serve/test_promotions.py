"""Promotions, rollbacks and none under many viewers: no gap, no bin that is not ready, and each score that of the dataset."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engine.champion import FittedState, move_pointer, roll_back
from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.signals.carried import begun_with
from engine.signals.promoted import fitted_of
from serve.champion import choose_signal
from serve.settings import Limits
from tests.sessions import Bins
from tests.test_serve.conftest import Promote
from tests.test_serve.server import Heard, Serve, listen
from tests.test_serve.test_session import N_BINS, dataset, learns_here
from tests.test_serve.test_warming import fresh, says

__all__ = ["dataset"]  # the fixture
N_CLIENTS = 12
SPEED = "8"


@pytest.fixture
def fitted(config: InstrumentConfig, dataset: Bins) -> FittedState:
    signal = fresh("xgb_snap", learns_here("xgb_snap"), config)
    says(signal, dataset)
    state = fitted_of(signal, "yesterday", 1)
    assert state is not None
    return state


@pytest.mark.timeout(300)
def test_six_changes_in_one_session_under_a_dozen_viewers(
    serve: Serve, lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, fitted: FittedState
) -> None:
    learned = promote(lake, learns_here("xgb_snap"), signal="xgb_snap", fitted=fitted)
    plain = promote(lake, {"d2_weight": 0.5})
    move_pointer(lake, None)
    running = serve(limits=Limits(champion_poll_s=0.05))
    moves: list[Any] = [
        lambda: move_pointer(lake, learned.version),
        lambda: move_pointer(lake, plain.version),
        lambda: roll_back(lake),  # to the learned one
        lambda: move_pointer(lake, None),
        lambda: roll_back(lake),
        lambda: move_pointer(lake, plain.version),
    ]
    versions = [learned.version, plain.version, learned.version, None, learned.version, plain.version]
    all_there = threading.Barrier(N_CLIENTS)

    def watch(number: int) -> Heard:
        with running.connect(speed=SPEED, dt="2026-02-06") as connection:
            heard = listen(connection, n_bins=80)  # past the first bins, where nothing is ready
            all_there.wait()
            for move in moves:
                if number == 0:
                    move()
                part = listen(connection, until="runtime_config", after=heard)
                for name in ("texts", "bins", "grids", "order"):
                    getattr(heard, name).extend(getattr(part, name))
            rest = listen(connection, after=heard)
            for name in ("texts", "bins", "grids", "order"):
                getattr(heard, name).extend(getattr(rest, name))
            return heard

    with ThreadPoolExecutor(N_CLIENTS) as pool:
        heard = list(pool.map(watch, range(N_CLIENTS)))

    own = says(_own(config), dataset)["score"]
    by_version = {
        None: own,
        learned.version: says(begun_with(fresh("xgb_snap", learned.parameters, config), fitted.data), dataset)["score"],
        plain.version: says(fresh("perm_derivative", plain.parameters, config), dataset)["score"],
    }
    for one in heard:
        last = one.bins[-1]["bin_seq"]
        assert [header["bin_seq"] for header in one.bins] == list(range(one.bins[0]["bin_seq"], N_BINS))
        assert (last, sum(header["dropped_bins"] for header in one.bins)) == (N_BINS - 1, 0)
        changes = [text for text in one.texts if text.get("reason") == "model_change"]
        assert [text["runtime_model"]["version"] for text in changes] == versions
        bounds = [text["effective_bin_seq"] for text in changes]
        headers = {header["bin_seq"]: header for header in one.bins}
        assert all(headers[bin_seq]["runtime_model_ready"] for bin_seq in bounds)
        stretches = zip([None, *versions], [one.bins[0]["bin_seq"], *bounds], [*bounds, N_BINS], strict=True)
        for version, first, until in stretches:
            got = np.array([headers[bin_seq]["runtime_model_score"] for bin_seq in range(first, until)])
            assert got.tobytes() == by_version[version][first:until].tobytes(), (version, first, until)
    assert running.service.figures.swaps == len(moves)  # one session for all of them


def _own(config: InstrumentConfig) -> Any:
    signal = choose_signal(None, config).build()
    assert signal is not None
    return signal
