"""The service's log: text to read, or JSON with the stream it is about."""

import json
import logging
import sys

from serve.logs import STREAM, formatter


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
