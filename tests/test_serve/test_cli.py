"""The door: what it refuses in one line before anything starts, and the terminal clients."""

import io
import json
import socket
import sys
from pathlib import Path

import pytest

from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.cli import main
from serve.client import stream_url, tail
from serve.settings import Limits, ServeSettings
from tests.test_serve.conftest import Promote
from tests.test_serve.server import SkippingClock, serving


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is refused here is refused before Ray is so much as imported."""
    monkeypatch.setitem(sys.modules, "serve.deployment", None)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line a command was refused with."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("python -m serve: ")
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbol", "ESH4"], ["ESH4", "MNQH6"]),
        (["--product-type", "equity"], ["equity", "future_mbo"]),
        (["--dt", "2026-02-07"], ["2026-02-07", "20260206", "needed"]),
        (["--dt", "tomorrow"], ["tomorrow", "YYYY-MM-DD"]),
        (["--start-time", "25:00"], ["25:00", "HH:MM"]),
        (["--port", "0"], ["--port was 0", "65535"]),
        (["--port", "x"], ["--port", "'x'"]),
        (["--replicas", "0"], ["--replicas was 0"]),
        (["--host", "0.0.0.0"], ["0.0.0.0", "SPYMASTER_TOKEN"]),
        (["--source", "live"], ["live", "replay"]),
        (["--perm-d1-weight", "-1"], ["perm_d1_weight was -1"]),
        (["--perm-zscore-window-bins", "many"], ["perm_zscore_window_bins", "many"]),
        (["--perm-zscore-min-periods", "999"], ["perm_zscore_min_periods was 999", "240"]),
        (["--perm-d1-weight", "true"], ["perm_d1_weight was 'true'", "number in digits"]),
        (["--model", "none"], ["--model was 'none'", "instrument, champion"]),
        (["--model", "1"], ["champion version was 1", "holds none"]),
        (["--model", "1", "--perm-d1-weight", "2"], ["perm_d1_weight was given beside model 1"]),
        (["--log-level", "LOUD"], ["--log-level", "LOUD", "WARNING"]),
        (["--projection-horizons-bins", "1,1"], ["projection_horizons_bins", "once"]),
        (["--projection-horizons-bins", "1,x"], ["projection_horizons_bins was 'x'"]),
        (["--projection-cubic-scale", "0.5"], ["without --projection-use-cubic", "give both"]),
        (["--projection-use-cubic", "--projection-cubic-scale", "-1"], ["--projection-cubic-scale was -1", "0 to 1e+06"]),
        (["--projection-damping-lambda", "nan"], ["--projection-damping-lambda was 'nan'"]),
        (["--perf-window-start-et", "09:25"], ["--perf-window-start-et was 09:25", "--perf-latency-jsonl FILE"]),
        (["--perf-summary-every-bins", "5"], ["--perf-summary-every-bins was 5", "--perf-latency-jsonl FILE"]),
        (["--perf-latency-jsonl", "/nowhere/x.jsonl"], ["/nowhere/x.jsonl cannot be written"]),
        (["--perf-latency-jsonl", "/dev/null", "--perf-summary-every-bins", "0"], ["--perf-summary-every-bins was 0"]),
        (["--perf-latency-jsonl", "/dev/null", "--perf-window-start-et", "9"], ["--perf-window-start-et was '9'", "HH:MM"]),
        (
            ["--perf-latency-jsonl", "/dev/null", "--perf-window-start-et", "09:25", "--perf-window-end-et", "09:25"],
            ["--perf-window-end-et was 09:25", "after"],
        ),
        (["tail", "--url", "http://127.0.0.1:1", "--port", "2"], ["--port was 2 beside --url"]),
        (["--colour", "red"], ["--colour", "--help"]),
        (["statsu"], ["statsu"]),
        (["tail", "--bins", "0"], ["--bins was 0"]),
        (["tail", "--url", "ftp://x"], ["ftp://x"]),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_starts(
    lake: Lake, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    command = arguments if arguments[0] in ("tail", "status") else [*arguments, "--lake", str(lake.root)]
    said = refusal(capsys, *command)
    assert [word for word in words if word not in said] == [], said


def test_an_empty_lake_says_where_data_belongs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "engine simulate" in refusal(capsys, "--lake", str(tmp_path))


def test_a_file_of_another_kind_is_refused(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = lake.raw_dir("MNQ").iterdir()
    path.write_bytes(b"PAR1 and no DBN")
    assert "is not a DBN file" in refusal(capsys, "--lake", str(lake.root))


def test_a_port_in_use_is_refused(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal(capsys, "--lake", str(lake.root), "--port", port)
    assert f"--port {port}" in said
    assert "in use" in said


def test_help_names_every_perm_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    fields = [name for name in InstrumentConfig.model_fields if name.startswith("perm_")]
    assert [name for name in fields if f"--{name.replace('_', '-')}" not in text] == []
    assert "Ctrl-C" in text


def test_a_service_that_does_not_answer_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    for command in (["status"], ["tail"]):
        assert main([*command, "--port", port]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "is python -m serve running?" in error


def test_status_prints_health_and_its_exit_code(
    lake: Lake, config: InstrumentConfig, promote: Promote, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(lake)
    with serving(ServeSettings(lake=lake), config) as running:
        assert main(["status", "--url", running.base]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["status", "ok"]
        assert any(line.split()[:3] == ["champion", "v1", "perm_derivative"] for line in lines)
        assert main(["status", "--port", str(running.port), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["champion"]["version"] == 1
        for path in lake.raw_dir("MNQ").iterdir():
            path.unlink()
        assert main(["status", "--url", running.base]) == 1
        assert capsys.readouterr().out.startswith("status          error: ")


def test_tail_prints_a_line_per_bin(
    lake: Lake, config: InstrumentConfig, promote: Promote, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(lake)
    limits = Limits(queue_bins=400)
    with serving(ServeSettings(lake=lake, limits=limits), config, SkippingClock()) as running:
        assert main(["tail", "--url", running.base, "--start-time", "09:25:10"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("-- MNQH6 100 ms, 101 rows, config ")
        assert lines[0].endswith("signal perm_derivative (champion v1)")
        assert lines[-1] == "end of the data: 300 bins, 0 skipped by the server"
        first = lines[1].split()
        assert first[:2] == ["0", "09:25:10.100"]
        assert first[3] == "x"
        assert float(first[2]) < float(first[4])
        assert first[-3:] == ["warming", "champion", "v1"]
        assert lines[-2].split()[0] == "299"
        assert lines[-2].split()[-3] == "ready"

        out = io.StringIO()
        assert tail(stream_url(running.base, [("speed", "0")]), 7, None, out) == 7
        assert len(out.getvalue().splitlines()) == 8

        assert main(["tail", "--url", running.base, "--symbol", "ESH4"]) == 1
        assert "locked to future_mbo:MNQH6" in capsys.readouterr().err


def test_stream_urls() -> None:
    path = "/v1/vacuum-pressure/stream"
    assert stream_url("http://127.0.0.1:8002", []) == f"ws://127.0.0.1:8002{path}"
    assert stream_url("https://desk.example/", [("speed", "2")]) == f"wss://desk.example{path}?speed=2"
    assert stream_url(f"ws://h:1{path}?dt=2026-02-06", [("speed", "2")]) == f"ws://h:1{path}?dt=2026-02-06&speed=2"
