"""The gateway's live protocol, spoken to by the vendor's own client; raw sockets where that client would hide what came."""

import hashlib
import logging
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databento as db
import databento_dbn as dbn
import numpy as np
import pytest
from databento.common.error import BentoError
from numpy.typing import NDArray

from engine.constants import F_BAD_TS_RECV, F_LAST, F_SNAPSHOT
from engine.source.dbn_file import DbnFile
from tests.feed import DATASET, FIRST, H6, KEY, M6, SECOND, Heard, Running, rows_of, running, small_book, start_ns, two_days
from tests.streams import SYMBOL, record, to_array, write_dbn

ROWS = np.concatenate([rows_of(FIRST), rows_of(SECOND)])
OF_H6 = ROWS[ROWS["instrument_id"] == H6]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return two_days(tmp_path_factory.mktemp("files"))


@pytest.fixture
def gateway(files: list[Path], tmp_path: Path) -> Iterator[Running]:
    with running(files, tmp_path / "work", closes_at_end=True) as one:
        yield one


@pytest.fixture(autouse=True)
def quiet_client(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("databento").setLevel(logging.CRITICAL)


def played(gateway: Running, symbols: Any = "MNQH6", **given: Any) -> Heard:
    """A session to its end, whatever that is."""
    client = gateway.live(**{name: given.pop(name) for name in ("ts_out", "compression") if name in given})
    heard = Heard(client)
    client.subscribe(DATASET, "mbo", symbols, **given)
    client.start()
    try:
        client.block_for_close(timeout=20)
    except BentoError as error:
        heard.records.append(error)
    return heard


def rows(heard: Heard) -> NDArray[np.void]:
    """The mbo records that came, as they lie in a file."""
    return np.frombuffer(b"".join(bytes(one)[:56] for one in heard.of(dbn.MBOMsg)), ROWS.dtype)


def test_a_session_is_the_file_bit_for_bit(gateway: Running) -> None:
    heard = played(gateway)
    assert rows(heard).tobytes() == OF_H6.tobytes()
    (mapping,) = heard.of(dbn.SymbolMappingMsg)
    assert (mapping.instrument_id, mapping.stype_in_symbol, mapping.stype_out_symbol) == (H6, "MNQH6", "MNQH6")
    assert [one.code for one in heard.of(dbn.SystemMsg)] == [dbn.SystemCode.SUBSCRIPTION_ACK]
    assert not isinstance(heard.records[0], dbn.MBOMsg)


def test_what_came_over_the_wire_is_a_file_for_the_engine(gateway: Running, tmp_path: Path) -> None:
    """Its metadata name nobody; whose records they are stands in the mapping record before them."""
    path = tmp_path / "recorded.dbn"
    with raw(gateway) as sock:
        log_in(sock)
        sock.sendall(b"schema=mbo|stype_in=parent|symbols=MNQ.FUT|snapshot=0|id=0|is_last=1\nstart_session=0\n")
        path.write_bytes(b"".join(iter(lambda: sock.recv(1 << 16), b"")))
    assert np.concatenate(list(DbnFile(path, "MNQH6").records(1000))).tobytes() == OF_H6.tobytes()


@pytest.mark.parametrize("given", [{"compression": dbn.Compression.ZSTD}, {"ts_out": True}])
def test_compressed_and_stamped_sessions_are_the_same_records(given: dict[str, Any], gateway: Running) -> None:
    heard = played(gateway, **given)
    found = rows(heard).copy()
    if "ts_out" in given:
        assert {one.ts_out >= one.ts_recv for one in heard.of(dbn.MBOMsg)} == {True}
        assert set(found["length"]) == {16}
        found["length"] = 14
    assert found.tobytes() == OF_H6.tobytes()


@pytest.mark.parametrize(
    ("symbols", "stype_in", "ids"),
    [("MNQ.FUT", "parent", None), ("MNQ.c.1", "continuous", {M6}), (str(H6), "instrument_id", {H6})],
)
def test_other_symbols_stand_for_the_same_records(symbols: str, stype_in: str, ids: set[int] | None, gateway: Running) -> None:
    expected = ROWS if ids is None else ROWS[np.isin(ROWS["instrument_id"], list(ids))]
    assert rows(played(gateway, symbols, stype_in=stype_in)).tobytes() == expected.tobytes()


def test_replay_begins_with_the_first_record_of_that_event_time(gateway: Running) -> None:
    start = int(OF_H6["ts_event"][100])
    for at, first in ((start, 100), (start - 1, 100), (start + 1, 101), (0, 0)):
        assert rows(played(gateway, start=at)).tobytes() == OF_H6[first:].tobytes()


def test_as_fast_as_the_reader_the_market_waits_for_who_comes_again(gateway: Running) -> None:
    gateway.fault("close@live.records:after=50")
    assert len(rows(played(gateway))) == 50
    again = rows(played(gateway))
    assert again.tobytes() == OF_H6[50:].tobytes()
    replayed = played(gateway, start=int(OF_H6["ts_event"][49]))
    assert rows(replayed).tobytes() == OF_H6[49:].tobytes()
    assert dbn.SystemCode.REPLAY_COMPLETED in {one.code for one in replayed.of(dbn.SystemMsg)}


def test_snapshot_is_the_book_in_its_documented_form(tmp_path: Path) -> None:
    """By hand: 1000 has 3 of 5 left, 1002 went to the end of its price with 9, 1004 is gone, 2000 came last."""
    with running([small_book(tmp_path)], tmp_path / "work", closes_at_end=True) as gateway:
        played(gateway, SYMBOL)  # the tape has been played to its end
        heard = played(gateway, SYMBOL, snapshot=True)
    clear, *orders = heard.of(dbn.MBOMsg)
    assert (clear.action, clear.side, clear.order_id, clear.size) == ("R", "N", 0, 0)
    assert clear.ts_event == orders[0].ts_event
    plain = F_SNAPSHOT | F_BAD_TS_RECV
    assert [one.flags for one in (clear, *orders)] == [plain] * len(orders) + [plain | F_LAST]
    assert {one.action for one in orders} == {"A"}
    resting = {one.order_id: one.size for one in orders}
    expected = {1000: 3, **{1001 + 2 * i: 5 for i in range(6)}, **{1006 + 2 * i: 5 for i in range(3)}, 2000: 7, 1002: 9}
    assert resting == expected
    assert list(resting)[-2:] == [2000, 1002]


def test_the_wall_clock_releases_records_and_heartbeats_fill_silence(files: list[Path], tmp_path: Path) -> None:
    """At 0.01 times real time the second of two records that are 20 ms apart is not due for two seconds."""
    with running(files, tmp_path / "work", speed=0.01, heartbeat_s=0.05) as gateway:
        client = gateway.live()
        heard = Heard(client)
        client.subscribe(DATASET, "mbo", "MNQH6")
        client.start()
        heard.wait(dbn.SystemMsg, 3)
        client.terminate()
    told = [one for one in heard.of(dbn.SystemMsg) if one.is_heartbeat()]
    assert len(told) == 2
    assert len(heard.of(dbn.MBOMsg)) < 3


# Faults.


@pytest.mark.parametrize("kind", ["close", "cut", "reset", "error"])
def test_a_session_ends_where_it_was_told_to(kind: str, gateway: Running) -> None:
    fault = gateway.fault(f"{kind}@live.records:after=123")
    heard = played(gateway)
    assert fault.hit.is_set()
    n = len(rows(heard))
    assert n == 123 if kind != "reset" else n <= 123  # a reset takes what was under way with it
    assert [one.code for one in heard.of(dbn.ErrorMsg)] == ([dbn.ErrorCode.INTERNAL_ERROR] if kind == "error" else [])


def test_doubled_swapped_and_omitted_records(gateway: Running) -> None:
    gateway.fault("duplicate@live.records:after=10,records=3")
    gateway.fault("swap@live.records:after=20")
    gateway.fault("omit@live.records:after=30,records=4")
    order = [*range(13), *range(10, 20), 21, 20, *range(22, 30), *range(34, len(OF_H6))]
    assert rows(played(gateway)).tobytes() == OF_H6[order].tobytes()


def test_a_fault_may_wait_for_a_later_session(gateway: Running) -> None:
    gateway.fault("close@live.records:after=5,skip=1")
    assert len(rows(played(gateway))) == len(OF_H6)
    assert len(rows(played(gateway, start=0))) == 5


def test_ignored_start_and_aged_out_replay(gateway: Running) -> None:
    played(gateway)
    gateway.fault("late_start@live.subscribe")
    assert len(rows(played(gateway, start=0))) == 0
    gateway.fault("aged_out@live.subscribe:seconds=1")
    heard = played(gateway, start=0)
    assert [one.code for one in heard.of(dbn.ErrorMsg)] == [dbn.ErrorCode.REPLAY_DATA_AGED_OUT]
    kept = int(ROWS["ts_recv"][-1]) - 10**9
    assert rows(heard).tobytes() == OF_H6[OF_H6["ts_event"] >= kept].tobytes()
    assert len(rows(heard)) > 0


@pytest.mark.parametrize("kind", ["stall", "quiet"])
def test_silence_with_and_without_heartbeats(kind: str, files: list[Path], tmp_path: Path) -> None:
    with running(files, tmp_path / "work", heartbeat_s=0.05) as gateway:
        fault = gateway.fault(f"{kind}@live.records:after=10")
        client = gateway.live()
        heard = Heard(client)
        client.subscribe(DATASET, "mbo", "MNQH6")
        client.start()
        heard.wait(dbn.MBOMsg, 10)
        assert fault.hit.wait(10)
        if kind == "quiet":
            heard.wait(dbn.SystemMsg, 3)
        client.terminate()
    assert len(heard.of(dbn.MBOMsg)) == 10
    assert any(one.is_heartbeat() for one in heard.of(dbn.SystemMsg)) == (kind == "quiet")


@pytest.mark.parametrize("behavior", ["warn", "skip"])
def test_a_slow_reader_is_warned_or_skips(behavior: str, gateway: Running) -> None:
    gateway.fault("slow_reader@live.records:after=10")
    client = gateway.live(slow_reader_behavior=behavior)
    heard = Heard(client)
    client.subscribe(DATASET, "mbo", "MNQH6")
    client.start()
    client.block_for_close(timeout=20) if behavior == "warn" else heard.wait(dbn.ErrorMsg, 1)
    client.terminate()
    codes = [one.code for one in heard.of(dbn.SystemMsg)]
    assert (dbn.SystemCode.SLOW_READER_WARNING in codes) == (behavior == "warn")
    errors = [one.code for one in heard.of(dbn.ErrorMsg)]
    assert errors == ([dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING] if behavior == "skip" else [])


def test_a_reader_that_does_not_read_is_found_slow(tmp_path: Path) -> None:
    """More records than the buffers of both sides hold, and nobody reads until the gateway has been kept waiting."""
    many = to_array([record("A", i + 1, time=i * 1000) for i in range(200)] * 500)
    path = write_dbn(tmp_path / "many.dbn", many)
    options = {"speed": 1e6, "slow_after_s": 0.05, "closes_at_end": True}
    with running([path], tmp_path / "work", **options) as gateway, raw(gateway, rcvbuf=4096) as sock:
        log_in(sock)
        sock.sendall(f"schema=mbo|stype_in=raw_symbol|symbols={SYMBOL}|start=|snapshot=0|id=0|is_last=1\n".encode())
        sock.sendall(b"start_session=0\n")
        select.select([], [], [], 0.3)  # that nobody reads for so long is what is tested
        came = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert b"after slow reading" in came


# What the client never shows.


class raw:
    """A plain connection to the live port."""

    def __init__(self, gateway: Running, rcvbuf: int | None = None) -> None:
        self._where = gateway.ready.live_host, gateway.ready.live_port
        self._rcvbuf = rcvbuf

    def __enter__(self) -> socket.socket:
        self._sock = socket.socket()
        if self._rcvbuf:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._rcvbuf)
        self._sock.settimeout(10)
        self._sock.connect(self._where)
        return self._sock

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def lines(sock: socket.socket, n: int) -> list[str]:
    came = b""
    while came.count(b"\n") < n:
        piece = sock.recv(4096)
        if not piece:
            break
        came += piece
    return came.decode().splitlines()


