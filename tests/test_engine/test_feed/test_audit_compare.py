"""Two streams compared: planted differences are found where they are, and nothing else is."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.feed.audit import compare as comparing
from engine.feed.audit.align import hashes, matches
from engine.feed.audit.compare import Edits, changed_fields, compare
from engine.schema import MBO_DTYPE

Rows = NDArray[np.void]
BASE_NS = 1_770_000_000_000_000_000


def stream(n: int, seed: int = 1, per_moment: int = 1) -> Rows:
    """Records that are all different, ``per_moment`` of them with one time and one sequence."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, MBO_DTYPE)
    rows["length"], rows["rtype"], rows["action"], rows["side"] = 14, 160, ord("A"), ord("B")
    moment = np.arange(n) // per_moment
    rows["ts_event"] = BASE_NS + moment * 1_000_000
    rows["ts_recv"] = rows["ts_event"] + 500
    rows["sequence"] = moment + 1
    rows["order_id"] = rng.permutation(n) + 10_000
    rows["price"] = 250_000_000 * rng.integers(80_000, 80_100, n)
    rows["size"] = rng.integers(1, 9, n)
    return rows


def blocks(rows: Rows, sizes: Iterable[int] = (100, 7, 1000, 1)) -> Iterator[Rows]:
    at, turn = 0, list(sizes)
    while at < len(rows):
        size = turn[0]
        turn = [*turn[1:], size]
        yield rows[at : at + size]
        at += size


def found(ours: Rows, official: Rows) -> list[tuple[str, int]]:
    """Kind and official place of each difference, in order of place."""
    edits = list(compare(blocks(ours), blocks(official, (64, 513))))
    return sorted(((one.kind, int(at)) for one in edits for at in one.at), key=lambda one: (one[1], one[0]))


def planted(official: Rows, plan: dict[int, str]) -> Rows:
    """The official records with an edit at some places; a swap is with the next one, a double stands behind its original."""
    out: list[Any] = []
    i = 0
    while i < len(official):
        row = official[i].copy()
        kind = plan.get(i)
        if kind == "swapped":
            out += [official[i + 1].copy(), row]
            i += 2
            continue
        if kind == "altered":
            row["size"] += 100
        if kind != "omitted":
            out.append(row)
        if kind == "doubled":
            out.append(row.copy())
        i += 1
    return np.array(out, MBO_DTYPE)


def places(plan: dict[int, str]) -> list[tuple[str, int]]:
    """What is to be found."""
    return [(kind, i) for i, kind in sorted(plan.items())]


def test_the_same_records_have_no_difference() -> None:
    rows = stream(3000)
    assert found(rows, rows.copy()) == []
    assert found(rows[:0], rows[:0]) == []


@pytest.mark.parametrize("per_moment", [1, 5])
def test_twenty_planted_differences_are_found(per_moment: int) -> None:
    rows = stream(20_000, per_moment=per_moment)
    kinds = ["omitted", "doubled", "swapped", "altered"]
    plan = {977 * (i + 1): kinds[i % 4] for i in range(20)}
    assert found(planted(rows, plan), rows) == places(plan)


@pytest.mark.parametrize("kind", ["omitted", "doubled", "altered"])
@pytest.mark.parametrize("at", [0, 1999])
def test_the_first_and_the_last_record(kind: str, at: int) -> None:
    rows = stream(2000)
    assert found(planted(rows, {at: kind}), rows) == places({at: kind})


@pytest.mark.parametrize("at", [0, 1998])
def test_the_first_two_and_the_last_two_change_places(at: int) -> None:
    rows = stream(2000)
    assert found(planted(rows, {at: "swapped"}), rows) == [("swapped", at)]


@pytest.mark.parametrize("first", ["omitted", "doubled", "altered"])
@pytest.mark.parametrize("second", ["omitted", "doubled", "altered"])
def test_neighbours_are_told_apart(first: str, second: str) -> None:
    rows = stream(2000)
    plan = {700: first, 701: second}
    assert found(planted(rows, plan), rows) == places(plan)


@pytest.mark.parametrize("name", MBO_DTYPE.names)
def test_each_field_counts(name: str) -> None:
    rows = stream(1000)
    ours = rows.copy()
    ours[name][500] ^= 1
    (edit,) = compare(blocks(ours), blocks(rows))
    assert (edit.kind, edit.at.tolist(), edit.ours_at.tolist()) == ("altered", [500], [500])
    assert edit.ours is not None
    assert edit.official is not None
    assert changed_fields(edit.ours[0], edit.official[0]) == [name]
    assert edit.ours[0][name] == rows[500][name] ^ 1


def test_what_is_not_the_vendors_is_added() -> None:
    rows = stream(1000)
    other = stream(1, seed=9)
    other["order_id"] = 3
    ours = np.concatenate([rows[:400], other, rows[400:]])
    (edit,) = compare(blocks(ours), blocks(rows))
    assert (edit.kind, edit.at.tolist(), edit.ours_at.tolist(), edit.official) == ("added", [400], [400], None)
    assert edit.records.tobytes() == other.tobytes()


