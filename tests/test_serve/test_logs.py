"""The service's log: text to read, or JSON with the stream it is about."""

import json
import logging
import sys

import pytest

from serve.logs import STREAM, formatter, tell
from tests.test_serve.server import Serve, listen


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("serve.stream", logging.WARNING, __file__, 1, message, arguments, None)
    made.created = 1770388800.25  # 2026-02-06T14:40:00.250 UTC
    if fields:
        made.fields = fields
    return made


def test_json_is_an_object_a_line_with_what_was_given() -> None:
    line = formatter("json").format(record("a %s\n%d", "bin", 3, bin_seq=7))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-02-06T14:40:00.250+00:00",
        "level": "WARNING",
        "logger": "serve.stream",
        "message": "a bin\n3",
        "bin_seq": 7,
    }


def test_both_name_the_stream_that_is_running() -> None:
    token = STREAM.set("r1-17")
    try:
        assert json.loads(formatter("json").format(record("lost")))["stream"] == "r1-17"
        assert formatter("text").format(record("lost")).endswith("WARNING serve.stream [r1-17]: lost")
    finally:
        STREAM.reset(token)
    assert "stream" not in json.loads(formatter("json").format(record("lost")))
    assert formatter("text").format(record("lost")).endswith("WARNING serve.stream: lost")


def test_an_exception_is_one_field() -> None:
    made = record("failed")
    try:
        raise ValueError("nothing there")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = json.loads(formatter("json").format(made))
    assert line["exception"].splitlines()[-1] == "ValueError: nothing there"


def test_an_event_has_its_particulars_in_either_form(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "serve.hub")
    tell(logging.getLogger("serve.hub"), "session begins", session=3, start_time=None)
    (made,) = caplog.records
    assert made.getMessage() == "session begins session=3 start_time=None"
    line = json.loads(formatter("json").format(made))
    assert {name: line[name] for name in ("event", "session", "start_time")} == {
        "event": "session begins",
        "session": 3,
        "start_time": None,
    }


def test_a_stream_and_its_session_are_told_from_begin_to_end(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "serve")
    caplog.handler.setFormatter(formatter("json"))
    running = serve()
    with running.connect(token_of="nobody"):
        pass  # refused, so no stream
    with running.connect(speed="0", start_time="09:25:30") as connection:
        listen(connection)
    running.call(running.service.go_away())
    lines = [json.loads(line) for line in caplog.text.splitlines() if line.startswith("{")]
    told = [line for line in lines if line.get("event", "").startswith("stream")]
    assert [(line["event"], line["stream"]) for line in told] == [("stream begins", "1"), ("stream ends", "1")]
    assert (told[0]["dt"], told[0]["start_time"], told[0]["speed"]) == ("2026-02-06", "09:25:30", 0)
    assert (told[1]["last_bin"], told[1]["dropped_bins"], told[1]["session"]) == (99, 0, 1)
    assert not any("token" in line for line in caplog.text.splitlines())
