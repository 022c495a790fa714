"""DBN files as record arrays: versions, compression, contracts; one clear line for what is refused or broken."""

import datetime as dt
import hashlib
import random
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.errors import SourceError
from engine.schema import MBO_DTYPE
from engine.source.records import Source, open_source
from tests.conftest import shared_path
from tests.streams import DAY, INSTRUMENT_ID, OPEN, SYMBOL, build_up, metadata, record, to_array, write_dbn

CONFIG = load_instrument()
ROWS = to_array([*build_up(), *(record("A", i, tick=-1, time=i * 1000) for i in range(1, 200))])


def read_all(source: Source, chunk: int = 4096) -> NDArray[np.void]:
    parts = list(source.records(chunk))
    return np.concatenate(parts) if parts else np.zeros(0, MBO_DTYPE)


def refusal(path: Path, symbol: str = SYMBOL) -> str:
    """The message with which a file is refused, when opened or at the latest when read."""
    with pytest.raises(SourceError) as error:
        read_all(open_source([path], load_instrument(overrides={"symbol": symbol}), DAY))
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize("name", ["day.dbn", "day.dbn.zst"])
@pytest.mark.parametrize("chunk", [1, 7, 211, 4096])
def test_records_are_the_files_bytes(name: str, chunk: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / name, ROWS)
    assert read_all(open_source([path], CONFIG, DAY), chunk).tobytes() == ROWS.tobytes()


@pytest.mark.parametrize("name", ["day.dbn", "day.dbn.zst"])
@pytest.mark.parametrize("chunk", [1, 7])
def test_no_chunk_is_larger_than_asked_for(name: str, chunk: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / name, ROWS)
    assert max(len(part) for part in open_source([path], CONFIG, DAY).records(chunk)) == chunk


