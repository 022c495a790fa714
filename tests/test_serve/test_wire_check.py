"""The client's check of the frames' order."""

import json
from typing import Any

import pytest

from serve.frames import FrameEncoder, decode_grid
from serve.wire_check import FrameChecker, FrameOrderError
from tests.blocks import random_block

CONFIG = {"type": "runtime_config", "grid_rows": 11, "grid_radius_ticks": 5, "cell_width_ms": 100}


@pytest.fixture
def frames() -> list[tuple[str, bytes]]:
    block = random_block(4, 5, seed=21)
    block.bins["event_id"] = 100
    encoder = FrameEncoder(11)
    return [(pair.header(0), pair.grid) for pair in encoder.encode(block)]


def configured() -> FrameChecker:
    checker = FrameChecker()
    checker.text("runtime_config", json.dumps(CONFIG), dict(CONFIG))
    return checker


def head(checker: FrameChecker, text: str) -> None:
    values: dict[str, Any] = json.loads(text)
    checker.text(values["type"], text, values)


def changed(text: str, **fields: Any) -> str:
    return json.dumps(json.loads(text) | fields)


def test_a_right_stream_passes_and_is_counted(frames: list[tuple[str, bytes]]) -> None:
    checker = configured()
    for i, (header, grid) in enumerate(frames):
        head(checker, header)
        assert checker.binary(grid)["bin_seq"] == i
    assert (checker.n_bins, checker.n_dropped) == (4, 0)


def test_skipped_bins_pass_when_they_are_told(frames: list[tuple[str, bytes]]) -> None:
    checker = configured()
    head(checker, frames[0][0])
    checker.binary(frames[0][1])
    head(checker, changed(frames[3][0], dropped_bins=2))
    checker.binary(frames[3][1])
    assert checker.n_dropped == 2


def test_each_break_of_the_order_is_named(frames: list[tuple[str, bytes]]) -> None:
    with pytest.raises(FrameOrderError, match="before the runtime_config"):
        head(FrameChecker(), frames[0][0])
    with pytest.raises(FrameOrderError, match="without its header"):
        configured().binary(frames[0][1])

    checker = configured()
    head(checker, frames[0][0])
    with pytest.raises(FrameOrderError, match="grid of bin 0 was due"):
        head(checker, frames[1][0])

    checker = configured()
    head(checker, frames[0][0])
    checker.binary(frames[0][1])
    with pytest.raises(FrameOrderError, match="bin 2 came after bin 0"):
        head(checker, frames[2][0])


def test_a_frame_that_does_not_fit_its_header_is_named(frames: list[tuple[str, bytes]]) -> None:
    checker = configured()
    head(checker, frames[0][0])
    with pytest.raises(FrameOrderError, match="cannot be read"):
        checker.binary(b"not arrow")

    checker = configured()
    head(checker, changed(frames[0][0], event_id=0))
    with pytest.raises(FrameOrderError, match="beyond its event_id"):
        checker.binary(frames[0][1])

    checker = configured()
    head(checker, frames[0][0])
    short = FrameEncoder(9).encode(random_block(1, 4, seed=1))[0].grid
    with pytest.raises(FrameOrderError, match="9 rows"):
        checker.binary(short)

    volume = json.loads(frames[1][0])["buy_volume"]
    checker = configured()
    head(checker, changed(frames[1][0], buy_volume=volume + 1))
    with pytest.raises(FrameOrderError, match=f"bin 1 has buy_volume {volume + 1}, but {volume - 1} in its rows and 1 outside"):
        checker.binary(frames[1][1])

    checker = configured()
    head(checker, changed(frames[1][0], traded_sell_outside=-1, sell_volume=json.loads(frames[1][0])["sell_volume"] - 2))
    with pytest.raises(FrameOrderError, match="and -1 outside"):
        checker.binary(frames[1][1])

    with pytest.raises(FrameOrderError, match="not 100 ms wide"):
        head(configured(), changed(frames[0][0], bin_start_ns="5"))