def log_in(sock: socket.socket, key: str = KEY, more: str = "") -> str:
    """Answer the challenge as the vendor's page says: SHA-256 of challenge|key, then the key's last five letters."""
    version, challenge = lines(sock, 2)
    assert version.startswith("lsg_version=")
    digest = hashlib.sha256(f"{challenge.removeprefix('cram=')}|{key}".encode()).hexdigest()
    sock.sendall(f"auth={digest}-{key[-5:]}|dataset={DATASET}|encoding=dbn|ts_out=0{more}\n".encode())
    return lines(sock, 1)[0]


def test_challenges_differ_and_the_right_answer_opens(gateway: Running) -> None:
    with raw(gateway) as one, raw(gateway) as other:
        assert log_in(one).startswith("success=1|session_id=")
        assert lines(other, 2)[1].startswith("cram=")


def test_a_wrong_key_and_another_dataset_are_refused(gateway: Running) -> None:
    with raw(gateway) as sock:
        assert log_in(sock, "db-anotheranotheranother-ABCDE") == "success=0|error=Authentication failed."
        assert sock.recv(10) == b""
    with pytest.raises(BentoError, match="Authentication failed"):
        db.Live("db-wrong", gateway=gateway.ready.live_host, port=gateway.ready.live_port).subscribe(DATASET, "mbo", "MNQH6")
    with pytest.raises(BentoError, match="Unknown dataset"):
        gateway.live().subscribe("XNAS.ITCH", "mbo", "MNQH6")


