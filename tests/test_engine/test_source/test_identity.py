"""Whose records a file holds: taken where it says so, refused where it says otherwise, or nothing, or two things."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.audit.raw_file import check_raw
from engine.cli import main
from engine.config import load_instrument
from engine.dataset.capture import publish_variant
from engine.dataset.notebook import publish
from engine.errors import SourceError
from engine.lake import Lake
from engine.schema import MBO_DTYPE
from engine.source.identity import means
from engine.source.records import Source, open_source
from tests.conftest import shared_path
from tests.fuzzing import fuzz
from tests.reference_source import Refused, read_contract
from tests.streams import DAY, OPEN, SYMBOL, build_up, record, to_array

CONFIG = load_instrument()
ROWS = to_array([*build_up(), *(record("A", i, tick=-1 - i % 5, time=i * 1_000_000) for i in range(1, 40))])
RAW, PARENT, CONTINUOUS, ID = dbn.SType.RAW_SYMBOL, dbn.SType.PARENT, dbn.SType.CONTINUOUS, dbn.SType.INSTRUMENT_ID


def of(number: int, rows: NDArray[np.void] = ROWS) -> NDArray[np.void]:
    """The same records under an id."""
    changed = rows.copy()
    changed["instrument_id"] = number
    return changed


def says(number: int, name: str, asked: str | None = None, how: dbn.SType = RAW) -> bytes:
    """A live gateway's mapping record."""
    return bytes(dbn.SymbolMappingMsg(1, number, OPEN - 10**9, how, asked or name, RAW, name, 0, 2**64 - 1))


def says_v1(number: int, name: str) -> bytes:
    return bytes(dbn.SymbolMappingMsgV1(1, number, OPEN - 10**9, name, name, 0, 2**64 - 1))


def head(symbols: Sequence[str] = (), how: dbn.SType | None = None, **more: Any) -> bytes:
    """Metadata that map nothing, as a live recording's."""
    start = more.pop("start", OPEN - 10**9)
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=start,
        stype_in=how,
        stype_out=ID,
        schema=None,
        symbols=list(symbols),
        **{"mappings": []} | more,
    ).encode()


def mapped(**ids: int) -> list[SimpleNamespace]:
    """Mappings on DAY."""
    return [
        SimpleNamespace(
            raw_symbol=name,
            intervals=[SimpleNamespace(start_date=DAY, end_date=DAY + dt.timedelta(1), symbol=str(number))],
        )
        for name, number in ids.items()
    ]


MNQ, MNQM, ES = says(1, SYMBOL), says(2, "MNQM6"), says(1, "ESH6")
A, B = of(1).tobytes(), of(2).tobytes()
BOTH = b"".join(one.tobytes() for pair in zip(of(1), of(2), strict=True) for one in pair)
LIVE = head()

