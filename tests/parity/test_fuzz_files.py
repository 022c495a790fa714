"""Fuzzed files: whatever the bytes, one clear refusal, or the records that the slow reading finds, and sound bins of them.

SPYMASTER_FUZZ_EXAMPLES=N makes each test try N new examples.
"""

import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import InstrumentConfig, load_instrument
from engine.errors import SourceError
from engine.run.replay import Replay
from engine.schema import MBO_DTYPE
from engine.source.records import CHUNK_RECORDS, Source, open_source
from tests.conformance.generator import CASES, names
from tests.conftest import shared_path
from tests.fuzzing import fuzz, lost_of, non_finite
from tests.reference_source import Contract, Refused, read_contract
from tests.sessions import differences, join, run_reference, small_config
from tests.streams import DAY, INSTRUMENT_ID, SYMBOL, metadata

# Wide bins, since a flipped bit may make a leap of hours; many slots, since it may put an order far from the market.
WIDE = small_config(cell_width_ms=60_000, n_absolute_ticks=8192)
MAX_BINS = 120  # for the slow reference
KIT = [
    name
    for name in names()
    if name not in ("no_mappings_two_instruments", "no_mappings_nobody_named", "quiet_bins_and_declared_end")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


def written(folder: Path, content: bytes) -> Path:
    path = folder / "fuzzed.dbn"
    path.write_bytes(content)
    return path


@cache
def config_of(symbol: str) -> InstrumentConfig:
    return load_instrument(overrides={"symbol": symbol})


def refusal_or_source(path: Path, symbol: str = SYMBOL, day: dt.date | None = DAY) -> Source | None:
    """The opened file, or None where it was refused in one line that names it."""
    try:
        return open_source([path], config_of(symbol), day)
    except SourceError as error:
        message = str(error)
    assert str(path) in message
    assert message.isprintable()
    return None


def rows_or_refusal(source: Source) -> NDArray[np.void] | None:
    """The records, or None where reading them was refused in one line."""
    try:
        return read_all(source)
    except SourceError as error:
        message = str(error)
    assert message.isprintable()
    return None


def read_all(source: Source, chunk: int = CHUNK_RECORDS) -> NDArray[np.void]:
    parts = [part.copy() for part in source.records(chunk)]
    return np.concatenate(parts) if parts else np.zeros(0, MBO_DTYPE)


def read_both_ways(path: Path, chunk: int) -> Contract | None:
    """The same records in the same order by both readings, or None where both refuse; what is not read is told of."""
    source = refusal_or_source(path)
    if source is None:
        return None
    try:
        slow = read_contract(path.read_bytes(), SYMBOL)
    except Refused:
        with pytest.raises(SourceError):
            read_all(source, chunk)
        return None
    rows = read_all(source, chunk)
    assert rows["sequence"].tolist() == slow.sequences
    for name in ("order_id", "price", "size", "flags", "ts_event", "ts_recv", "instrument_id"):
        assert rows[name].tolist() == [getattr(r, name) for r in slow.records]
    assert (len(source.damage), len(source.remarks)) == (slow.n_damages, slow.n_remarks)
    assert source.end_ns == (None if slow.end_ns is None else min(slow.end_ns, source.window[1]))
    return slow


HEAD = metadata({SYMBOL: INSTRUMENT_ID}, DAY)
PROLOGUES = st.one_of(
    st.sampled_from(
        [b"", b"D", b"DBN", b"DBN\x01", b"DBN\x03\xff\xff\xff\xff", b"DBZ\x01", b"\x28\xb5\x2f\xfd", HEAD[:30], HEAD]
    ),
    st.builds(
        lambda version, length: b"DBN" + bytes([version]) + length.to_bytes(4, "little"), st.integers(0, 9), st.integers(0, 400)
    ),
)


@given(PROLOGUES, st.binary(max_size=600), st.booleans(), st.sampled_from([1, 3, CHUNK_RECORDS]))
@fuzz(300)
def test_random_bytes_are_refused_or_read(folder: Path, head: bytes, body: bytes, is_compressed: bool, chunk: int) -> None:
    content = head + body
    path = written(folder, zstandard.compress(content) if is_compressed else content)
    source = refusal_or_source(path)
    if source is not None:
        read_both_ways(path, chunk)


@given(st.binary(min_size=1, max_size=40), st.integers(0, len(HEAD)))
@fuzz(200)
def test_damaged_metadata_is_refused_or_read(folder: Path, damage: bytes, at: int) -> None:
    content = (CASES / "partial_cancels.dbn").read_bytes()
    path = written(folder, content[:at] + damage + content[at + len(damage) :])
    source = refusal_or_source(path)
    if source is not None:
        rows_or_refusal(source)


@cache
def kit_file(name: str) -> bytes:
    return (CASES / f"{name}.dbn").read_bytes()


def flipped(content: bytes, bits: list[float], first: int) -> bytes:
    """The bytes with bits turned over, each place given as a share of what lies behind ``first``."""
    changed = bytearray(content)
    for place in bits:
        bit = int(place * 8 * (len(content) - first))
        changed[first + bit // 8] ^= 1 << bit % 8
    return bytes(changed)


BITS = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6)


@given(st.sampled_from(KIT), BITS, st.sampled_from([1, 2, CHUNK_RECORDS]))
@fuzz(200)
def test_flipped_bits_in_the_kits_records_give_the_bins_of_the_reference(
    folder: Path, name: str, bits: list[float], chunk: int
) -> None:
    content = kit_file(name)
    head = 8 + int.from_bytes(content[4:8], "little")
    path = written(folder, flipped(content, bits, head))
    slow = read_both_ways(path, chunk)
    if slow is None:
        return
    replay = Replay(open_source([path], WIDE, DAY), WIDE, chunk_records=chunk)
    bins = join(replay)
    assert non_finite(bins) == []
    assert lost_of(replay, len(slow.records)) == 0
    is_near = all(abs(r.price - 21_600 * 10**9) < 900 * 10**9 for r in slow.records if r.action in "AM" and r.price != 2**63 - 1)
    if is_near and len(bins.fields) <= MAX_BINS:
        theirs, session = run_reference(WIDE, slow.records)
        assert differences(bins, theirs) == {}
        assert replay.anomalies == {kind: n for kind, n in session.anomalies.items() if n}


@given(st.sampled_from(KIT), BITS, st.booleans())
@fuzz(150)
def test_flipped_bits_anywhere_are_refused_or_replayed(folder: Path, name: str, bits: list[float], is_compressed: bool) -> None:
    content = zstandard.compress(kit_file(name)) if is_compressed else kit_file(name)
    path = written(folder, flipped(content, bits, 0))
    source = refusal_or_source(path)
    if source is None:
        return
    rows = rows_or_refusal(source)
    if rows is None:
        return
    replay = Replay(open_source([path], WIDE, DAY), WIDE)
    assert non_finite(join(replay)) == []
    assert lost_of(replay, len(rows)) == 0


@pytest.mark.parametrize("form", ["dbn", "dbn.zst"])
@pytest.mark.parametrize("name", ["iceberg_hidden_fills", "records_of_other_kinds", "gateway_times"])
def test_a_file_cut_anywhere_is_read_up_to_its_last_whole_record(name: str, form: str, tmp_path: Path) -> None:
    content = kit_file(name)
    whole = read_all(open_source([CASES / f"{name}.dbn"], config_of(SYMBOL), DAY)).tobytes()
    frames = [zstandard.compress(content[i : i + 70]) for i in range(0, len(content), 70)]
    packed = content if form == "dbn" else b"".join(frames)
    lengths = []
    for n in range(len(packed)):
        path = written(tmp_path, packed[:n])
        source = refusal_or_source(path)
        if source is not None:
            rows = read_all(source)
            assert whole.startswith(rows.tobytes())
            assert source.damage or (form == "dbn" and n in record_ends(content))
            lengths.append(len(rows))
    assert len(lengths) > 10
    assert lengths == sorted(lengths)


def record_ends(content: bytes) -> set[int]:
    """Places where a file can be cut and still be whole."""
    at = 8 + int.from_bytes(content[4:8], "little")
    ends = {at}
    while at < len(content):
        at += 4 * content[at]
        ends.add(at)
    return ends


ESM4 = small_config(symbol="ESM4", symbol_root="ES", cell_width_ms=60_000, n_absolute_ticks=8192)
ESM4_FILE = "data/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"


@given(BITS, st.booleans())
@fuzz(25)
def test_flipped_bits_in_a_real_file_lose_no_record(folder: Path, bits: list[float], in_records: bool) -> None:
    packed = shared_path(ESM4_FILE).read_bytes()
    content = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read()
    path = written(
        folder, flipped(content, bits, 8 + int.from_bytes(content[4:8], "little")) if in_records else flipped(packed, bits, 0)
    )
    source = refusal_or_source(path, "ESM4", dt.date(2024, 5, 8))
    if source is None:
        return
    rows = rows_or_refusal(source)
    if rows is None:
        return
    replay = Replay(open_source([path], ESM4, dt.date(2024, 5, 8)), ESM4)
    assert non_finite(join(replay)) == []
    assert lost_of(replay, len(rows)) == 0
    if in_records:
        assert len(rows) == len(read_contract(path.read_bytes(), "ESM4").records)


REAL_FILES = [
    ("data/databento_tests/dbn/test_data.mbo.v3.dbn", "ESH1"),
    ("data/databento_tests/dbn/test_data.mbo.v1.dbn.zst", "ESH1"),
    ("data/databento_tests/dbn/test_data.mbo.dbz", "ESH1"),
    ("data/databento_tests/dbn/test_data.mbp-10.v3.dbn.zst", "ESH1"),
    ("data/databento_tests/test_data.live.dbn.zst", "ESH1"),
]


@pytest.mark.parametrize(("name", "symbol"), REAL_FILES)
@given(bits=BITS)
@fuzz(40)
def test_flipped_bits_in_real_files_of_all_kinds_are_refused_or_replayed(
    folder: Path, name: str, symbol: str, bits: list[float]
) -> None:
    path = written(folder, flipped(shared_path(name).read_bytes(), bits, 0))
    source = refusal_or_source(path, symbol, None)
    if source is None:
        return
    rows = rows_or_refusal(source)
    if rows is None:
        return
    config = small_config(symbol=symbol, cell_width_ms=60_000)
    replay = Replay(open_source([path], config), config)
    assert non_finite(join(replay)) == []
    assert lost_of(replay, len(rows)) == 0
