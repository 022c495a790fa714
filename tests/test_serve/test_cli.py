"""The door: what it refuses in one line before anything starts, and the terminal clients."""

import io
import json
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

from engine.config import InstrumentConfig, load_instrument
from engine.lake import Lake
from serve import commands
from serve.cli import main
from serve.client import health_lines, stream_url
from serve.launch import Launch
from serve.query import QUERY_NAMES
from serve.request import read_request
from serve.settings import Limits, ServeSettings, StreamDefaults
from serve.tail import _bin_line, _config_line, tail
from serve.trust import Trust
from tests.test_serve.conftest import Promote
from tests.test_serve.server import SkippingClock, serving


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is refused here is refused before Ray is so much as imported."""
    monkeypatch.setitem(sys.modules, "ray", None)


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
        (["--source", "tape"], ["tape", "live", "replay"]),
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
        (["status", "--port", "80a"], ["--port", "'80a'"]),
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


# --- what the flags become ---

FLAGS = ["--dt", "2026-02-06", "--start-time", "09:25:10", "--port", "8765", "--replicas", "3"]
OF_THE_SIGNAL = ["--perm-d2-weight", "0.5", "--perm-zscore-window-bins", "90", "--perm-enable-weighted-blend", "true"]


def started_with(monkeypatch: pytest.MonkeyPatch, lake: Lake, *arguments: str) -> tuple[ServeSettings, InstrumentConfig]:
    """What a launch hands to Ray Serve, which is where it leaves this process."""
    handed: list[tuple[ServeSettings, InstrumentConfig]] = []
    monkeypatch.setattr(commands, "_check_port", lambda host, port: None)  # whether one is free is another test's

    def take(launch: Launch, *_: object) -> int:
        handed.append((launch.settings, launch.config))
        return 0

    monkeypatch.setattr(commands, "_serve", take)
    assert main([*arguments, "--lake", str(lake.root)]) == 0
    return handed[0]


def test_a_launch_without_flags_is_the_instruments_own(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, config = started_with(monkeypatch, lake)
    assert config == load_instrument()
    assert (settings.host, settings.port, settings.replicas, settings.token) == ("127.0.0.1", 8002, 1, None)
    assert settings.defaults == StreamDefaults(dt=None, start_time=None)
    assert (settings.allowed_origins, settings.trust, settings.limits) == ((), Trust(), Limits())
    assert settings.lake.root == lake.root


def test_each_flag_reaches_what_it_is_of(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_TOKEN", "correct-horse-battery")
    more = ["--host", "0.0.0.0", "--allow-origin", "https://a.example", "--allow-origin", "https://b.example"]
    more += ["--allow-host", "Desk.example:8443", "--allow-host", "[::2]"]
    more += ["--allow-signal", "a" * 64, "--allow-signal", "b" * 64]
    settings, config = started_with(monkeypatch, lake, *FLAGS, *OF_THE_SIGNAL, *more)
    assert (settings.host, settings.port, settings.replicas) == ("0.0.0.0", 8765, 3)
    assert settings.token == "correct-horse-battery"
    at_launch = ("perm_zscore_window_bins", "perm_d2_weight", "perm_enable_weighted_blend")
    assert settings.defaults == StreamDefaults(dt="2026-02-06", start_time="09:25:10", perm_names=at_launch)
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.allowed_hosts == ("desk.example", "::2")
    assert settings.trust == Trust(False, ("a" * 64, "b" * 64))
    before, after = load_instrument().model_dump(), config.model_dump()
    assert {name: after[name] for name in before if before[name] != after[name]} == {
        "perm_d2_weight": 0.5,
        "perm_zscore_window_bins": 90,
        "perm_enable_weighted_blend": True,
    }


def test_a_flag_goes_before_the_launchs_default_and_the_query_before_the_flag(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = started_with(monkeypatch, lake)
    flagged = started_with(monkeypatch, lake, *FLAGS, *OF_THE_SIGNAL)

    def asked(launch: tuple[ServeSettings, InstrumentConfig], **query: str) -> tuple[object, ...]:
        settings, config = launch
        request = read_request(list(query.items()), config, settings.lake, settings.defaults)
        return request.start_time, request.config.perm_d2_weight, request.config.perm_zscore_window_bins

    (path,) = lake.raw_dir("MNQ").iterdir()
    shutil.copy(path, path.with_name(path.name.replace("20260206", "20260205")))
    shutil.copy(path, path.with_name(path.name.replace("20260206", "20260207")))
    assert asked(plain) == (None, 0.0, 240)
    assert asked(flagged) == ("09:25:10", 0.5, 90)
    assert asked(flagged, start_time="09:25:20") == ("09:25:20", 0.5, 90)
    assert asked(flagged, perm_d2_weight="0.25") == ("09:25:10", 0.25, 90)
    assert asked(plain, perm_d2_weight="0.25", start_time="09:25:20") == ("09:25:20", 0.25, 240)

    def day(launch: tuple[ServeSettings, InstrumentConfig], *query: tuple[str, str]) -> str:
        settings, config = launch
        return read_request(query, config, settings.lake, settings.defaults).dt.isoformat()

    assert (day(plain), day(flagged), day(flagged, ("dt", "2026-02-05"))) == ("2026-02-07", "2026-02-06", "2026-02-05")


@pytest.mark.parametrize(("flag", "value"), [("--port", "1"), ("--port", "65535"), ("--replicas", "1"), ("--replicas", "64")])
def test_numbers_on_their_bounds_are_taken(lake: Lake, monkeypatch: pytest.MonkeyPatch, flag: str, value: str) -> None:
    settings, _ = started_with(monkeypatch, lake, flag, value)
    assert getattr(settings, flag.removeprefix("--")) == int(value)


@pytest.mark.parametrize(
    ("flag", "value"), [("--port", "0"), ("--port", "65536"), ("--replicas", "0"), ("--replicas", "65"), ("--replicas", "-1")]
)
def test_numbers_beyond_them_are_refused(lake: Lake, capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    assert f"{flag} was {value}; it must be 1 to" in refusal(capsys, flag, value, "--lake", str(lake.root))


def test_what_a_launch_opens_is_what_a_stream_without_wishes_would_get(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = lake.raw_dir("MNQ").iterdir()
    path.with_name(path.name.replace("20260206", "20260207")).write_bytes(b"PAR1 and no DBN")
    assert "20260207" in refusal(capsys, "--lake", str(lake.root))  # the last day is damaged
    assert "20260205" in refusal(capsys, "--lake", str(lake.root), "--dt", "2026-02-05")


# --- what the clients ask ---


def first_line(arguments: list[str]) -> str:
    """The first line of the request that a client command sends, to a port that then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said: list[str] = []

        def hear() -> None:
            connection, _ = listener.accept()
            with connection:
                said.append(connection.makefile("r").readline().strip())

        hearer = threading.Thread(target=hear, daemon=True)  # where no request comes the test fails, and nothing waits for it
        hearer.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert main([argument.replace("URL", url).replace("PORT", url.rpartition(":")[2]) for argument in arguments]) == 1
        hearer.join()
    return said[0]


