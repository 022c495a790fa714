"""The whole service on real Ray Serve, as a user starts and ends it."""

import contextlib
import json
import os
import signal
import time

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from engine.config import load_instrument
from engine.lake import Lake
from engine.run.replay import Replay
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal
from engine.source.records import open_source
from serve.cli import main
from serve.client import fetch_health
from serve.page import start_page
from serve.request import read_request
from serve.settings import PAGE_DIR, StreamDefaults
from tests.sessions import join
from tests.test_serve.conftest import Promote
from tests.test_serve.server import listen
from tests.test_serve.started import END_S, LOOPBACK, Started, listening, marked_processes, wait_for_end


def require_end_by_ctrl_c(started: Started) -> None:
    """Ctrl-C, as a terminal sends it: to the whole group. Clients are told, and nothing is left."""
    processes = marked_processes(started.mark)
    assert len(processes) > 5
    with started.connect() as connection:
        listen(connection, n_bins=2)
        os.killpg(started.process.pid, signal.SIGINT)
        said = []
        with contextlib.suppress(ConnectionClosed):
            said = [json.loads(frame) for frame in connection if isinstance(frame, str)]
        assert said[-1]["code"] == "going_away"
        assert connection.protocol.close_code == 1001
    assert started.process.wait(END_S) == 0, "\n".join(started.lines)
    assert wait_for_end(processes, END_S) == []
    assert marked_processes(started.mark) == []
    assert started.lines[-1] == "ended"
    assert not any("Traceback" in line for line in started.lines), "\n".join(started.lines)


@pytest.mark.timeout(300)
def test_the_service_from_start_to_ctrl_c(
    started: Started, lake: Lake, promote: Promote, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any(line.startswith("Ray dashboard  http://127.0.0.1:") for line in started.lines), started.lines
    assert fetch_health(started.base, None)["status"] == "ok"
    assert any("not built: make page" in line for line in started.lines) == (start_page(PAGE_DIR) is None)

    # Nothing of ours can be reached from another machine.
    open_ports = listening(marked_processes(started.mark))
    assert ("127.0.0.1", started.port) in open_ports
    assert [address for address in open_ports if address[0] not in LOOPBACK] == []

    # A second one is refused before it starts anything.
    assert main(["--lake", str(lake.root), "--port", str(started.port)]) == 2
    assert f"--port {started.port}" in capsys.readouterr().err

    # A promotion reaches a running stream within two seconds, without a hole.
    with started.connect(speed="10") as connection:
        head = listen(connection, n_bins=60)
        champion = promote(lake, {"d2_weight": 0.5})
        begin = time.monotonic()  # the pointer has moved
        texts = []
        swapped_after = None
        for frame in connection:
            if isinstance(frame, str):
                texts.append(json.loads(frame))
                if texts[-1]["type"] == "runtime_config":
                    swapped_after = time.monotonic() - begin
    assert swapped_after is not None
    assert swapped_after < 2.0
    change = next(i for i, text in enumerate(texts) if text["type"] == "runtime_config")
    assert texts[change]["reason"] == "model_change"
    assert texts[change + 1]["bin_seq"] == texts[change]["effective_bin_seq"]
    assert texts[change + 1]["runtime_model_ready"] is True
    assert [bin_["bin_seq"] for bin_ in head.bins + texts if bin_["type"] == "grid_update"] == list(range(400))

    # A stream that starts now carries the champion's scores, bit for bit those of a sweep.
    config = load_instrument()
    request = read_request([], config, lake, StreamDefaults())
    dataset = join(Replay(open_source([request.dbn], config, request.dt), config))
    model = make_signal(
        champion.signal, champion.parameters, SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    )
    expected = model.run({name: dataset.grid[name] for name in model.required_columns})
    with started.connect(speed="0") as connection:
        heard = listen(connection)
    scores = np.array([header["runtime_model_score"] for header in heard.bins])
    assert scores.tobytes() == expected["score"].tobytes()
    assert [header["mid_price"] for header in heard.bins] == dataset.fields["mid_price"].tolist()

    # The server sees a client's farewell a moment after the client has sent it.
    deadline = time.monotonic() + 10.0
    while (body := fetch_health(started.base, None))["clients"] and time.monotonic() < deadline:
        pass
    assert (body["champion"]["version"], body["swaps"], body["clients"]) == (1, 1, 0)
    assert body["lag_ms"] is not None

    require_end_by_ctrl_c(started)
    assert any("INFO serve.champion: serving champion version 1" in line for line in started.lines), "\n".join(started.lines)
