"""Which records went in: equal data have equal hashes, whatever file brings them."""

import struct
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.dataset.capture import publish_replay
from engine.dataset.lineage import chunks_of, content_id, sources_of
from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.source.content import Content
from tests.reference import F_SNAPSHOT
from tests.streams import DAY, OPEN, build_up, record, to_array, write_dbn

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY_NS = 86_400 * SECOND


def stream(n_seconds: int = 200, seed: int = 1) -> NDArray[np.void]:
    """A snapshot, then four adds and cancels a second; the same second of another seed holds other orders."""
    rows = list(build_up())
    for i in range(4 * n_seconds):
        action, order_id = ("A", 10_000 * seed + i) if i % 2 == 0 else ("C", 10_000 * seed + i - 1)
        rows.append(record(action, order_id, tick=-3, time=i * SECOND // 4 + 1000))
    return to_array(rows)


def by_hand(rows: NDArray[np.void], minute: int) -> str:
    """The hash of a minute after 09:00, packed field by field."""
    digest = sha256()
    for row in rows:
        at = int(row["ts_event"]) - OPEN
        if minute * MINUTE <= at < (minute + 1) * MINUTE and not row["flags"] & F_SNAPSHOT and row["action"] != ord("R"):
            values = [int(row[name]) for name in ("ts_event", "order_id", "price", "size", "action", "side")]
            digest.update(struct.pack("<QQqIBB", *values))
    return digest.hexdigest()[:16]


def published(lake: Path, files: list[Path], start: str = "09:00", n_bins: int = 2000, **keys: Any) -> Dataset:
    return publish_replay(
        Lake(lake), "d", files, load_instrument(), dt=date.fromisoformat(str(DAY)), start_time=start, n_bins=n_bins, **keys
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("whole")
    return published(folder, [write_dbn(folder / "a-20260206.dbn", stream())])


def test_each_whole_minute_has_the_hash_of_its_records(whole: Dataset) -> None:
    rows = stream()
    expected = [by_hand(rows, minute) for minute in range(3)]  # 200 s of bins: the fourth minute is not whole
    assert whole.manifest["content"] == {
        "chunk_s": 60,
        "chunks": expected,
        "id": sha256(" ".join(expected).encode()).hexdigest(),
    }
    assert (whole.manifest["schema_version"], whole.manifest["schema_minor"]) == (3, 0)  # it came with 2.1
    file = whole.manifest["source_files"][0]["sha256"]
    assert sources_of(whole.manifest) == (f"records:{whole.manifest['content']['id']}", file)


def test_compressed_renamed_and_parted_files_are_the_same_data(whole: Dataset, tmp_path: Path) -> None:
    rows = stream()
    packed = published(tmp_path / "1", [write_dbn(tmp_path / "other-name.dbn.zst", rows)])
    parts = [write_dbn(tmp_path / "1.dbn", rows[:301]), write_dbn(tmp_path / "2.dbn", rows[301:])]
    parted = published(tmp_path / "2", parts)
    carried = rows.copy()  # what says how a record came, not what happened
    carried["instrument_id"], carried["publisher_id"], carried["sequence"], carried["ts_in_delta"] = 7, 2, 5, 9
    other = published(tmp_path / "3", [write_dbn(tmp_path / "3.dbn", carried, {"MNQH6": 7})])
    for one in (packed, parted, other):
        assert content_id(one.manifest) == content_id(whole.manifest)
        assert set(sources_of(one.manifest)) & set(sources_of(whole.manifest)) == {content_id(whole.manifest)}


def test_a_capture_that_was_cut_elsewhere_shares_its_whole_minutes(whole: Dataset, tmp_path: Path) -> None:
    rows = stream()
    late = write_dbn(tmp_path / "late.dbn", rows[rows["ts_event"] >= OPEN + 90 * SECOND])
    cut = published(tmp_path / "1", [late], "09:01:30", 1100, allow_cold=True)  # 09:01:30 to 09:03:20: one whole minute
    assert chunks_of(cut.manifest) == {whole.manifest["content"]["chunks"][2]}
    assert content_id(cut.manifest) != content_id(whole.manifest)
    shorter = published(tmp_path / "2", [write_dbn(tmp_path / "s.dbn", rows)], "09:01", 600)
    assert chunks_of(shorter.manifest) == {whole.manifest["content"]["chunks"][1]}


def test_other_records_share_nothing_and_less_than_a_minute_has_no_hash(whole: Dataset, tmp_path: Path) -> None:
    other = published(tmp_path / "1", [write_dbn(tmp_path / "o.dbn", stream(seed=2))])
    assert not chunks_of(other.manifest) & chunks_of(whole.manifest)
    short = published(tmp_path / "2", [write_dbn(tmp_path / "s.dbn", stream())], "09:00", 599)
    assert (short.manifest["content"]["chunks"], content_id(short.manifest)) == ([], "")
    assert sources_of(short.manifest) == (short.manifest["source_files"][0]["sha256"],)
    exact = published(tmp_path / "3", [write_dbn(tmp_path / "e.dbn", stream())], "09:00", 600)
    assert chunks_of(exact.manifest) == {whole.manifest["content"]["chunks"][0]}


def test_a_manifest_from_before_goes_by_its_files() -> None:
    old = {"source_files": [{"sha256": "a"}, {"sha256": "b"}]}
    assert (sources_of(old), chunks_of(old), content_id(old)) == (("a", "b"), frozenset(), "")


def test_the_arrays_that_records_come_in_and_late_ones_change_nothing() -> None:
    rows = stream(130)
    late = rows[rows["ts_event"] == OPEN + 59 * SECOND + 1000]  # comes a second late, in the next minute's stream
    order = np.concatenate([rows[rows["ts_event"] < late[0]["ts_event"]], rows[rows["ts_event"] > late[0]["ts_event"]][:6], late])
    order = np.concatenate([order, rows[rows["ts_event"] > late[0]["ts_event"]][6:]])
    told = []
    for size in (1, 7, len(order)):
        content = Content(OPEN, OPEN + DAY_NS)
        for first in range(0, len(order), size):
            content.take(order[first : first + size])
        content.cover(OPEN, OPEN + MINUTE)
        content.cover(OPEN + MINUTE, OPEN + 2 * MINUTE)
        told.append(content.told())
    assert told[0] == told[1] == told[2]
    assert told[0]["chunks"] == [by_hand(order, 0), by_hand(order, 1)]


def test_a_minute_without_records_is_left_out() -> None:
    content = Content(OPEN, OPEN + DAY_NS)
    rows = stream(60)
    content.take(rows)
    content.cover(OPEN, OPEN + 3 * MINUTE)
    assert content.told()["chunks"] == [by_hand(rows, 0)]