def pair(i: int, frames: list[tuple[str, bytes]], checker: FrameChecker, **fields: Any) -> None:
    """Both frames of a bin, its header changed."""
    head(checker, changed(frames[i][0], **fields))
    checker.binary(frames[i][1])


def test_events_of_a_grid_may_be_as_late_as_its_header_says_and_no_later(frames: list[tuple[str, bytes]]) -> None:
    latest = int(decode_grid(frames[0][1])["last_event_id"].max())
    assert latest > 0
    pair(0, frames, configured(), event_id=latest)
    pair(0, frames, configured(), event_id=latest + 1)
    with pytest.raises(FrameOrderError, match="beyond its event_id"):
        pair(0, frames, configured(), event_id=latest - 1)


@pytest.mark.parametrize(("config", "words"), [({"grid_rows": 12}, "12 from -5 are due"), ({"grid_radius_ticks": 4}, "from -4")])
def test_rows_are_as_many_and_as_far_as_the_config_says(frames: list[tuple[str, bytes]], config: dict, words: str) -> None:
    checker = FrameChecker()
    checker.text("runtime_config", "", CONFIG | config)
    head(checker, frames[0][0])
    with pytest.raises(FrameOrderError, match=words):
        checker.binary(frames[0][1])


@pytest.mark.parametrize("dropped", [0, 1, 3])
def test_skipped_bins_are_as_many_as_are_told(frames: list[tuple[str, bytes]], dropped: int) -> None:
    checker = configured()
    pair(0, frames, checker)
    with pytest.raises(FrameOrderError, match=f"bin 3 came after bin 0 with dropped_bins {dropped}"):
        pair(3, frames, checker, dropped_bins=dropped)


def test_a_bin_begins_where_the_last_ended_unless_some_were_skipped(frames: list[tuple[str, bytes]]) -> None:
    start = int(json.loads(frames[1][0])["bin_start_ns"])
    for off in (-1, 1):
        checker = configured()
        pair(0, frames, checker)
        moved = {"bin_start_ns": str(start + off), "bin_end_ns": str(start + off + 100_000_000)}
        with pytest.raises(FrameOrderError, match="bin 1 does not start where the one before ended"):
            pair(1, frames, checker, **moved)
    checker = configured()
    pair(0, frames, checker)
    pair(2, frames, checker, dropped_bins=1, bin_start_ns=str(start), bin_end_ns=str(start + 100_000_000))


def test_a_bin_is_as_wide_as_the_config_says_to_the_nanosecond(frames: list[tuple[str, bytes]]) -> None:
    end = int(json.loads(frames[0][0])["bin_end_ns"])
    for off in (-1, 1):
        with pytest.raises(FrameOrderError, match="not 100 ms wide"):
            pair(0, frames, configured(), bin_end_ns=str(end + off))


def test_each_header_has_one_grid_and_no_text_comes_between(frames: list[tuple[str, bytes]]) -> None:
    checker = configured()
    pair(0, frames, checker)
    with pytest.raises(FrameOrderError, match="without its header"):
        checker.binary(frames[0][1])
    for kind in ("runtime_config", "end", "heartbeat"):
        checker = configured()
        head(checker, frames[0][0])
        with pytest.raises(FrameOrderError, match=f"a {kind} came where the grid of bin 0 was due"):
            checker.text(kind, "", {"type": kind})
    with pytest.raises(FrameOrderError, match="without its header"):
        FrameChecker().binary(frames[0][1])


def test_a_new_config_may_come_between_two_bins_and_holds_from_there(frames: list[tuple[str, bytes]]) -> None:
    checker = configured()
    pair(0, frames, checker)
    checker.text("runtime_config", "", CONFIG | {"reason": "model_change"})
    assert checker.config is not None
    assert checker.config["reason"] == "model_change"
    pair(1, frames, checker)
    checker.text("heartbeat", "", {"type": "heartbeat"})
    pair(2, frames, checker)
    assert (checker.n_bins, checker.n_dropped) == (3, 0)
