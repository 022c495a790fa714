"""The ring of a shared session: its bounds, and what is said between its bins."""

import pytest

from serve.frames import BinFrames
from serve.ring import Ring
from serve.session import ConfigFrame
from serve.wire import Framed, frame


def framed(bin_seq: int, n_bytes: int = 10) -> Framed:
    return frame(BinFrames(bin_seq, "{", b"x" * n_bytes))


def filled(n_bins: int, first_bin: int = 0, max_bins: int = 4, max_bytes: int = 1 << 20) -> Ring:
    ring = Ring(first_bin, max_bins, max_bytes)
    for bin_seq in range(first_bin, first_bin + n_bins):
        ring.append(framed(bin_seq))
    return ring


@pytest.mark.parametrize(("n_bins", "first"), [(0, 7), (1, 7), (3, 7), (4, 7), (5, 8), (11, 14)])
def test_it_keeps_the_newest_bins_up_to_its_number(n_bins: int, first: int) -> None:
    ring = filled(n_bins, first_bin=7)
    assert (ring.first, ring.head) == (first, 7 + n_bins)
    assert [ring[seq].frames.bin_seq for seq in range(ring.first, ring.head)] == list(range(first, 7 + n_bins))
    for outside in (ring.first - 1, ring.head):
        with pytest.raises(IndexError):
            ring[outside]


def test_it_is_bounded_in_bytes_and_keeps_one_bin_always() -> None:
    one = filled(1).n_bytes
    assert one > 10
    for n_kept in (2, 3):
        ring = filled(4, max_bytes=n_kept * one)
        assert (ring.head - ring.first, ring.n_bytes) == (n_kept, n_kept * one)
    assert filled(4, max_bytes=3 * one - 1).first == 2
    tight = filled(4, max_bytes=1)
    assert (tight.first, tight.head, tight.n_bytes) == (3, 4, one)


def test_each_bin_has_the_config_that_holds_for_it() -> None:
    ring = Ring(0, 4, 1 << 20)
    assert ring.said_for(0) is None
    ring.say(ConfigFrame("a", 0, "a"))
    for bin_seq in range(3):
        ring.append(framed(bin_seq))
    ring.say(ConfigFrame("b changed", 3, "b"))
    for bin_seq in range(3, 6):
        ring.append(framed(bin_seq))
    told = {seq: ring.said_for(seq) for seq in (2, 3, 5)}
    assert {seq: (said[0], said[1].text) for seq, said in told.items() if said} == {
        2: (0, "a"),
        3: (1, "b changed"),
        5: (1, "b changed"),
    }
    ring.append(framed(6))  # now bin 3 is the oldest: what held before it is forgotten
    assert ring.first == 3
    said = ring.said_for(2)
    assert said is not None
    assert said[0] == 1
    assert ring.n_said == 2
    ring.renew("b, later")
    said = ring.said_for(6)
    assert said is not None
    assert (said[0], said[1].text, said[1].plain) == (1, "b changed", "b, later")
