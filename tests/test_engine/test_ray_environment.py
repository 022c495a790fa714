"""Which Ray is meant, and what is said in seconds where none answers or none can start: another program's state is not ours."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError, WorkError
from engine.ray_environment import (
    begin_ray,
    default_address,
    init_arguments,
    require_answer,
    require_room,
    temp_folder,
    with_port,
)

SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # an empty frame of settings, RFC 9113 section 6.5


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Ray of this machine's user shows."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_USE_TLS", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))


@contextmanager
def answering(*sent: bytes) -> Iterator[str]:
    """A server that takes one connection, sends this, and closes when the other side does; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for part in sent:
                    connection.sendall(part)
                while sent and connection.recv(1024):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def closed_port() -> int:
    """A port at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def refused(address: str) -> str:
    with pytest.raises(ConfigError) as error:
        require_answer(address)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("named", "expected"), [(None, "local"), ("", "local"), ("local", "local"), ("auto", "auto"), ("10.0.0.1:6379", "auto")]
)
def test_which_ray_is_meant_where_none_is_named(named: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")  # for jobs, not for drivers
    if named is not None:
        monkeypatch.setenv("RAY_ADDRESS", named)
    assert default_address() == expected


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no such host:6379", "127.0.0.1:port"])
def test_no_cluster_at_the_address_is_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")  # what is given goes first
    mend = "start one (ray start --head, ray up) or use --address local"
    assert refused(address) == f"--address was {address!r}, where no Ray cluster answers; {mend}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_stale_address_of_the_environment_is_told_as_that(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = f"{scheme}127.0.0.1:{closed_port()}"
    monkeypatch.setenv("RAY_ADDRESS", stale)
    assert refused(default_address()) == (
        f"the environment's RAY_ADDRESS was {stale!r}, where no Ray cluster answers; unset RAY_ADDRESS or use --address local"
    )


def test_address_of_a_dashboard_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    told = refused("auto")
    assert told.startswith("the environment's RAY_ADDRESS was 'http://127.0.0.1:8265', the address of a dashboard")
    assert refused("https://127.0.0.1").startswith("--address was 'https://127.0.0.1', the address of a dashboard")


def test_joining_and_starting_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert "RAY_ADDRESS was 'local'" in refused("auto")


def test_note_of_a_cluster_that_ended_is_told_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.ray_environment._runs_here", lambda: False)
    require_answer("auto")  # nothing notes one: Ray itself says so at once
    note = temp_folder() / "ray_current_cluster"
    note.parent.mkdir()
    note.write_text(f"127.0.0.1:{closed_port()}\n")
    assert f"{note} says '127.0.0.1:" in (told := refused("auto"))
    assert "remove that file" in told
    with answering(SETTINGS) as address:
        note.write_text(address)
        require_answer("auto")


@pytest.mark.parametrize(
    ("sent", "is_ray"),
    [
        ((SETTINGS,), True),
        ((SETTINGS[:3], SETTINGS[3:]), True),
        ((b"\0\0\0\7" + SETTINGS[4:],), False),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), False),
        ((b"\0\0\0",), False),
        ((), False),
    ],
    ids=["settings", "settings in parts", "goodbye", "a web server", "part of a frame, then silence", "closed at once"],
)
def test_another_program_at_the_address_is_no_cluster(
    sent: tuple[bytes, ...], is_ray: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.ray_environment.CONNECT_SECONDS", 0.2 if sent == (b"\0\0\0",) else 20.0)
    with answering(*sent) as address:
        if is_ray:
            require_answer(address)
        else:
            assert "no Ray cluster" in refused(address)


def test_encrypted_cluster_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with answering() as address:
        require_answer(address)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("10.0.0.1", "10.0.0.1:6379"),
        ("head", "head:6379"),
        ("[::1]", "[::1]:6379"),
        ("[::1]:1", "[::1]:1"),
        ("head:1", "head:1"),
        ("head:port", "head:port"),
        ("ray://head", "ray://head"),
        ("auto", "auto"),
        ("local", "local"),
    ],
)
def test_head_is_named_with_its_port(given: str, expected: str) -> None:
    assert with_port(given) == expected
    assert init_arguments(given, 1, 0, ())["address"] == expected


def raising(error: Exception) -> Callable[..., Any]:
    def init(**arguments: object) -> None:
        raise error

    return init


def test_ray_that_does_not_start_is_one_line() -> None:
    behind = OSError("AF_UNIX path length cannot exceed 107 bytes")
    error = Exception("The current node\ntimed out")
    error.__cause__ = behind
    with pytest.raises(WorkError) as told:
        begin_ray(raising(error), {"address": "local"})
    assert "\n" not in str(told.value)
    assert "The current node timed out: AF_UNIX path length cannot exceed 107 bytes; its logs are in" in str(told.value)


def test_cluster_that_cannot_be_joined_is_one_line_with_rays_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(SETTINGS) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ConfigError) as told:
            begin_ray(raising(RuntimeError("Version mismatch:\n  Ray 1")), {"address": "auto"})
    assert str(told.value) == (
        f"the environment's RAY_ADDRESS was {address!r}, where no Ray cluster can be joined (Version mismatch: Ray 1); unset "
        "RAY_ADDRESS or use --address local"
    )


def test_ray_is_silent_until_it_stands_and_then_as_loud_as_wished() -> None:
    seen = begin_ray(dict, {"address": "local", "num_cpus": 1}, logging.WARNING)
    assert seen == {"address": "local", "num_cpus": 1, "logging_level": logging.CRITICAL}
    assert logging.getLogger("ray").level == logging.WARNING


def test_room_for_rays_own_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_room()
    monkeypatch.setattr("engine.ray_environment.TEMP_BYTES", 1 << 60)
    with pytest.raises(WorkError, match="must be 1099511627776; free some space, or set RAY_TMPDIR") as told:
        require_room()
    assert f"{tmp_path}/ray" in str(told.value)
    monkeypatch.undo()
    (tmp_path / "file").write_text("")  # no folder, where root cannot write either
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    with pytest.raises(WorkError, match=f"its temporary folder {tmp_path}/file/ray cannot be written"):
        require_room()
