"""The WebSocket endpoint on a real socket: frames, errors, goodbyes, slow readers, promotions."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import connect

from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.schema import BIN_FIELD_NAMES, MODEL_FIELD_NAMES
from engine.simulate.session import simulate
from serve.client import fetch_health
from serve.session import Session
from serve.settings import Limits
from tests.sessions import join
from tests.test_serve.conftest import Promote
from tests.test_serve.server import (
    N_BINS,
    QUIET_S,
    ROOMY,
    Running,
    Serve,
    SkippingClock,
    closing,
    finished,
    frames_of,
    listen,
    listen_more,
)

# --- the frames ---


def test_an_unpaced_stream_sends_every_bin_and_the_end(serve: Serve, lake: Lake, config: InstrumentConfig) -> None:
    from engine.run.replay import Replay
    from engine.source.records import open_source
    from serve.request import read_request
    from serve.settings import StreamDefaults

    request = read_request([], config, lake, StreamDefaults())
    expected = join(Replay(open_source([request.dbn], config, request.dt), config))
    running = serve()
    with running.connect(speed="0") as connection:
        heard = listen(connection)
        assert closing(connection) == (1000, "end of the data")
    figures = running.service.figures
    assert (figures.bins_served, figures.streams_opened, figures.streams_refused, figures.swaps) == (N_BINS, 1, 0, 0)
    assert not figures.lags_ms  # nothing was due
    assert heard.order == ["runtime_config", *["grid_update"] * N_BINS, "end"]
    assert heard.of("end") == [{"type": "end", "bins": N_BINS}]
    assert heard.of("runtime_config")[0].keys().isdisjoint({"reason", "effective_bin_seq"})
    for name in (*BIN_FIELD_NAMES, *MODEL_FIELD_NAMES):
        assert [header[name] for header in heard.bins] == expected.fields[name].tolist(), name
    assert all(header["dropped_bins"] == 0 for header in heard.bins)


def test_a_paced_stream_keeps_its_pace_against_the_sessions_start(serve: Serve) -> None:
    clock = SkippingClock()
    running = serve(clock, ROOMY)
    with running.connect(speed="4") as connection:
        heard = listen(connection)
    figures = running.service.figures
    assert (figures.bins_served, len(figures.lags_ms)) == (N_BINS, N_BINS)
    assert [header["bin_seq"] for header in heard.bins] == list(range(N_BINS))
    begun = 1000.0
    dues = {round(when - begun, 9) for when in clock.waits}
    assert {round(i * 0.025, 9) for i in range(1, N_BINS)} <= dues
    assert clock.now() - begun == pytest.approx(N_BINS * 0.025)  # the end, too, is said in its time


def test_a_resumed_stream_is_paced_from_the_bin_it_goes_on_at(serve: Serve) -> None:
    clock = SkippingClock()
    with serve(clock, ROOMY).connect(resume_from="390") as connection:
        heard = listen(connection)
    assert [header["bin_seq"] for header in heard.bins] == list(range(390, N_BINS))
    assert [header["dropped_bins"] for header in heard.bins] == [0] * 10
    assert clock.now() - 1000.0 == pytest.approx(10 * 0.1)


def test_a_resumed_stream_goes_on_where_it_broke_off(serve: Serve) -> None:
    running = serve()
    with running.connect(speed="0") as connection:
        whole = listen(connection)
    with running.connect(speed="0", resume_from="300") as connection:
        rest = listen(connection)
    assert rest.bins == whole.bins[300:]
    assert rest.grids == whole.grids[300:]
    assert rest.of("end") == whole.of("end")


# --- clients that are slow, or gone ---


def slow_connection(running: Running, **query: str) -> Any:
    """A client with small buffers everywhere, so that what it does not read piles up at the server."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", running.port))
    return connect(running.url(**query), sock=raw, compression=None, max_size=None, max_queue=1)


