"""One DBN file: records by their lengths, ids by their days, ends by the file's word; each edge to the nanosecond and byte."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.constants import UNDEF_TIMESTAMP
from engine.errors import SourceError
from engine.schema import MBO_DTYPE
from engine.source.dbn_file import DbnFile
from engine.source.kernels import AT_MAPPING, BROKEN, WALKED, are_all_of, is_plain, walk_records
from engine.source.records import Source, open_source
from tests.streams import DAY, DAY_START, INSTRUMENT_ID, OPEN, SYMBOL, build_up, harmless, record, to_array, write_dbn

CONFIG = load_instrument()
DAY_NS = 86_400 * 10**9
ROWS = to_array([record("A", i, tick=-1, time=i) for i in range(1, 6)])


def walked(data: bytes, room: int = 8) -> tuple[list[int], int, dict[int, int], int]:
    """Order ids copied, bytes used, others passed over by kind, why it ended."""
    out, others = np.zeros(room, MBO_DTYPE), np.zeros(256, np.int64)
    n, used, ended = walk_records(np.frombuffer(data, np.uint8), out.view(np.uint8).reshape(-1, 56), others)
    kinds = {kind: int(others[kind]) for kind in np.flatnonzero(others).tolist()}
    return out["order_id"][:n].tolist(), int(used), kinds, int(ended)


def of_length(words: int, rtype: int = 160, n_bytes: int | None = None) -> bytes:
    """The first row's bytes, of another length or kind."""
    body = bytearray(ROWS[0].tobytes().ljust(4 * words, b"x")[: 4 * words])
    body[0], body[1] = words, rtype
    return bytes(body[:n_bytes])


ONE = ROWS[1].tobytes()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ([], 0, {}, WALKED)),
        (ONE, ([2], 56, {}, WALKED)),
        (ONE[:55], ([], 0, {}, WALKED)),
        (ONE + ONE[:1], ([2], 56, {}, WALKED)),
        (of_length(15) + ONE, ([1, 2], 116, {}, WALKED)),
        (of_length(15, n_bytes=59), ([], 0, {}, WALKED)),
        (of_length(13) + ONE, ([2], 108, {160: 1}, WALKED)),
        (of_length(14, rtype=161) + ONE, ([2], 112, {161: 1}, WALKED)),
        (of_length(4, rtype=23) + of_length(4, rtype=255) + ONE, ([2], 88, {23: 1, 255: 1}, WALKED)),
        (of_length(4) + of_length(5) + ONE, ([2], 92, {160: 2}, WALKED)),
        (ONE + of_length(3, rtype=23), ([2], 56, {}, BROKEN)),
        (ONE + b"\0\xa0", ([2], 56, {}, BROKEN)),
        (of_length(3, n_bytes=2), ([], 0, {}, BROKEN)),
        (ONE + of_length(44, rtype=22) + ONE, ([2], 56, {}, AT_MAPPING)),
        (of_length(44, rtype=22, n_bytes=175), ([], 0, {}, WALKED)),
    ],
    ids=[
        "nothing", "one", "one byte short", "one byte of the next", "longer by a gateway time", "that broken off",
        "shorter than one", "another kind of that length", "the shortest there is", "mbo in name only",
        "an impossible length", "length zero", "an impossible length at once", "a mapping", "a mapping that broke off",
    ],
)  # fmt: skip
def test_bytes_are_cut_by_each_records_own_length(data: bytes, expected: tuple[list[int], int, dict[int, int], int]) -> None:
    assert walked(data) == expected


def test_cutting_stops_where_the_room_is_full() -> None:
    assert walked(ROWS.tobytes(), room=3) == ([1, 2, 3], 168, {}, WALKED)


