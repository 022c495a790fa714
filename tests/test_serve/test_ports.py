"""The gRPC port that Serve opens in a replica: kept on loopback, or the replica does not serve."""

import inspect
import socket
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray Serve's own models
    from ray.serve._private import replica as serve_replica

    from serve.ports import (
        EVERYWHERE,
        OPENER,
        OpenPortError,
        Port,
        has_token_guard,
        keep_grpc_on_loopback,
        listening,
        require_closed,
    )

HOW_TO_MEND = (
    "Serve's way of opening a replica's gRPC port has changed with this Ray: read ray/serve/_private/replica.py, mend "
    "serve/ports.py, and look at all ports of a replica with tests/test_serve/test_deploy.py"
)


def test_ray_opens_the_port_as_we_know_it() -> None:
    assert hasattr(serve_replica, OPENER), HOW_TO_MEND
    openers = [
        line.strip()
        for line in inspect.getsource(serve_replica).splitlines()
        if f"{OPENER}(" in line or "add_insecure_port" in line or "add_secure_port" in line
    ]
    assert openers == [f'self._internal_grpc_port = {OPENER}(self._server, "{EVERYWHERE}:0")'], HOW_TO_MEND


def test_only_all_addresses_become_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def take(server: Any, address: str) -> int:
        asked.append((server, address))
        return 7

    monkeypatch.setattr(serve_replica, OPENER, take)
    keep_grpc_on_loopback()
    opened = getattr(serve_replica, OPENER)
    assert opened("server", "[::]:0") == 7
    opened("server", "[::]:9000")
    opened("server", "10.0.0.7:0")
    assert asked == [("server", "127.0.0.1:0"), ("server", "127.0.0.1:9000"), ("server", "10.0.0.7:0")]


def test_a_ray_without_the_function_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(serve_replica, OPENER)
    with pytest.raises(OpenPortError, match=rf"this Ray has no ray\.serve\._private\.replica\.{OPENER}, .*requirements\.txt$"):
        keep_grpc_on_loopback()


def test_a_port_that_is_opened_beyond_loopback_is_found_and_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as ours:
        before = listening()
        assert Port("0.0.0.0", ours.getsockname()[1]) in before
        with socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6):
            require_closed(before, listening())
        with socket.create_server(("0.0.0.0", 0)) as other:
            number = other.getsockname()[1]
            with pytest.raises(OpenPortError, match=rf"^this Ray opened 0\.0\.0\.0:{number} in a replica"):
                require_closed(before, listening())


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.255.255", True),
        ("128.0.0.0", False),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("::", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
    ],
)
def test_what_is_loopback(address: str, is_loopback: bool) -> None:
    assert Port(address, 1).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("environment", "guarded"),
    [
        ({"RAY_AUTH_MODE": "token"}, True),
        ({"RAY_AUTH_MODE": "disabled"}, False),
        ({"RAY_AUTH_MODE": "TOKEN"}, False),
        ({}, False),
    ],
)
def test_only_rays_token_mode_guards_the_port(environment: dict[str, str], guarded: bool) -> None:
    assert has_token_guard(environment) is guarded
