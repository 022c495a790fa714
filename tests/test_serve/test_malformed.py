"""One real service against a table of malformed requests, hosts, origins, tokens, frames; and a stream next door meanwhile."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.guard import HEADERS
from serve.settings import ServeSettings
from serve.wire_check import FrameChecker
from tests.conftest import REPO_ROOT
from tests.test_serve.malformed import CONTROL, LISTED_HOST, LISTED_ORIGIN, STREAM_PATH, TOKEN, Row, handshake
from tests.test_serve.malformed_streams import FAMILIES, rows
from tests.test_serve.server import Running, serving

WAIT_S = 15.0
LEAKS = ("Traceback", 'File "', "site-packages", ".py", str(REPO_ROOT), "root:")


class Wire:
    """One raw connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._kept = b""

    def close(self) -> None:
        self._socket.close()

    def say(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer can be read all the same
            self._socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """All up to an end, which belongs to it; what came where the server closes before."""
        while end not in self._kept and (data := self._socket.recv(1 << 16)):
            self._kept += data
        head, found, self._kept = self._kept.partition(end)
        return head + found

    def rest(self) -> bytes:
        while data := self._socket.recv(1 << 16):
            self._kept += data
        return self._kept

    def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame of a server; RFC 6455, section 5.2."""
        first, length = self._exactly(2)
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8), "big")
        return first & 0x0F, self._exactly(length)

    def _exactly(self, n: int) -> bytes:
        while len(self._kept) < n:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the server closed in the middle of a frame")
            self._kept += data
        data, self._kept = self._kept[:n], self._kept[n:]
        return data


class Came(Exception):
    """What a row came to; the text is all that the server said."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(code, said)
        self.code, self.said = code, said


def outcome(port: int, row: Row) -> Came:
    with closing(Wire(port)) as wire:
        wire.say(row.sent)
        head = wire.until(b"\r\n\r\n").decode("latin-1")
        if not head:
            return Came(-1, "nothing was answered")
        status = int(head.split(" ")[1])
        if status != 101:
            return Came(status, head + wire.rest().decode(errors="replace"))
        return _stream(wire, row)


def _stream(wire: Wire, row: Row) -> Came:
    """Read to the close frame, or until bins follow an error."""
    said, refused, sent = "", False, False
    while True:
        opcode, payload = wire.frame()
        if opcode == 8:
            return Came(int.from_bytes(payload[:2], "big"), said + payload[2:].decode())
        if opcode != 1:
            continue
        values = json.loads(payload)
        if values["type"] == "error":
            said, refused = said + payload.decode(), True
        elif values["type"] == "runtime_config" and not sent:
            if not row.frames:
                return Came(101, "the stream was opened")
            wire.say(row.frames)
            sent = True
        elif values["type"] == "grid_update" and refused:
            return Came(CONTROL, said)


@contextmanager
def next_door(running: Running) -> Iterator[list[int]]:
    """A client that reads its stream, every frame checked, while the block runs; the bins it got."""
    got: list[int] = []
    ended, failed = threading.Event(), list[BaseException]()

    def read(wire: Wire) -> None:
        checker = FrameChecker()
        try:
            while not ended.is_set():
                opcode, payload = wire.frame()
                if opcode == 1:
                    values = json.loads(payload)
                    checker.text(values["type"], payload.decode(), values)
                elif opcode == 2:
                    header = checker.binary(payload)
                    assert header["dropped_bins"] == 0
                    got.append(header["bin_seq"])
        except BaseException as error:
            failed.append(error)

    with closing(Wire(running.port)) as wire:
        wire.say(handshake(f"{STREAM_PATH}?token={TOKEN}"))
        assert b" 101 " in wire.until(b"\r\n\r\n")
        thread = threading.Thread(target=read, args=(wire,))
        thread.start()
        try:
            yield got
        finally:
            ended.set()
            thread.join(WAIT_S)
    assert not failed, failed


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, raw: Path, config: InstrumentConfig) -> Iterator[Running]:
    """A guarded service with a page, beside which lies what nobody may read."""
    home = tmp_path_factory.mktemp("home")
    lake = Lake(home / "lake")
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True)
    (folder / raw.name).symlink_to(raw)
    page = home / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<title>page</title>")
    (page / "assets" / ".hidden").write_text("root:")
    (home / "secret").write_text("root:")
    (page / "link").symlink_to(home / "secret")
    settings = ServeSettings(
        lake=lake, page_dir=page, token=TOKEN, allowed_hosts=(LISTED_HOST,), allowed_origins=(LISTED_ORIGIN,)
    )
    with serving(settings, config) as made:
        yield made


def test_no_two_rows_are_the_same() -> None:
    table = rows()
    assert len(table) >= 500
    assert len({row.name for row in table}) == len({row.sent + row.frames for row in table}) == len(table)
    for family in FAMILIES:
        assert len(list(family())) >= 10


def test_each_malformed_request_gets_its_code_and_nobody_else_feels_it(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong: dict[str, Any] = {}
    leaks: dict[str, str] = {}
    home = str(running.service.settings.lake.root.parent)
    with next_door(running) as bins:
        for row in rows():
            try:
                came = outcome(running.port, row)
            except (OSError, ValueError) as error:
                came = Came(-1, repr(error))
            if came.code != row.code:
                wrong[row.name] = (row.code, came.code, came.said[:200])
            if found := [leak for leak in (*LEAKS, home, TOKEN) if leak in came.said]:
                leaks[row.name] = f"{found}: {came.said[:300]}"
        n_before = len(bins)
    assert wrong == {}
    assert leaks == {}
    assert n_before > 10
    assert bins == list(range(len(bins)))
    log = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    assert TOKEN not in log
    assert [record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


def test_what_is_well_formed_is_let_in(running: Running) -> None:
    for host in (
        "127.0.0.1",
        "127.0.0.1:8002",
        "localhost",
        "LOCALHOST:1",
        "[::1]",
        "[::1]:80",
        "localhost.",
        LISTED_HOST,
        f"{LISTED_HOST}:8443",
    ):
        sent = f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        came = outcome(running.port, Row(host, sent, 200))
        assert came.code == 200, host
        head = came.said.lower()
        for name, value in HEADERS.items():
            assert f"{name}: {value.lower()}\r\n" in head
    for origin in (LISTED_ORIGIN, f"http://127.0.0.1:{running.port}", "http://localhost:5173", "http://[::1]"):
        sent = handshake(STREAM_PATH, f"Authorization: Bearer {TOKEN}", f"Origin: {origin}")
        assert outcome(running.port, Row(origin, sent, 101)).code == 101, origin