@pytest.mark.parametrize(("field", "value"), [("rtype", 161), ("length", 15), ("length", 13)])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_one_record_of_another_kind_or_length_is_not_plain(at: int, field: str, value: int) -> None:
    rows = ROWS.copy()
    assert is_plain(rows)
    rows[field][at] = value
    assert not is_plain(rows)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("instrument_id", INSTRUMENT_ID + 1, False),
        ("ts_recv", DAY_START - 1, False),
        ("ts_recv", DAY_START, True),
        ("ts_recv", DAY_START + DAY_NS - 1, True),
        ("ts_recv", DAY_START + DAY_NS, False),
        ("ts_recv", UNDEF_TIMESTAMP, False),
    ],
)
@pytest.mark.parametrize("at", [0, 4])
def test_all_are_of_an_id_and_a_day_or_not(at: int, field: str, value: int, expected: bool) -> None:
    rows = ROWS.copy()
    rows[field][at] = value
    assert bool(are_all_of(rows, INSTRUMENT_ID, np.uint64(DAY_START), np.uint64(DAY_START + DAY_NS))) is expected


@pytest.mark.parametrize(
    ("captured", "happened", "is_kept"),
    [
        (DAY_START - 1, OPEN, False),
        (DAY_START, OPEN, True),
        (DAY_START + DAY_NS - 1, OPEN, True),
        (DAY_START + DAY_NS, OPEN, False),
        (OPEN, DAY_START - 1, True),
        (UNDEF_TIMESTAMP, DAY_START - 1, False),
        (UNDEF_TIMESTAMP, DAY_START, True),
        (UNDEF_TIMESTAMP, DAY_START + DAY_NS - 1, True),
        (UNDEF_TIMESTAMP, DAY_START + DAY_NS, False),
    ],
)
def test_id_counts_by_the_day_of_capture_and_else_by_that_of_the_event(
    captured: int, happened: int, is_kept: bool, tmp_path: Path
) -> None:
    rows = ROWS.copy()
    rows["ts_recv"][2], rows["ts_event"][2] = captured, happened
    found = np.concatenate(list(open_source([write_dbn(tmp_path / "day.dbn", rows)], CONFIG, DAY).records()))
    assert found["order_id"].tolist() == ([1, 2, 3, 4, 5] if is_kept else [1, 2, 4, 5])


def file_of(
    path: Path, spans: list[tuple[str, dt.date, dt.date, str]], rows: NDArray[np.void] = ROWS, end: int | None = None,
    limit: int | None = None,
) -> Path:  # fmt: skip
    """A file with these mappings: (symbol, from, until, what for)."""
    names = sorted({span[0] for span in spans})
    mappings = [
        SimpleNamespace(
            raw_symbol=name,
            intervals=[SimpleNamespace(start_date=a, end_date=b, symbol=to) for n, a, b, to in spans if n == name],
        )
        for name in names
    ]
    head = dbn.Metadata(
        dataset="GLBX.MDP3", start=DAY_START, end=end, limit=limit, stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID, schema=dbn.Schema.MBO, symbols=names, mappings=mappings,
    ).encode()  # fmt: skip
    path.write_bytes(head + rows.tobytes())
    return path


NEXT = DAY + dt.timedelta(days=1)
AFTER = DAY + dt.timedelta(days=2)


def test_mapping_is_read_in_either_direction(tmp_path: Path) -> None:
    ours = (INSTRUMENT_ID, DAY_START, DAY_START + DAY_NS)
    for span in ((SYMBOL, DAY, NEXT, str(INSTRUMENT_ID)), (str(INSTRUMENT_ID), DAY, NEXT, SYMBOL)):
        (mapping,) = DbnFile(file_of(tmp_path / "a.dbn", [span]), SYMBOL).identity.mappings
        assert (mapping.instrument_id, mapping.start_ns, mapping.end_ns) == ours


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ((DAY, NEXT, 1), (NEXT, AFTER, 2), False),
        ((DAY, AFTER, 1), (NEXT, AFTER, 2), True),
        ((DAY, AFTER, 1), (NEXT, AFTER, 1), False),
        ((NEXT, AFTER, 2), (DAY, NEXT, 1), False),
    ],
    ids=["one after the other", "overlapping", "overlapping, of one id", "listed backwards"],
)
def test_contract_has_one_id_a_day(first: tuple, second: tuple, is_refused: bool, tmp_path: Path) -> None:  # type: ignore[type-arg]
    path = file_of(tmp_path / "a.dbn", [(SYMBOL, a, b, str(n)) for a, b, n in (first, second)])
    if is_refused:
        with pytest.raises(SourceError, match="ids 1 and 2 on the same day"):
            DbnFile(path, SYMBOL)
    else:
        assert len(DbnFile(path, SYMBOL).identity.mappings) == 2