@pytest.mark.parametrize("name", [name for name in QUERY_NAMES if name != "token"])
def test_tail_passes_each_query_value_under_its_name(name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    assert first_line(["tail", "--url", "URL", flag, "7"]) == f"GET /v1/vacuum-pressure/stream?{name}=7 HTTP/1.1"
    assert first_line(["tail", "--port", "PORT"]) == "GET /v1/vacuum-pressure/stream HTTP/1.1"


def test_status_asks_the_address_it_is_given_and_not_two() -> None:
    assert first_line(["status", "--port", "PORT"]) == "GET /health HTTP/1.1"
    assert first_line(["status", "--url", "URL/"]) == "GET /health HTTP/1.1"
    assert main(["status", "--url", "http://127.0.0.1:1", "--port", "1"]) == 2


HEALTH = {
    "status": "error",
    "reason": "the champion is not being watched",
    "instrument": "future_mbo:MNQH6",
    "config_version": "0123456789ab",
    "sessions": 1,
    "clients": 2,
    "lag_ms": None,
    "lag_p99_ms": 4.5,
    "bins_served": 5,
    "bins_dropped": 0,
    "champion": {"version": 3, "signal": "ads", "run_id": "r1"},
    "alarms": [{"message": "it broke", "since": "today"}, {"message": "and that", "since": "now"}],
}


def test_health_in_a_terminal_line_by_line() -> None:
    assert health_lines(HEALTH) == [
        "status          error: the champion is not being watched",
        "instrument      future_mbo:MNQH6",
        "config_version  0123456789ab",
        "sessions        1",
        "clients         2",
        "lag_ms          -",
        "lag_p99_ms      4.5",
        "bins_served     5",
        "bins_dropped    0",
        "champion        v3 ads run r1",
        "alarm           it broke (since today)",
        "alarm           and that (since now)",
    ]
    assert health_lines({"status": "ok", "service": "vacuum-pressure"}) == [
        "status          ok",
        "champion        none promoted yet",
    ]


def test_a_bin_and_a_change_of_signal_in_a_terminal() -> None:
    model = {"name": "ads", "enabled": True, "version": 4}
    config = {"price_decimals": 2, "session_tz": "America/New_York", "runtime_model": model}
    header = {
        "bin_seq": 12,
        "bin_end_ns": 1_770_388_000_100_000_000,  # 2026-02-06 14:26:40.1 UTC
        "best_bid_price_int": 21_599_750_000_000,
        "best_ask_price_int": 21_600_250_000_000,
        "spot_ref_price_int": 21_600_000_000_000,
        "bin_event_count": 34,
        "runtime_model_score": -0.123456,
        "runtime_model_ready": True,
        "dropped_bins": 0,
    }
    line = "     12  09:26:40.100  21599.75 x 21600.25  spot 21600.00  n    34  score -0.1235  ready  champion v4"
    assert _bin_line(header, config) == line
    assert _bin_line(header | {"dropped_bins": 3}, config) == f"{line}  skipped 3"
    own = config | {"runtime_model": model | {"version": None}}
    warming = _bin_line(header | {"runtime_model_ready": False}, own)
    assert warming == line.replace("ready  champion v4", "warming  -")
    said = own | {"symbol": "MNQH6", "cell_width_ms": 100, "grid_rows": 101, "config_version": "0123"}
    assert _config_line(said) == "-- MNQH6 100 ms, 101 rows, config 0123, signal ads (instrument)"
    change = said | {"reason": "model_change", "effective_bin_seq": 9, "runtime_model": model}
    assert _config_line(change) == "-- signal change from bin 9: ads (champion v4)"
    assert _config_line(said | {"runtime_model": model | {"enabled": False}}).endswith("signal none")