def test_uncompressed_file_is_read_a_window_at_a_time_and_mapped_nowhere(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", np.concatenate([ROWS] * 1000))
    part = next(iter(open_source([path], CONFIG, DAY).records(10**9)))
    assert len(part) == 1 << 16
    assert not part.flags.writeable
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_file_of_several_compressed_frames_is_read_whole(tmp_path: Path) -> None:
    whole = metadata({SYMBOL: INSTRUMENT_ID}, DAY) + ROWS.tobytes()
    path = tmp_path / "day.dbn.zst"
    path.write_bytes(b"".join(zstandard.compress(whole[i : i + 1000]) for i in range(0, len(whole), 1000)))
    assert read_all(open_source([path], CONFIG, DAY)).tobytes() == ROWS.tobytes()


def test_several_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    paths = [write_dbn(tmp_path / "a.dbn", ROWS[:50]), write_dbn(tmp_path / "b.dbn.zst", ROWS[50:])]
    assert read_all(open_source(paths, CONFIG, DAY)).tobytes() == ROWS.tobytes()


@pytest.mark.parametrize(
    "name", ["test_data.mbo.dbn", "test_data.mbo.v1.dbn.zst", "test_data.mbo.v2.dbn.zst", "test_data.mbo.v3.dbn"]
)
def test_every_dbn_version_gives_the_same_records(name: str) -> None:
    path = shared_path("data/databento_tests/dbn") / name
    rows = read_all(open_source([path], load_instrument(overrides={"symbol": "ESH1"})))
    assert rows["price"].tolist() == [3_722_750_000_000, 3_723_000_000_000]
    assert rows["order_id"].tolist() == [647784973705, 647784973631]


# Contracts


def two_contracts() -> NDArray[np.void]:
    rows = ROWS.copy()
    rows["instrument_id"][1::3] = 7
    return rows


@pytest.mark.parametrize("name", ["day.dbn", "day.dbn.zst"])
def test_only_the_locked_contract_is_kept(name: str, tmp_path: Path) -> None:
    rows = two_contracts()
    path = write_dbn(tmp_path / name, rows, {SYMBOL: INSTRUMENT_ID, "MNQH6-MNQM6": 7})
    kept = read_all(open_source([path], CONFIG, DAY))
    assert kept.tobytes() == rows[rows["instrument_id"] == INSTRUMENT_ID].tobytes()


def test_id_counts_only_on_the_days_of_its_mapping(tmp_path: Path) -> None:
    rows = ROWS.copy()
    day_before = 86_400 * 10**9
    rows["ts_recv"][:50] -= day_before
    rows["ts_event"][:50] -= day_before
    path = write_dbn(tmp_path / "two_days.dbn", rows, {SYMBOL: INSTRUMENT_ID}, DAY)  # mapped on DAY only
    assert read_all(open_source([path], CONFIG, DAY)).tobytes() == rows[50:].tobytes()


def test_undefined_capture_time_does_not_unmap_a_record(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows["ts_recv"][30] = 2**64 - 1
    path = write_dbn(tmp_path / "day.dbn", rows)
    assert read_all(open_source([path], CONFIG, DAY)).tobytes() == rows.tobytes()


def test_file_of_another_contract_is_refused_with_both_names(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", ROWS, {"ESH6": INSTRUMENT_ID})
    text = refusal(path)
    assert "ESH6" in text
    assert SYMBOL in text


def test_file_without_mappings_is_accepted_on_trust_with_one_instrument(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", ROWS, {})
    assert len(read_all(open_source([path], CONFIG, DAY, assumes_symbol=True))) == len(ROWS)


@pytest.mark.parametrize("chunk", [1, 4096])
def test_file_without_mappings_is_refused_with_the_ids_of_two_instruments(chunk: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", two_contracts(), {})
    with pytest.raises(SourceError) as error:
        read_all(open_source([path], CONFIG, DAY, assumes_symbol=True), chunk)
    assert "7" in str(error.value)
    assert str(INSTRUMENT_ID) in str(error.value)


@pytest.mark.parametrize("name", ["day.dbn", "day.dbn.zst"])
def test_records_of_other_kinds_are_left_out_and_reported(name: str, tmp_path: Path) -> None:
    system = bytes([10, 23, 0, 0]) + bytes(36)  # 40 bytes, a kind of its own
    body = ROWS[:20].tobytes() + system + ROWS[20:].tobytes()
    path = tmp_path / name
    content = metadata({SYMBOL: INSTRUMENT_ID}, DAY, schema=None) + body
    path.write_bytes(zstandard.compress(content) if name.endswith("zst") else content)
    source = open_source([path], CONFIG, DAY)
    assert read_all(source).tobytes() == ROWS.tobytes()
    assert any("1 records that are not mbo" in notice for notice in source.notices)


# Refusals and damage


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere.dbn")


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


def test_no_file_is_refused() -> None:
    with pytest.raises(SourceError, match="at least one"):
        open_source([], CONFIG, DAY)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "day.dbn"
    path.touch()
    assert "is empty" in refusal(path)


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
@pytest.mark.parametrize("name", ["day.dbn", "day.dbn.zst"])
def test_random_bytes_are_refused(name: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(random.Random(size).randbytes(size))
    assert "not a DBN file" in refusal(path)


def test_random_bytes_in_a_compressed_frame_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "day.dbn.zst"
    path.write_bytes(zstandard.compress(random.Random(1).randbytes(500)))
    assert "not a DBN file" in refusal(path)


@pytest.mark.parametrize("keep", [4, 7, 8, 20, 100])
def test_file_that_breaks_off_in_its_metadata_is_refused(keep: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", ROWS)
    path.write_bytes(path.read_bytes()[:keep])
    assert "breaks off" in refusal(path) or "not a DBN file" in refusal(path)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_metadata_is_refused_or_read_but_never_an_accident(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    head = bytearray(metadata({SYMBOL: INSTRUMENT_ID}, DAY))
    for _ in range(8):
        head[rng.randrange(4, len(head))] = rng.randrange(256)
    path = tmp_path / "day.dbn"
    path.write_bytes(bytes(head) + ROWS.tobytes())
    try:
        read_all(open_source([path], CONFIG, DAY))
    except SourceError as error:
        told = str(error)
    else:
        told = str(path)  # what was hit did not matter to us
    assert str(path) in told


def test_mbp1_file_is_refused_with_its_schema() -> None:
    path = shared_path("data") / "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
    assert "mbp-1" in refusal(path, "ESU4")


def test_trades_file_is_refused_with_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "day.dbn"
    path.write_bytes(metadata({SYMBOL: INSTRUMENT_ID}, DAY, dbn.Schema.TRADES))
    assert "trades" in refusal(path)


def test_legacy_dbz_file_is_refused_by_its_name() -> None:
    assert "DBZ" in refusal(shared_path("data/databento_tests/dbn") / "test_data.mbo.dbz")


@pytest.mark.parametrize("lost", [1, 55, 57])
def test_truncated_file_is_read_up_to_the_last_whole_record(lost: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", ROWS)
    path.write_bytes(path.read_bytes()[:-lost])
    whole = len(ROWS) - 1 - (lost > 56)
    assert read_all(open_source([path], CONFIG, DAY)).tobytes() == ROWS[:whole].tobytes()


def test_truncated_file_is_reported_in_one_line(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", ROWS)
    path.write_bytes(path.read_bytes()[:-3])
    source = open_source([path], CONFIG, DAY)
    read_all(source)
    (notice,) = source.notices
    assert str(path) in notice
    assert "breaks off 53 bytes into a record" in notice


def long_rows() -> NDArray[np.void]:
    """Records that do not compress away: the file has several blocks."""
    rows = np.concatenate([ROWS] * 40)
    rows["order_id"] = np.random.default_rng(0).integers(0, 2**60, len(rows))
    return rows


def test_truncated_compressed_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    rows = long_rows()
    path = write_dbn(tmp_path / "day.dbn.zst", rows)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 9])
    kept = read_all(open_source([path], CONFIG, DAY))
    assert 0 < len(kept) < len(rows)
    assert kept.tobytes() == rows[: len(kept)].tobytes()


def test_truncated_compressed_file_is_reported_in_one_line(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn.zst", long_rows())
    path.write_bytes(path.read_bytes()[:-9])
    source = open_source([path], CONFIG, DAY)
    read_all(source)
    assert len(source.notices) == 1
    assert "breaks off" in source.notices[0]


def test_record_of_length_zero_ends_the_file_and_is_reported(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows["length"][100] = 0
    path = write_dbn(tmp_path / "day.dbn", rows)
    source = open_source([path], CONFIG, DAY)
    assert len(read_all(source)) == 100
    assert any("impossible length" in notice for notice in source.notices)


# The session's day


@pytest.mark.parametrize("name", ["glbx-mdp3-20260209.mbo.dbn", "orderbooks_2026-02-09T00.dbn"])
def test_day_is_taken_from_the_files_name(name: str, tmp_path: Path) -> None:
    assert open_source([write_dbn(tmp_path / name, ROWS)], CONFIG).dt == dt.date(2026, 2, 9)


def test_day_is_else_the_first_of_the_metadata(tmp_path: Path) -> None:
    assert open_source([write_dbn(tmp_path / "day.dbn", ROWS)], CONFIG).dt == DAY


def test_window_is_the_whole_utc_day(tmp_path: Path) -> None:
    start, end = open_source([write_dbn(tmp_path / "day.dbn", ROWS)], CONFIG, DAY).window
    assert (start, end) == (OPEN - 14 * 3600 * 10**9, OPEN + 10 * 3600 * 10**9)


def test_provenance_names_each_file_with_size_and_checksum(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn.zst", ROWS)
    content = path.read_bytes()
    expected = {"path": str(path), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert open_source([path], CONFIG, DAY).provenance() == [expected]