@pytest.mark.parametrize(
    ("end", "limit", "expected"),
    [
        (OPEN, None, OPEN),
        (None, None, None),
        (OPEN, 5, None),
        (UNDEF_TIMESTAMP - 1, None, DAY_START + DAY_NS),
        (DAY_START + DAY_NS + 1, None, DAY_START + DAY_NS),
        (DAY_START + DAY_NS - 1, None, DAY_START + DAY_NS - 1),
    ],
)
def test_source_reaches_to_the_last_files_declared_end_within_the_session(
    end: int | None, limit: int | None, expected: int | None, tmp_path: Path
) -> None:
    span = [(SYMBOL, DAY, NEXT, str(INSTRUMENT_ID))]
    last = DbnFile(file_of(tmp_path / "b.dbn", span, end=end, limit=limit), SYMBOL)
    first = DbnFile(file_of(tmp_path / "a.dbn", span, end=OPEN - 7), SYMBOL)
    assert Source([first, last], DAY).end_ns == expected


@pytest.mark.parametrize("broken", ["a", "b"])
def test_broken_file_vouches_for_no_end_once_it_is_read(broken: str, tmp_path: Path) -> None:
    paths = [write_dbn(tmp_path / f"{name}.dbn", ROWS, end_ns=OPEN + 10) for name in "ab"]
    path = tmp_path / f"{broken}.dbn"
    path.write_bytes(path.read_bytes()[:-1])
    source = open_source(paths, CONFIG, DAY)
    assert source.end_ns == OPEN + 10
    assert len(np.concatenate(list(source.records()))) == 9
    assert source.end_ns is None


@pytest.mark.parametrize(
    ("names", "day"),
    [
        (["a-20260206.dbn", "b-20260207.dbn"], dt.date(2026, 2, 7)),
        (["b-20260207.dbn", "plain.dbn"], DAY),
        (["x-20261306.dbn"], DAY),
        (["x-2026-0207.dbn"], dt.date(2026, 2, 7)),
        (["x-19990207.dbn"], DAY),
    ],
    ids=["of the last file", "of its metadata", "no such month", "a dash", "another century"],
)
def test_day_of_a_source(names: list[str], day: dt.date, tmp_path: Path) -> None:
    assert open_source([write_dbn(tmp_path / name, ROWS) for name in names], CONFIG).dt == day


@pytest.mark.parametrize("name", ["day.dbn", "day.dbn.zst"])
@pytest.mark.parametrize("first", range(7))
def test_file_is_entered_at_any_record(first: int, name: str, tmp_path: Path) -> None:
    file = DbnFile(write_dbn(tmp_path / name, ROWS), SYMBOL)
    for chunk in (1, 2, 5):
        ids = [int(i) for block in file.records(chunk, first) for i in block["order_id"]]
        assert ids == [1, 2, 3, 4, 5][first:]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", ["plain", "compressed", "with another kind inside"])
