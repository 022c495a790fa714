"""The ring of recent bins against a plain list."""

import numpy as np
import pytest

from engine.schema import BIN_DTYPE
from serve.recent import RecentBins

ONE = np.zeros(1, BIN_DTYPE)


@pytest.mark.parametrize("n_bins", [0, 1, 6, 7, 8, 20])
@pytest.mark.parametrize("since", [0, 3, 7, 19, 20])
def test_the_ring_gives_back_what_it_still_has_in_order(n_bins: int, since: int) -> None:
    recent = RecentBins(("perm_state5_code", "add_mass"), n_rows=3, max_bytes=7 * 3 * 9)
    rows = [np.arange(3) + 10 * i for i in range(n_bins)]
    for row in rows:
        columns = {"perm_state5_code": row[np.newaxis].astype("i1"), "add_mass": row[np.newaxis].astype("f8"), "other": row}
        recent.append(columns, ONE)
    expected = rows[max(since, n_bins - 7) :]
    got = recent.since(since)
    assert got["add_mass"].shape == (len(expected), 3)
    assert got["add_mass"].dtype == np.float64
    assert got["add_mass"].tolist() == [row.tolist() for row in expected]
    assert got["perm_state5_code"].dtype == np.int8


def test_what_was_given_out_does_not_change_later() -> None:
    recent = RecentBins(("add_mass",), n_rows=1, max_bytes=16)
    recent.append({"add_mass": np.array([[1.0]])}, ONE)
    got = recent.since(0)["add_mass"]
    for value in (2.0, 3.0, 4.0):
        recent.append({"add_mass": np.array([[value]])}, ONE)
    assert got.tolist() == [[1.0]]


def test_the_bound_is_in_bytes_and_one_bin_is_always_kept() -> None:
    assert RecentBins(("add_mass",), n_rows=10, max_bytes=800).capacity == 10
    assert RecentBins(("add_mass", "perm_state5_code"), n_rows=10, max_bytes=800).capacity == 8
    assert RecentBins(("add_mass",), n_rows=10, max_bytes=1).capacity == 1


@pytest.mark.parametrize("sizes", [(4, 3), (7, 1), (5, 2, 4), (3, 6, 7), (8,), (6, 20), (14,), (0, 2)])
def test_blocks_of_any_length_are_kept_as_their_bins_one_by_one(sizes: tuple[int, ...]) -> None:
    """Up to the ring's end, over it by one, and longer than the whole of it."""
    recent = RecentBins(("add_mass", "quality"), n_rows=2, max_bytes=7 * (2 * 8 + 2))
    assert recent.capacity == 7
    values: list[int] = []
    for size in sizes:
        block = range(len(values), len(values) + size)
        values += block
        fields = np.zeros(size, BIN_DTYPE)
        fields["quality"] = block
        recent.append({"add_mass": np.array([[one, one + 0.5] for one in block]).reshape(size, 2)}, fields)
    assert recent.n_seen == len(values)
    got = recent.since(0)
    assert got["add_mass"].tolist() == [[one, one + 0.5] for one in values[-7:]]
    assert got["quality"].tolist() == values[-7:]


def test_a_column_added_late_is_given_from_the_bin_it_was_kept_from() -> None:
    recent = RecentBins(("add_mass",), n_rows=1, max_bytes=4 * 8)
    assert recent.capacity == 4

    def append(value: float) -> None:
        recent.append({"add_mass": np.array([[value]]), "fill_mass": np.array([[-value]])}, ONE)

    append(1.0)
    append(2.0)
    recent.add(("fill_mass", "add_mass"))
    assert recent.since(0, ("fill_mass",))["fill_mass"].shape == (0, 1)
    append(3.0)
    assert recent.since(0, ("fill_mass", "add_mass"))["add_mass"].tolist() == [[3.0]]
    assert recent.since(0, ("fill_mass", "add_mass"))["fill_mass"].tolist() == [[-3.0]]
    assert recent.since(0, ("add_mass",))["add_mass"].tolist() == [[1.0], [2.0], [3.0]]  # kept all along
    assert list(recent.since(0, ("add_mass",))) == ["add_mass"]
    assert recent.since(0)["add_mass"].tolist() == [[3.0]]  # not named: what all of them have
    recent.add(("fill_mass",))  # known already: nothing begins anew
    for value in (4.0, 5.0):
        append(value)
    assert recent.since(0, ("fill_mass",))["fill_mass"].tolist() == [[-3.0], [-4.0], [-5.0]]
    assert recent.since(4, ("fill_mass",))["fill_mass"].tolist() == [[-5.0]]
    assert recent.since(0, ("add_mass",))["add_mass"].tolist() == [[2.0], [3.0], [4.0], [5.0]]  # a ring of four
    assert (recent.n_seen, recent.capacity) == (5, 4)


def test_bin_fields_are_kept_beside_columns_each_from_its_own_place() -> None:
    recent = RecentBins(("add_mass", "mid_price", "quality"), n_rows=2, max_bytes=1000)
    assert recent.capacity == 1000 // (2 * 8 + 8 + BIN_DTYPE["quality"].itemsize)
    fields = np.zeros(3, BIN_DTYPE)
    fields["mid_price"], fields["quality"] = [10.0, 11.0, 12.0], [0, 1, 2]
    columns = {"add_mass": np.arange(6.0).reshape(3, 2)}
    for bins in (slice(2, 3), slice(0, 1)):
        recent.append({"add_mass": columns["add_mass"][bins]}, fields[bins])
    got = recent.since(0)
    assert (got["mid_price"].tolist(), got["quality"].tolist()) == ([12.0, 10.0], [2, 0])
    assert got["add_mass"].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert got["quality"].dtype == BIN_DTYPE["quality"]
