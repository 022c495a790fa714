"""The client's check of the frames' order."""

import json
from typing import Any

import pytest

from serve.frames import FrameEncoder
from serve.wire_check import FrameChecker, FrameOrderError
from tests.blocks import random_block

CONFIG = {"type": "runtime_config", "grid_rows": 11, "grid_radius_ticks": 5, "cell_width_ms": 100}


@pytest.fixture
def frames() -> list[tuple[str, bytes]]:
    block = random_block(4, 5, seed=21)
    block.bins["event_id"] = 100
    encoder = FrameEncoder(11)
    return [((pair := encoder.encode(block, i)).header(0), pair.grid) for i in range(block.n)]


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
    short = FrameEncoder(9).encode(random_block(1, 4, seed=1)).grid
    with pytest.raises(FrameOrderError, match="9 rows"):
        checker.binary(short)

    with pytest.raises(FrameOrderError, match="not 100 ms wide"):
        head(configured(), changed(frames[0][0], bin_start_ns="5"))