def test_a_slow_reader_misses_whole_bins_and_slows_nobody(serve: Serve) -> None:
    clock = SkippingClock()
    running = serve(clock, Limits(queue_bins=8, champion_poll_s=0.05))
    with slow_connection(running) as slow:
        assert json.loads(slow.recv(timeout=10))["type"] == "runtime_config"
        assert clock.wait_for((N_BINS - 1) * 0.1), "the pace must not wait for a slow reader"
        with running.connect(speed="0") as quick:
            assert len(listen(quick).bins) == N_BINS
        slow_bins = [json.loads(frame) for frame in frames_of(slow) if isinstance(frame, str)]
    end = slow_bins.pop()
    assert end == {"type": "end", "bins": N_BINS}
    skipped = sum(header["dropped_bins"] for header in slow_bins)
    assert skipped > 0
    assert len(slow_bins) + skipped == N_BINS
    seen = -1
    for header in slow_bins:
        assert header["bin_seq"] == seen + 1 + header["dropped_bins"]
        seen = header["bin_seq"]
    assert seen == N_BINS - 1  # the newest bins are the ones that are kept
    assert fetch_health(running.base, None)["bins_dropped"] == skipped


def test_an_unpaced_stream_waits_for_a_slow_reader(serve: Serve) -> None:
    running = serve(limits=Limits(queue_bins=8))
    with slow_connection(running, speed="0") as slow:
        first = listen(slow, n_bins=1)
        (stream,) = running.service.streams
        assert stream.is_streaming
        heard_bins = 1 + len(listen_more(slow, N_BINS - 1))
        assert json.loads(slow.recv(timeout=10)) == {"type": "end", "bins": N_BINS}
    assert heard_bins == N_BINS
    assert first.bins[0]["dropped_bins"] == 0
    assert fetch_health(running.base, None)["bins_dropped"] == 0


def test_a_client_that_leaves_is_forgotten(serve: Serve) -> None:
    running = serve()
    with running.connect() as connection:
        listen(connection, n_bins=2)
        (stream,) = running.service.streams
    running.call(finished(stream))
    assert not running.service.streams
    assert fetch_health(running.base, None)["clients"] == 0


