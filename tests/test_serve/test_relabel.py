"""Relabelling from microstates against the labels the engine writes."""

import pytest

from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.run.replay import Replay
from engine.source.records import open_source
from serve.relabel import state5_codes
from serve.request import read_request
from serve.settings import StreamDefaults
from tests.sessions import join


@pytest.mark.parametrize("table", ["reference", "by_side"])
def test_relabelled_codes_are_the_engines(lake: Lake, config: InstrumentConfig, table: str) -> None:
    request = read_request([], config, lake, StreamDefaults())
    changed = config.model_copy(update={"state5_table": table})
    bins = join(Replay(open_source([request.dbn], changed, request.dt), changed))
    codes = state5_codes(bins.grid["perm_microstate_id"], table)
    assert codes.tobytes() == bins.grid["perm_state5_code"].tobytes()
    assert len(set(codes.ravel().tolist())) == 5  # the session shows every code