def test_a_stretch_that_comes_again_is_doubled() -> None:
    """As a reconnection gives it: the last 50 once more."""
    rows = stream(5000)
    ours = np.concatenate([rows[:2050], rows[2000:]])
    assert found(ours, rows) == [("doubled", i) for i in range(2000, 2050)]


def test_a_record_far_from_its_place_is_omitted_here_and_too_many_there() -> None:
    """Farther than a window: whoever judges pairs them by their bits."""
    rows = stream(9000)
    ours = np.concatenate([rows[:1000], rows[1001:8000], rows[1000:1001], rows[8000:]])
    assert found(ours, rows) == [("doubled", 1000), ("omitted", 1000)]


@pytest.mark.parametrize("n_missing", [600, 5000, 40_000])
def test_a_long_omission_is_told_record_by_record(n_missing: int) -> None:
    rows = stream(60_000)
    ours = np.concatenate([rows[:10_000], rows[10_000 + n_missing :]])
    edits = list(compare([ours], [rows]))
    assert {one.kind for one in edits} == {"omitted"}
    assert np.concatenate([one.at for one in edits]).tolist() == list(range(10_000, 10_000 + n_missing))


def test_what_is_longer_than_the_widest_window_is_left_behind_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "WIDEST", 2048)
    rows = stream(30_000)
    ours = np.concatenate([rows[:500], rows[20_000:20_300], rows[20_301:]])
    edits = list(compare(blocks(ours), blocks(rows)))
    assert np.concatenate([one.at for one in edits]).tolist() == [*range(500, 20_000), 20_300]
    assert {one.kind for one in edits} == {"omitted"}
    swapped = list(compare(blocks(rows), blocks(ours)))
    assert np.concatenate([one.ours_at for one in swapped]).tolist() == [*range(500, 20_000), 20_300]
    assert {one.kind for one in swapped} == {"added"}


def test_nothing_of_ours_and_nothing_of_theirs() -> None:
    rows = stream(700)
    (edit,) = compare([], [rows])
    assert (edit.kind, edit.at.tolist()) == ("omitted", list(range(700)))
    (edit,) = compare([rows], [])
    assert (edit.kind, edit.ours_at.tolist(), edit.at.tolist()) == ("added", list(range(700)), [0] * 700)


# By chance.


@pytest.mark.parametrize("seed", range(12))
def test_random_edits_of_a_random_stream_are_the_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = stream(int(rng.integers(200, 4000)), seed, per_moment=int(rng.integers(1, 4)))
    spots = np.sort(rng.choice(len(rows) // 3 - 1, int(rng.integers(1, 40)), replace=False)) * 3
    plan = {int(at): str(rng.choice(["omitted", "doubled", "swapped", "altered"])) for at in spots}
    assert found(planted(rows, plan), rows) == places(plan), seed


def _longest_common(ours: list[int], official: list[int]) -> int:
    row = [0] * (len(ours) + 1)
    for one in official:
        before = row[:]
        for j, other in enumerate(ours):
            row[j + 1] = before[j] + 1 if one == other else max(before[j + 1], row[j])
    return row[-1]


@pytest.mark.parametrize("seed", range(40))
def test_few_different_records_match_as_many_as_can(seed: int) -> None:
    """Against the textbook's table and, where nothing is repeated, difflib."""
    rng = np.random.default_rng(seed)
    official = rng.integers(0, 6 if seed % 2 else 1000, 40).astype(np.uint64)
    ours = official[rng.random(40) > 0.2]
    ours = np.insert(ours, rng.integers(0, len(ours), 5), rng.integers(0, 6, 5))
    got = matches(ours, official)
    pairs = [(int(official[i]), int(ours[j])) for i, j in enumerate(got) if j >= 0]
    assert all(one == other for one, other in pairs)
    assert (np.diff(got[got >= 0]) > 0).all()
    blocks_ = difflib.SequenceMatcher(None, ours.tolist(), official.tolist(), autojunk=False).get_matching_blocks()
    assert len(pairs) >= (0 if seed % 2 else sum(one.size for one in blocks_))
    if seed % 2:
        assert len(pairs) <= _longest_common(ours.tolist(), official.tolist())
    else:
        assert len(pairs) >= _longest_common(ours.tolist(), official.tolist()) - 1


def test_what_is_repeated_between_two_anchors_is_matched_by_the_longest_order() -> None:
    official = np.array([100, 1, 2, 1, 2, 2, 200], np.uint64)
    ours = np.array([100, 2, 1, 2, 200], np.uint64)
    assert matches(ours, official).tolist().count(-1) == 2
    assert matches(ours, official)[[0, 6]].tolist() == [0, 4]


def test_a_hash_is_of_every_word() -> None:
    rows = np.repeat(stream(1), 15)
    for i, name in enumerate(MBO_DTYPE.names or ()):
        rows[name][i] ^= 1
    assert len(set(hashes(rows).tolist())) == 15


def _n(edits: Iterable[Edits]) -> int:
    return sum(len(one.at) for one in edits)


def test_identical_records_count_by_their_number() -> None:
    rows = stream(1000)
    rows[500:510] = rows[500]
    ours = np.concatenate([rows[:503], rows[505:]])
    assert _n(compare(blocks(ours), blocks(rows))) == 2
    assert _n(compare(blocks(rows), blocks(ours))) == 2
