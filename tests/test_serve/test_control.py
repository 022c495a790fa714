"""Control frames as clients write them, well and badly."""

import json
from typing import Any

import pytest

from serve.control import Control, ControlError, read_control
from serve.moment import Moment


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        ({"type": "pause"}, Control("pause")),
        ({"type": "resume"}, Control("resume")),
        ({"type": "step"}, Control("step", bins=1)),
        ({"type": "step", "bins": 4096}, Control("step", bins=4096)),
        ({"type": "speed", "value": 0}, Control("speed", speed=0.0)),
        ({"type": "speed", "value": 10_000}, Control("speed", speed=10_000.0)),
        ({"type": "seek", "bin_seq": 0}, Control("seek", to=Moment("bin_seq 0", bin_seq=0))),
        ({"type": "seek", "bin_seq": "17"}, Control("seek", to=Moment("bin_seq '17'", bin_seq=17))),
        ({"type": "seek", "start_time": "09:40"}, Control("seek", to=Moment("start_time '09:40'", clock="09:40"))),
        (
            {"type": "seek", "ts_ns": "1770387900000000000", "backfill": 9},
            Control("seek", to=Moment("ts_ns '1770387900000000000'", ts_ns=1_770_387_900_000_000_000), backfill=9),
        ),
    ],
)
def test_each_control_is_read(frame: dict[str, Any], control: Control) -> None:
    assert read_control(json.dumps(frame)) == control


@pytest.mark.parametrize(
    ("text", "code", "of", "words"),
    [
        (None, "bad_control", None, 'JSON text with a "type"'),
        ("{", "bad_control", None, 'JSON text with a "type"'),
        ("[]", "bad_control", None, 'JSON text with a "type"'),
        ("[" * 4000, "bad_control", None, 'JSON text with a "type"'),
        ('{"type":5}', "bad_control", None, 'JSON text with a "type"'),
        (" " * 4097, "bad_control", None, "at most 4096 characters; this one has 4097"),
        ('{"type":"dance"}', "unsupported", "dance", "there: pause, resume, step, speed, seek"),
        ('{"type":"pause","now":1}', "bad_control", "pause", "takes nothing else"),
        ('{"type":"step","bins":0}', "bad_control", "step", "bins was 0; it must be a whole number from 1 to 4096"),
        ('{"type":"step","bins":4097}', "bad_control", "step", "from 1 to 4096"),
        ('{"type":"step","bins":true}', "bad_control", "step", "bins was True"),
        ('{"type":"step","bins":1.5}', "bad_control", "step", "bins was 1.5"),
        ('{"type":"speed"}', "bad_control", "speed", "value was None"),
        ('{"type":"speed","value":-1}', "bad_control", "speed", "from 0"),
        ('{"type":"speed","value":10000.5}', "bad_control", "speed", "to 10000"),
        ('{"type":"speed","value":NaN}', "bad_control", "speed", "value was nan"),
        ('{"type":"speed","value":true}', "bad_control", "speed", "value was True"),
        ('{"type":"seek"}', "bad_control", "seek", "no place; give one of start_time, bin_seq, ts_ns"),
        ('{"type":"seek","bin_seq":1,"ts_ns":1}', "bad_control", "seek", "bin_seq and ts_ns"),
        ('{"type":"seek","bin_seq":-1}', "bad_control", "seek", "bin_seq was -1"),
        ('{"type":"seek","start_time":"25:00"}', "bad_control", "seek", "HH:MM"),
        ('{"type":"seek","start_time":940}', "bad_control", "seek", "HH:MM"),
        ('{"type":"seek","bin_seq":1,"backfill":4097}', "bad_control", "seek", "backfill was 4097"),
    ],
)
def test_what_is_no_control_is_refused_in_words(text: str | None, code: str, of: str | None, words: str) -> None:
    with pytest.raises(ControlError) as caught:
        read_control(text)
    assert (caught.value.code, caught.value.of) == (code, of)
    assert words in str(caught.value)