def test_reading_may_begin_anew_at_every_place_told(kind: str, chunk: int, tmp_path: Path) -> None:
    """From each place the rest comes in full, whichever files it lies in, and the changes of id before it are counted."""
    first = to_array([*build_up(1), harmless(1)])
    second = to_array([harmless(2), harmless(3), harmless(4)])
    second["instrument_id"] = 7
    paths = [write_dbn(tmp_path / "a.dbn", first), write_dbn(tmp_path / "b.dbn", second, {SYMBOL: 7})]
    if kind == "compressed":
        for path in paths:
            path.write_bytes(zstandard.compress(path.read_bytes()))
    elif kind == "with another kind inside":
        head = len(paths[1].read_bytes()) - second.nbytes
        content = paths[1].read_bytes()
        paths[1].write_bytes(content[: head + 56] + of_length(10, rtype=23) + content[head + 56 :])
    source = open_source(paths, CONFIG, DAY)
    places, whole = [], []
    for block in source.records(chunk):
        places.append(source.place)
        whole += [(int(r["order_id"]), chr(r["action"])) for r in block]
    assert len(whole) == len(first) + 1 + len(second)  # and a clear of ours
    changes = source.id_changes
    assert changes.count == 1
    for place in places:
        again = [(int(r["order_id"]), chr(r["action"])) for block in source.records(chunk, place) for r in block]
        assert again == whole[place.n_before :]
        assert source.id_changes == changes


def skippable(content: bytes, nibble: int = 0) -> bytes:
    """A zstd frame that holds no data (RFC 8878, section 3.1.2): magic 0x184D2A50 to 5F, length, content."""
    return (0x184D2A50 + nibble).to_bytes(4, "little") + len(content).to_bytes(4, "little") + content


def framed(path: Path, kind: str) -> Path:
    """A compressed file of `ROWS` in more than one frame."""
    plain = write_dbn(path.with_name("plain.dbn"), ROWS).read_bytes()
    parts = [zstandard.compress(part) for part in (plain[:5], plain[5:-70], plain[-70:])]
    if kind == "pzstd":  # each frame's length before it
        parts = [skippable(len(part).to_bytes(4, "little")) + part for part in parts]
    elif kind != "frames":
        content = b"" if kind.startswith("empty") else bytes(range(256)) * 8192  # more than is read at once
        first, second, third = parts
        parts = [skippable(content, 15), skippable(content), first, skippable(content, 7), second, third, skippable(content, 1)]
    path.write_bytes(b"".join(parts))
    return path


KINDS = ["frames", "pzstd", "empty skippable frames", "long skippable frames"]


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_file_may_come_in_frames_with_others_between_that_hold_no_data(kind: str, tmp_path: Path) -> None:
    path = framed(tmp_path / "day.dbn.zst", kind)
    file = DbnFile(path, SYMBOL)
    assert [int(i) for block in file.records(100) for i in block["order_id"]] == [1, 2, 3, 4, 5]
    assert file.is_compressed
    assert file.notices == []


@pytest.mark.parametrize("kind", KINDS[:2])
def test_every_cut_of_a_file_in_frames_is_one_line_or_read_to_the_last_whole_record(kind: str, tmp_path: Path) -> None:
    path = framed(tmp_path / "day.dbn.zst", kind)
    whole = path.read_bytes()
    for n in range(4, len(whole)):  # below that it is no compressed file
        path.write_bytes(whole[:n])
        ids: list[int] = []
        try:
            file = DbnFile(path, SYMBOL)
            ids = [int(i) for block in file.records(100) for i in block["order_id"]]
            (told,) = file.notices
        except SourceError as error:
            told = str(error)
        assert "breaks off" in told, n
        assert "\n" not in told
        assert ids == [1, 2, 3, 4, 5][: len(ids)]


def test_legacy_file_is_told_by_what_its_first_frame_holds(tmp_path: Path) -> None:
    path = tmp_path / "day.dbn.zst"
    path.write_bytes(skippable(b"DBZ\x01GLBX") + zstandard.compress(ROWS.tobytes()))
    with pytest.raises(SourceError, match="legacy DBZ"):
        DbnFile(path, SYMBOL)
    path.write_bytes(skippable(b"DBX") + zstandard.compress(ROWS.tobytes()))
    with pytest.raises(SourceError, match="is not a DBN file"):
        DbnFile(path, SYMBOL)