# What is in the file, and how many of the 2 x 52 records are the contract's.
TAKEN = {
    "a live recording that says so": LIVE + MNQ + A,
    "in the words of version 1": LIVE + says_v1(1, SYMBOL) + A,
    "again after a reconnection": LIVE + MNQ + A[: 56 * 20] + MNQ + A[56 * 20 :],
    "asked for by its root": LIVE + says(1, SYMBOL, "MNQ.FUT", PARENT) + A,
    "asked for as the first by volume": LIVE + says(1, SYMBOL, "MNQ.v.0", CONTINUOUS) + A,
    "two contracts, both named": LIVE + MNQ + MNQM + BOTH,
    "two contracts, the other one named first": LIVE + MNQM + MNQ + BOTH,
    "two contracts, the other one not named": LIVE + MNQ + BOTH,
    "another contract's records come before it is named": LIVE + MNQM + B + MNQ + A,
    "asked for as it, and one instrument": head([SYMBOL], RAW) + A,
    "asked for as it, and named so": head([SYMBOL], RAW) + MNQ + A,
    "asked for both, and both named": head([SYMBOL, "MNQM6"], RAW) + MNQ + MNQM + BOTH,
    "asked for on part of the days": head(how=RAW, partial=[SYMBOL]) + A,
    "mapped, and named so": head([SYMBOL], RAW, mappings=mapped(MNQH6=1)) + MNQ + A,
    "mapped, and the other one not found": head([SYMBOL], RAW, mappings=mapped(MNQH6=1), not_found=["MNQM6"]) + A,
    "mapped beside another": head([SYMBOL, "MNQM6"], RAW, mappings=mapped(MNQH6=1, MNQM6=2)) + BOTH,
}
REFUSED = {
    "a live recording that says another": (LIVE + ES + A, ["ESH6", SYMBOL]),
    "another in the words of version 1": (LIVE + says_v1(1, "ESH6") + A, ["ESH6", SYMBOL]),
    "another that was asked for by its root": (LIVE + says(1, "ESH6", "ES.FUT", PARENT) + A, ["ESH6", SYMBOL]),
    "another, said in the middle": (head([SYMBOL], RAW) + A[: 56 * 20] + ES + A[56 * 20 :], ["id 1", "ESH6"]),
    "another, said at the end": (head([SYMBOL], RAW) + A + ES, ["id 1", "ESH6"]),
    "one id, two names": (LIVE + MNQ + ES + A, ["id 1", "ESH6", SYMBOL]),
    "one id, two names, the other way round": (LIVE + ES + MNQ + A, ["id 1", "ESH6", SYMBOL]),
    "asked for as another": (head(["ESH6"], RAW) + A, ["ESH6", SYMBOL]),
    "asked for by another root": (head(["ES.FUT"], PARENT) + A, ["ES.FUT", SYMBOL]),
    "asked for as another on part of the days": (head(how=RAW, partial=["ESH6"]) + A, ["ESH6", SYMBOL]),
    "asked for as another, not found": (head(["ESH6"], RAW, not_found=[SYMBOL]) + A, [SYMBOL, "not found"]),
    "not found": (head([SYMBOL], RAW, not_found=[SYMBOL]) + A, [SYMBOL, "not found"]),
    "mapped, but not found": (head([SYMBOL], RAW, mappings=mapped(MNQH6=1), not_found=[SYMBOL]) + A, [SYMBOL, "not found"]),
    "mapped, but named as another": (head([SYMBOL], RAW, mappings=mapped(MNQH6=1)) + ES + A, ["id 1", "ESH6"]),
    "mapped to one id, named as another": (head([SYMBOL], RAW, mappings=mapped(MNQH6=2)) + MNQ + BOTH, [SYMBOL, "to 1"]),
    "mapped, but asked for as another": (head(["ESH6"], RAW, mappings=mapped(MNQH6=1)) + A, ["ESH6", SYMBOL]),
    "asked for two, neither named": (head([SYMBOL, "ESH6"], RAW) + A, [SYMBOL, "ESH6"]),
    "two instruments, neither named": (head([SYMBOL], RAW) + BOTH, ["1", "2", SYMBOL]),
    "nothing is said": (LIVE + A, ["nowhere", "instrument 1", "--assume-symbol", SYMBOL]),
    "asked for all there is": (head(["ALL_SYMBOLS"], RAW) + A, ["nowhere"]),
    "asked for by its root, and not named": (head(["MNQ.FUT"], PARENT) + A, ["nowhere"]),
    "named after its records": (LIVE + MNQM + A + MNQ + A, ["too late", "id 1"]),
    "two ids at once": (LIVE + MNQ + says(2, SYMBOL) + BOTH, ["id 1", "id 2"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("said")


def written(folder: Path, content: bytes, is_compressed: bool = False) -> Path:
    path = folder / ("live-20260206.dbn.zst" if is_compressed else "live-20260206.dbn")
    path.write_bytes(zstandard.compress(content) if is_compressed else content)
    return path


def read_all(source: Source, chunk: int = 4096) -> bytes:
    return b"".join(part.tobytes() for part in source.records(chunk))


@pytest.mark.parametrize("chunk", [1, 4096])
@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("case", TAKEN)
def test_the_contracts_records_are_taken(case: str, is_compressed: bool, chunk: int, tmp_path: Path) -> None:
    source = open_source([written(tmp_path, TAKEN[case], is_compressed)], CONFIG)
    assert read_all(source, chunk) == A
    assert (source.damage, source.remarks, source.id_changes.count) == ([], [], 0)


@pytest.mark.parametrize("case", REFUSED)
def test_others_are_refused_in_one_line_that_says_why(case: str, tmp_path: Path) -> None:
    content, words = REFUSED[case]
    path = written(tmp_path, content)
    for chunk in (1, 4096):
        with pytest.raises(SourceError) as error:
            read_all(open_source([path], CONFIG), chunk)
        text = str(error.value)
        assert text.isprintable()
        assert [word for word in [str(path), *words] if word not in text] == []
        assert "ownload it again" not in text  # nobody can record a day again


@pytest.mark.parametrize("case", [*TAKEN, *(name for name in REFUSED if "root" not in name and "ALL" not in name)])
def test_the_plain_reading_agrees(case: str) -> None:
    if case in TAKEN and "root" not in case and "volume" not in case:  # it knows no roots
        assert len(read_contract(TAKEN[case], SYMBOL).records) == len(ROWS)
    elif case in REFUSED:
        with pytest.raises(Refused):
            read_contract(REFUSED[case][0], SYMBOL)


IDS = st.integers(1, 3)
SAID = st.tuples(IDS, st.sampled_from([SYMBOL, SYMBOL, "MNQM6", "ESH6"])).map(lambda one: says(*one))
CAME = st.tuples(IDS, st.integers(1, 3)).map(lambda one: of(one[0], ROWS[: one[1]]).tobytes())
HEADS = st.sampled_from(
    [LIVE, LIVE, head([SYMBOL], RAW), head([SYMBOL, "ESH6"], RAW), head([SYMBOL], RAW, mappings=mapped(MNQH6=1))]
)


@given(HEADS, st.lists(st.one_of(SAID, CAME), max_size=8), st.booleans(), st.sampled_from([1, 2, 4096]))
@fuzz(300)
def test_whatever_is_said_when_both_readings_take_the_same_or_refuse(
    folder: Path, start: bytes, parts: list[bytes], is_assumed: bool, chunk: int
) -> None:
    path = written(folder, start + b"".join(parts))
    try:
        slow = read_contract(path.read_bytes(), SYMBOL, is_assumed)
    except Refused:
        with pytest.raises(SourceError):
            read_all(open_source([path], CONFIG, assumes_symbol=is_assumed), chunk)
        return
    rows = np.frombuffer(read_all(open_source([path], CONFIG, assumes_symbol=is_assumed), chunk), MBO_DTYPE)
    kept = [(r.instrument_id, r.order_id, r.action) for r in slow.records]
    assert [(int(r["instrument_id"]), int(r["order_id"]), chr(r["action"])) for r in rows] == kept


def test_an_id_that_changes_within_a_recording_is_followed(tmp_path: Path) -> None:
    source = open_source([written(tmp_path, LIVE + MNQ + A + says(2, SYMBOL) + of(2).tobytes())], CONFIG)
    assert read_all(source) == A + B
    assert source.id_changes.count == 1


@pytest.mark.parametrize(("before_midnight_ns", "is_taken"), [(1, True), (0, False)])
def test_at_midnight_a_mapping_ends(before_midnight_ns: int, is_taken: bool, tmp_path: Path) -> None:
    """The contract is id 1 on one day and 2 on the next: a record of midnight must name id 2."""
    next_day = DAY + dt.timedelta(1)
    intervals = [
        SimpleNamespace(start_date=DAY, end_date=next_day, symbol="1"),
        SimpleNamespace(start_date=next_day, end_date=next_day + dt.timedelta(1), symbol="2"),
    ]
    midnight = int(dt.datetime.combine(next_day, dt.time(), dt.UTC).timestamp()) * 10**9
    word = bytes(dbn.SymbolMappingMsg(1, 1, midnight - before_midnight_ns, RAW, SYMBOL, RAW, SYMBOL, 0, 2**64 - 1))
    metadata = head([SYMBOL], RAW, mappings=[SimpleNamespace(raw_symbol=SYMBOL, intervals=intervals)])
    path = written(tmp_path, metadata + A + word)
    if is_taken:
        assert read_all(open_source([path], CONFIG)) == A
    else:
        with pytest.raises(SourceError, match="to another id in its metadata than to 1"):
            read_all(open_source([path], CONFIG))


def test_a_recording_without_a_word_is_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    source = open_source([written(tmp_path, LIVE + A)], CONFIG, assumes_symbol=True)
    assert read_all(source) == A
    (remark,) = source.notices
    assert "says nowhere" in remark
    assert source.damage == []


@pytest.mark.parametrize("case", [name for name in REFUSED if name not in ("nothing is said", "asked for all there is")])
def test_what_speaks_for_another_is_refused_also_then(case: str, tmp_path: Path) -> None:
    if case == "asked for by its root, and not named":
        return
    with pytest.raises(SourceError):
        read_all(open_source([written(tmp_path, REFUSED[case][0])], CONFIG, assumes_symbol=True))


def test_two_instruments_without_a_word_are_refused_also_then(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="instruments 1 and 2"):
        read_all(open_source([written(tmp_path, LIVE + BOTH)], CONFIG, assumes_symbol=True))


def test_a_dataset_taken_on_trust_says_so_and_its_variant_is_taken_too(tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    path = written(tmp_path, LIVE + A)
    base = publish(path, "trusted", lake=lake, assume_symbol=True)
    assert base.manifest["assumed_symbol"] is True
    assert "says nowhere" in base.manifest["notices"][0]
    assert publish_variant(lake, "wider", base, {"cell_width_ms": 200}).manifest["assumed_symbol"] is True


def test_records_of_other_kinds_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    heartbeat = bytes(dbn.SystemMsg(OPEN, "Heartbeat"))
    told = bytes(dbn.ErrorMsg(OPEN, "too slow"))
    unknown = bytes([5, 0x7F, 0, 0]) + bytes(16)
    path = written(tmp_path, head(end=OPEN + 10**9) + heartbeat + MNQ + A + told + unknown + heartbeat)
    source = open_source([path], CONFIG)
    assert read_all(source) == A
    assert source.damage == []
    assert source.remarks == [f"{path} holds 4 records that are not mbo (1 error, 2 system, 1 of kind 127); they were left out"]
    assert source.end_ns == OPEN + 10**9  # it is whole, and its word on its end holds


def test_check_calls_a_live_recording_sound(tmp_path: Path) -> None:
    path = written(tmp_path, LIVE + bytes(dbn.SystemMsg(OPEN, "Heartbeat")) + MNQ + MNQM + BOTH)
    report = check_raw(path, CONFIG, keeps_book=False).report
    assert (report["problem"], report["n_records"]) == ("", len(ROWS))
    assert "1 system" in report["remarks"][0]


def test_a_real_live_recording_is_read_as_what_its_gateway_said() -> None:
    path = shared_path("data/databento_tests/test_data.live.dbn.zst")
    assert len(read_all(open_source([path], load_instrument(overrides={"symbol": "ESZ4"}), DAY))) == 5 * 56
    with pytest.raises(SourceError, match="ESZ4, not the locked contract"):
        read_all(open_source([path], CONFIG, DAY))


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        (SYMBOL, True),
        ("MNQM6", False),
        ("MNQH6-MNQM6", False),
        ("MNQ.FUT", None),
        ("MNQ.c.0", None),
        ("MNQ.v.1", None),
        ("NQ.FUT", False),
        ("MN.FUT", False),
        ("MNQH.FUT", False),
        ("ALL_SYMBOLS", None),
        ("42004000", None),
        ("", None),
        ("mnqh6", False),
    ],
)
def test_what_a_name_means(name: str, is_it: bool | None) -> None:
    assert means(name, SYMBOL) is is_it


def test_flag_is_taken_by_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(tmp_path, LIVE + A))
    assert main(["book", path]) == 2
    assert "--assume-symbol" in capsys.readouterr().err
    assert main(["book", path, "--assume-symbol", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_events"] == len(ROWS)
    assert main(["check", path, "--json"]) == 1
    assert "nowhere" in json.loads(capsys.readouterr().out)["raw"][0]["problem"]
    assert main(["check", path, "--assume-symbol"]) == 0
    assert "are taken as MNQH6" in capsys.readouterr().out
    assert main(["replay", "--dbn", path, "--out", str(tmp_path / "a")]) == 2
    assert main(["replay", "--dbn", path, "--out", str(tmp_path / "a"), "--assume-symbol"]) == 0
