"""Places in a session, written in three ways."""

import pytest

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from engine.lake import Lake
from engine.run.extent import Extent
from engine.source.records import open_source
from serve.moment import Moment, bin_of, read_moment
from tests.test_serve.test_session import request_of

START_NS = 1_770_387_900_000_000_000  # 2026-02-06T14:25:00Z, 09:25 in New York
EXTENT = Extent(START_NS, START_NS + 40_000_000_000, 400, 100_000_000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", Moment("0", bin_seq=0)),
        ("8000", Moment("8000", bin_seq=8000)),
        ("2026-02-06T14:25:10Z", Moment("2026-02-06T14:25:10Z", ts_ns=START_NS + 10_000_000_000)),
        ("2026-02-06T09:25:10-05:00", Moment("2026-02-06T09:25:10-05:00", ts_ns=START_NS + 10_000_000_000)),
        ("2026-02-06T09:25:10.25", Moment("2026-02-06T09:25:10.25", ts_ns=START_NS + 10_250_000_000)),
        ("09:25:10", Moment("09:25:10", clock="09:25:10")),
    ],
)
def test_a_place_is_a_bin_an_iso_time_or_a_clock_time(text: str, moment: Moment) -> None:
    assert read_moment(text, "at") == moment


@pytest.mark.parametrize("text", ["", "-1", "1.5", "soon", "9:25", "25:00", "1234567890123456", "²"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="at was .*give a bin_seq, an ISO time"):
        read_moment(text, "at")


def test_a_place_has_its_bin_and_none_outside_the_session(lake: Lake, config: InstrumentConfig) -> None:
    request = request_of(lake, config)
    source = open_source([request.dbn], config, request.dt)

    def found(**place: object) -> int:
        return bin_of(Moment("it", **place), EXTENT, source)  # type: ignore[arg-type]

    assert [found(bin_seq=seq) for seq in (0, 399)] == [0, 399]
    assert found(ts_ns=START_NS) == 0
    assert [found(ts_ns=START_NS + ns) for ns in (99_999_999, 100_000_000, 39_999_999_999)] == [0, 1, 399]
    assert found(clock="09:25:10") == 100
    for place, side in (
        ({"bin_seq": 400}, "behind"),
        ({"ts_ns": START_NS + 40_000_000_000}, "behind"),
        ({"ts_ns": START_NS - 1}, "before"),
        ({"clock": "09:24:59"}, "before"),
    ):
        with pytest.raises(ConfigError, match=f"it lies {side} this session, which reaches from 2026-02-06T09:25:00-05:00"):
            found(**place)