@pytest.mark.parametrize("fault", ["refuse@live.greeting", "auth@live.auth"])
def test_a_connection_is_refused(fault: str, gateway: Running) -> None:
    ordered = gateway.fault(fault)
    with raw(gateway) as sock:
        if fault.startswith("refuse"):
            assert sock.recv(10) == b""
        else:
            assert log_in(sock).startswith("success=0|error=")
    assert ordered.hit.is_set()


@pytest.mark.parametrize("line", [b"nonsense\n", b"\xff\xfe\n", b"=\n"])
def test_who_does_not_speak_the_protocol_is_let_go(line: bytes, gateway: Running) -> None:
    with raw(gateway) as sock:
        lines(sock, 2)
        sock.sendall(line)
        rest = b"".join(iter(lambda: sock.recv(4096), b""))
    assert rest == b"" or rest.startswith(b"success=0")


def test_half_close_and_garbage_on_the_wire(gateway: Running) -> None:
    subscribe = b"schema=mbo|stype_in=raw_symbol|symbols=MNQH6|snapshot=0|id=0|is_last=1\nstart_session=0\n"
    gateway.fault("half_close@live.records:after=10")
    with raw(gateway) as sock:
        log_in(sock)
        sock.sendall(subscribe)
        came = b"".join(iter(lambda: sock.recv(4096), b""))
        sock.sendall(b"still=heard\n")  # theirs is still read
    assert came.endswith(OF_H6[:10].tobytes())
    gateway.fault("garbage@live.records:after=10")
    with raw(gateway) as sock:
        log_in(sock)
        sock.sendall(subscribe.replace(b"|snapshot", b"|start=0|snapshot"))
        came = b"".join(iter(lambda: sock.recv(4096), b""))
    at = came.index(b"\x01" + b"\xff" * 15)
    assert came[:at].endswith(OF_H6[:10].tobytes())


def test_unknown_symbols_and_schemas_are_error_records(gateway: Running) -> None:
    assert [one.code for one in played(gateway, "ESH6").of(dbn.ErrorMsg)] == [dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED]
    client = gateway.live()
    heard = Heard(client)
    client.subscribe(DATASET, "trades", "MNQH6")
    client.start()
    with pytest.raises(BentoError):
        client.block_for_close(timeout=20)
    assert [one.code for one in heard.of(dbn.ErrorMsg)] == [dbn.ErrorCode.INVALID_SUBSCRIPTION]


def test_metadata_name_no_symbol_and_begin_at_the_markets_time(gateway: Running) -> None:
    client = gateway.live()
    Heard(client)
    client.subscribe(DATASET, "mbo", "MNQH6")
    client.start()
    client.block_for_close(timeout=20)
    with raw(gateway) as sock:
        log_in(sock)
        sock.sendall(b"start_session=0\n")
        came = sock.recv(1 << 16)
    head = dbn.Metadata.decode(came[: 8 + int.from_bytes(came[4:8], "little")])
    assert (head.schema, head.stype_in, head.symbols, head.mappings) == (None, None, [], {})
    assert start_ns(SECOND) <= head.start < start_ns(SECOND) + 86_400 * 10**9