def test_nobody_fast_forwards_for_a_client_that_has_gone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is still opening is told to stop: there are few threads for that."""
    opening, told = threading.Event(), threading.Event()
    closed = Session.close

    def wait_until_told(self: Session, wanted: int = 0) -> None:
        opening.set()
        assert told.wait(QUIET_S), "the session was not closed"

    def tell(self: Session) -> None:
        closed(self)
        told.set()

    running = serve(limits=Limits(start_workers=1, champion_poll_s=0.05))
    with monkeypatch.context() as patch:
        patch.setattr(Session, "open", wait_until_told)
        patch.setattr(Session, "close", tell)
        with running.connect(speed="0"):
            assert opening.wait(QUIET_S)
        assert told.wait(QUIET_S), "the session was not closed"
    with running.connect(speed="0") as connection:
        assert len(listen(connection).bins) == N_BINS


def test_going_away_says_so_to_every_client(serve: Serve) -> None:
    running = serve()
    with running.connect() as one, running.connect(speed="0.01") as two:
        listen(one, n_bins=1)
        listen(two, n_bins=1)
        assert running.call(running.service.go_away()) == 2
        for connection in (one, two):
            frames = [json.loads(frame) for frame in frames_of(connection) if isinstance(frame, str)]
            assert frames[-1]["code"] == "going_away"
            assert closing(connection)[0] == 1001
    with running.connect() as late:
        assert [text["code"] for text in listen(late, n_bins=1).texts] == ["going_away"]
        assert closing(late)[0] == 1001
    assert (running.service.figures.streams_opened, running.service.figures.streams_refused) == (2, 1)
    body = fetch_health(running.base, None)
    assert (body["status"], body["reason"]) == ("error", "the service is going away")


def test_health_answers_while_a_stream_fast_forwards(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    started, let_go = threading.Event(), threading.Event()
    original = Session.open

    def slow_open(self: Session, wanted: int = 0) -> None:
        started.set()
        assert let_go.wait(30)
        original(self, wanted)

    monkeypatch.setattr(Session, "open", slow_open)
    running = serve()
    with running.connect(speed="0") as connection:
        assert started.wait(10)
        body = fetch_health(running.base, None)
        assert (body["status"], body["clients"], body["sessions"]) == ("ok", 1, 1)
        let_go.set()
        assert len(listen(connection).bins) == N_BINS


# --- promotions ---


@pytest.mark.parametrize("speed", ["1", "0.01"])
def test_a_promotion_reaches_open_streams_within_two_seconds(serve: Serve, lake: Lake, promote: Promote, speed: str) -> None:
    running = serve()
    with running.connect(speed=speed) as one, running.connect(speed=speed) as two:
        for connection in (one, two):
            assert listen(connection, n_bins=1).bins[0]["bin_seq"] == 0
        promote(lake)
        begin = time.monotonic()  # the pointer has moved; how long the disk took to take it is not ours
        for connection in (one, two):
            said: dict[str, Any] = {}
            while said.get("type") != "runtime_config":
                frame = connection.recv(timeout=5)
                said = json.loads(frame) if isinstance(frame, str) else {}
            assert time.monotonic() - begin < 2.0
            assert (said["reason"], said["runtime_model"]["version"]) == ("model_change", 1)
    assert running.service.figures.swaps == 1  # of the session, however many watch it


def test_a_promotion_in_mid_stream_loses_no_bin(serve: Serve, lake: Lake, promote: Promote) -> None:
    running = serve(limits=ROOMY)
    with running.connect(speed="10") as connection:
        head = listen(connection, n_bins=60)
        promote(lake)
        rest = [frame for frame in frames_of(connection) if isinstance(frame, str)]
    texts = [json.loads(frame) for frame in rest]
    bins = [text for text in texts if text["type"] == "grid_update"]
    (change,) = [i for i, text in enumerate(texts) if text["type"] == "runtime_config"]
    assert [header["bin_seq"] for header in head.bins + bins] == list(range(N_BINS))
    assert texts[change]["effective_bin_seq"] == texts[change + 1]["bin_seq"]
    assert texts[change + 1]["runtime_model_ready"] is True
    assert not any(header["dropped_bins"] for header in bins)


def test_a_bad_champion_is_an_alarm_in_health_and_the_stream_goes_on(serve: Serve, lake: Lake, promote: Promote) -> None:
    running = serve(SkippingClock())
    alarmed = threading.Event()
    running.service.watcher._raise_alarm = _then(running.service.watcher._raise_alarm, alarmed.set)  # type: ignore[method-assign]
    promote(lake, grid_radius_ticks=20)
    assert alarmed.wait(2.0)
    body = fetch_health(running.base, None)
    assert body["status"] == "ok"  # the old model serves, and well
    assert body["alarms"][0]["kind"] == "champion"
    assert "grid_radius_ticks 20" in body["alarms"][0]["message"]
    with running.connect(speed="0") as connection:
        heard = listen(connection)
    assert len(heard.bins) == N_BINS
    assert heard.of("runtime_config")[0]["runtime_model"]["source"] == "instrument"


def _then(function: Callable[..., Any], after: Callable[[], None]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        result = function(*args)
        after()
        return result

    return both


def test_a_file_that_is_shortened_ends_its_own_stream_and_no_other(
    serve: Serve, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.source.dbn_file.WINDOW_RECORDS", 64)
    (victim,) = lake.raw_dir("MNQ").iterdir()
    simulate(victim.with_name("glbx-mdp3-20260209.mbo.dbn"), seed=3, seconds=10.0, rate=400.0, start="2026-02-09T09:25")
    running = serve()
    with running.connect(dt="2026-02-09", speed="4") as other, running.connect(dt="2026-02-06", speed="1") as connection:
        head = listen(connection, n_bins=1)  # 399 bins, and nine in ten of the records, are still to come
        os.truncate(victim, 5000)
        heard = listen(connection, after=head)  # bins whose records were read before it was cut may come first
        assert heard.order[-1] == "error"
        (error,) = heard.of("error")
        assert (error["code"], connection.protocol.close_code) == ("source_changed", 1011)
        assert error["message"].startswith(f"{victim.name} was changed while it was read")
        assert str(victim.parent) not in error["message"]  # where it lies is nothing for a client
        assert listen(other).of("end") == [{"type": "end", "bins": 100}]
        assert fetch_health(running.base, None)["status"] == "ok"
