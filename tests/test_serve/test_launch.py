"""What was chosen at launch, on a real socket: what scores, what a query may still change, how long a bin takes."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.champion import move_pointer
from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.client import fetch_health
from serve.frames import BinFrames
from serve.latency import Capture, LatencyLog
from serve.settings import Limits, ServeSettings, StreamDefaults
from tests.test_serve.conftest import Promote
from tests.test_serve.server import Running, listen, serving
from tests.test_serve.test_stream import closing

Serve = Callable[..., Running]


@pytest.fixture
def serve(lake: Lake, config: InstrumentConfig) -> Iterator[Serve]:
    """Start a server over the test's lake; ended with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            serving(ServeSettings(lake=lake, limits=Limits(champion_poll_s=0.05), **settings), config)
        )


def test_a_stream_chooses_what_scores_and_only_the_champion_follows_the_pointer(
    serve: Serve, lake: Lake, promote: Promote
) -> None:
    promote(lake, {"d2_weight": 0.5})
    promote(lake, {"d2_weight": 0.25})
    running = serve(defaults=StreamDefaults(model="instrument"))

    def scored_by(**query: str) -> tuple[str, int | None, float]:
        with running.connect(speed="0", **query) as connection:  # a replay of its own, begun now
            model = json.loads(connection.recv(timeout=30))["runtime_model"]
        return model["source"], model["version"], model["parameters"]["d2_weight"]

    assert scored_by() == ("instrument", None, 0.0)
    assert scored_by(perm_d2_weight="2") == ("instrument", None, 2.0)
    assert scored_by(model="champion") == ("champion", 2, 0.25)
    assert scored_by(model="1") == ("champion", 1, 0.5)
    health = fetch_health(running.base, None)
    assert (health["model"]["source"], health["champion"]["version"]) == ("instrument", 2)
    with running.connect(model="3") as connection:
        refused = json.loads(connection.recv(timeout=30))
        assert refused["type"] == "error"
        assert "champion version was 3" in refused["message"]
        assert closing(connection)[0] == 1008
    move_pointer(lake, None)
    running.service.watcher.poll()
    assert scored_by(model="champion") == ("instrument", None, 0.0)
    assert scored_by(model="1") == ("champion", 1, 0.5)


@pytest.mark.parametrize("value", ["[" * 2000, "true", "1__", "!!str 1", "&a [*a]"])
def test_a_hostile_value_gets_one_refusal_and_the_next_client_a_stream(serve: Serve, value: str) -> None:
    running = serve()
    with running.connect(perm_d1_weight=value) as connection:
        refused = json.loads(connection.recv(timeout=30))
        assert (refused["type"], refused["code"]) == ("error", "bad_request")
        assert refused["message"].startswith("perm_d1_weight was '")
        assert closing(connection)[0] == 1008


def test_each_bin_sent_is_a_line_with_its_moments_in_order(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(tmp_path / "latency.jsonl", start="09:25:10", end="09:25:20", summary_every=50)
    caplog.set_level("INFO", "serve.latency")
    with serve(latency=capture).connect(speed="0") as connection:
        listen(connection)
    lines = [json.loads(line) for line in capture.path.read_text().splitlines()]
    assert [line["bin_seq"] for line in lines] == list(range(99, 199))  # the bins that end from 09:25:10.0 to 09:25:19.9
    assert {line["stream"] for line in lines} == {1}
    for line in lines:
        first, last, ready, sent = (line[name] for name in ("first_ingest_ns", "last_ingest_ns", "grid_ready_ns", "sent_ns"))
        assert 0 < first == last <= ready <= sent  # a file's records are taken up at once
        spans = {"first_ingest_to_ready": ready - first, "last_ingest_to_ready": ready - last, "ready_to_sent": sent - ready}
        spans |= {"first_ingest_to_sent": sent - first, "last_ingest_to_sent": sent - last}
        assert {name: line[f"{name}_us"] for name in spans} == pytest.approx({name: ns / 1000 for name, ns in spans.items()})
    summaries = [record.getMessage() for record in caplog.records if record.name == "serve.latency"]
    assert [text.split(":")[0] for text in summaries] == ["latency of 50 bins, us"] * 2


def test_a_live_bins_first_and_last_records_are_told_apart_and_summed_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three bins whose last record came 60 us after the first, were ready 10, 20 and 30 us later and sent 1 us after that."""
    log = LatencyLog(Capture(tmp_path / "latency.jsonl", summary_every=3))
    caplog.set_level("INFO", "serve.latency")
    for bin_seq, ready_us in enumerate((10, 20, 30)):
        ready_ns = 1_000_060_000 + ready_us * 1000
        frames = BinFrames(bin_seq, "", b"", ingest_ns=1_000_000_000, last_ingest_ns=1_000_060_000, grid_ready_ns=ready_ns)
        log.sent(1, frames, ready_ns + 1000)
    log.close()
    line = json.loads(capture_line(tmp_path / "latency.jsonl"))
    assert (line["first_ingest_ns"], line["last_ingest_ns"]) == (1_000_000_000, 1_000_060_000)
    assert (line["first_ingest_to_ready_us"], line["last_ingest_to_ready_us"], line["ready_to_sent_us"]) == (70.0, 10.0, 1.0)
    assert (line["first_ingest_to_sent_us"], line["last_ingest_to_sent_us"]) == (71.0, 11.0)
    (told,) = [record.getMessage() for record in caplog.records if record.name == "serve.latency"]
    assert told == (
        "latency of 3 bins, us: first ingest to ready p50 80 p95 89 p99 90; last ingest to ready p50 20 p95 29 p99 30; "
        "ready to sent p50 1 p95 1 p99 1; first ingest to sent p50 81 p95 90 p99 91; last ingest to sent p50 21 p95 30 p99 31"
    )


def capture_line(path: Path) -> str:
    """The first line of what was measured."""
    return path.read_text().splitlines()[0]
