"""Tokens and origins."""

from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from engine.errors import ConfigError
from engine.lake import Lake
from serve.access import is_host_known, is_origin_allowed, is_token_right, read_address, read_host
from serve.settings import ServeSettings, is_loopback, require_token

TOKEN = "correct-horse-battery"


def connection(query: str = "", **headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "query_string": query.encode()})


@pytest.mark.parametrize(
    ("query", "headers", "passes"),
    [
        ("", {"authorization": f"Bearer {TOKEN}"}, True),
        ("", {"authorization": f"bearer  {TOKEN} "}, True),
        (f"token={TOKEN}", {}, True),
        ("", {}, False),
        ("token=", {}, False),
        (f"token={TOKEN}x", {}, False),
        ("token=%C3%BC", {}, False),
        ("", {"authorization": f"Basic {TOKEN}"}, False),
        (f"token={TOKEN}", {"authorization": "Bearer wrong"}, False),
        (f"token={TOKEN}", {"authorization": "Bearer "}, True),  # none in the header: that of the query counts
        (f"token={TOKEN}", {"authorization": f"Basic {TOKEN[::-1]}"}, True),
        ("token=wrong", {"authorization": f"Bearer {TOKEN}"}, True),
        (f"token={TOKEN[:-1]}", {}, False),
        (f"token={TOKEN.upper()}", {}, False),
        (f"token={TOKEN}&token=wrong", {}, False),
        (f"tokens={TOKEN}", {}, False),
        ("", {"authorization": TOKEN}, False),
    ],
)
def test_token_passes_by_header_or_query_only_when_equal(query: str, headers: dict[str, str], passes: bool) -> None:
    assert is_token_right(connection(query, **headers), TOKEN) is passes


def test_without_a_token_everybody_passes() -> None:
    assert is_token_right(connection(), None)


@pytest.mark.parametrize(
    ("origin", "host", "guarded", "passes"),
    [
        ("http://127.0.0.1:8002", "127.0.0.1:8002", False, True),
        ("http://localhost:5173", "127.0.0.1:8002", False, True),
        ("http://[::1]:8002", "localhost:8002", False, True),
        ("http://evil.example", "127.0.0.1:8002", False, False),
        ("http://evil.example:8002", "evil.example:8002", False, False),  # a name made to resolve to this machine
        ("http://desk.example:8002", "desk.example:8002", True, True),
        ("http://desk.example", "desk.example:8002", True, False),
        ("https://desk.example", "desk.example:443", True, True),
        ("https://listed.example", "127.0.0.1:8002", False, True),
        ("null", "127.0.0.1:8002", False, False),
        ("http://127.0.0.1:port", "127.0.0.1:8002", False, False),
        ("http://127.0.0.1.evil.example", "127.0.0.1:8002", False, False),
        ("http://desk.example", "desk.example", True, True),  # both on the port that stands for none
        ("http://desk.example:80", "desk.example", True, True),
        ("http://desk.example:81", "desk.example", True, False),
        ("http://evil.example:8002", "desk.example:8002", True, False),
        ("http://evil.example:8002", "127.0.0.1:8002", True, False),
        ("http://localhost:5173", "desk.example:5173", True, False),
        ("https://listed.example:444", "127.0.0.1:8002", True, False),
        ("http://listed.example", "127.0.0.1:8002", True, False),
        ("https://listed.example.evil", "127.0.0.1:8002", True, False),
        ("null", "", True, False),  # neither has a name: that is not the same one
        ("http://desk.example", "", True, False),
        ("http://127.0.0.1:8002", "", False, False),
        ("https://desk.example", "desk.example", True, True),  # what stands before us speaks https, and the host names no port
        ("http://127.0.0.1:8002\\@evil.example", "127.0.0.1:8002", False, False),
        ("http://evil.example\\127.0.0.1", "127.0.0.1:8002", False, False),
        ("http://[::1].evil.example", "127.0.0.1:8002", False, False),
        ("http://[::1]evil", "127.0.0.1:8002", False, False),
        ("http://user@127.0.0.1", "127.0.0.1:8002", False, False),
        ("http://127.0.0.1/", "127.0.0.1:8002", False, False),
        ("ftp://127.0.0.1", "127.0.0.1:8002", False, False),
        ("http://LOCALHOST:1", "LocalHost", False, True),
        ("http://127.0.0.1", "127.0.0.1:8002\\.evil", False, False),
    ],
)
def test_pages_of_other_origins_are_refused(origin: str, host: str, guarded: bool, passes: bool) -> None:
    given = connection(origin=origin, host=host)
    assert is_origin_allowed(given, ("https://listed.example",), guarded=guarded) is passes


def test_two_origins_are_none() -> None:
    raw = [(b"host", b"127.0.0.1"), *[(b"origin", b"http://127.0.0.1")] * 2]
    given = HTTPConnection({"type": "http", "headers": raw, "query_string": b""})
    assert not is_origin_allowed(given, (), guarded=False)


@pytest.mark.parametrize(
    ("host", "token", "listed", "bound", "is_known"),
    [
        ("127.0.0.1:8002", None, (), "127.0.0.1", True),
        ("LOCALHOST", None, (), "127.0.0.1", True),
        ("localhost.", None, (), "127.0.0.1", True),
        ("[::1]:8002", None, (), "127.0.0.1", True),
        ("evil.example", None, (), "127.0.0.1", False),
        ("127.0.0.1.evil.example", None, (), "127.0.0.1", False),
        ("127.0.0.2", None, (), "127.0.0.1", False),
        ("desk.example", None, ("desk.example",), "127.0.0.1", True),
        ("desk.example:8443", None, ("desk.example",), "127.0.0.1", True),
        ("www.desk.example", None, ("desk.example",), "127.0.0.1", False),
        ("evil.example", TOKEN, (), "0.0.0.0", True),  # the token guards
        ("evil.example", TOKEN, ("desk.example",), "0.0.0.0", False),
        ("10.0.0.5", TOKEN, ("desk.example",), "10.0.0.5", True),  # bound to it
        ("0.0.0.0", TOKEN, ("desk.example",), "0.0.0.0", False),
        ("127.0.0.1", TOKEN, ("desk.example",), "10.0.0.5", True),
    ],
)
def test_a_service_goes_by_these_names(
    host: str, token: str | None, listed: tuple[str, ...], bound: str, is_known: bool, tmp_path: Path
) -> None:
    settings = ServeSettings(lake=Lake(tmp_path), host=bound, token=token, allowed_hosts=listed)
    address = read_address(host)
    assert address is not None
    assert is_host_known(address, settings) is is_known


@pytest.mark.parametrize("text", ["", "a b", "a\\b", "a@b", "[::1", "::1", "a:b", "a:", "http://a", "a/b", "-a", "a:123456"])
def test_what_is_no_name_is_refused_at_launch(text: str) -> None:
    assert read_address(text) is None
    with pytest.raises(ConfigError, match=r"--allow-host was .*; it must be a name or an address"):
        read_host(text)


def test_a_name_is_read_without_its_port_and_in_small_letters() -> None:
    assert [read_host(text) for text in ("Desk.Example", "desk.example:80", "[2001:DB8::1]:80")] == [
        "desk.example",
        "desk.example",
        "2001:db8::1",
    ]


def test_settings_that_are_shown_show_no_token(tmp_path: Path) -> None:
    assert TOKEN not in repr(ServeSettings(lake=Lake(tmp_path), token=TOKEN))


def test_a_program_sends_no_origin_and_passes() -> None:
    assert is_origin_allowed(connection(host="127.0.0.1:8002"), (), guarded=False)


def test_an_open_address_needs_a_token() -> None:
    with pytest.raises(ConfigError, match=r"--host was 0\.0\.0\.0.*SPYMASTER_TOKEN"):
        require_token("0.0.0.0", {})
    with pytest.raises(ConfigError, match="has 5 characters"):
        require_token("127.0.0.1", {"SPYMASTER_TOKEN": "short"})
    with pytest.raises(ConfigError, match="has 15 characters; it must have at least 16"):
        require_token("0.0.0.0", {"SPYMASTER_TOKEN": "x" * 15})
    for length in (16, 17):
        for host in ("0.0.0.0", "127.0.0.1"):  # on this machine alone, too, a token that is set counts
            assert require_token(host, {"SPYMASTER_TOKEN": "x" * length}) == "x" * length
    with pytest.raises(ConfigError, match="which others can reach"):
        require_token("::", {"SPYMASTER_TOKEN": ""})
    assert require_token("::1", {"SPYMASTER_TOKEN": ""}) is None
    assert require_token("0.0.0.0", {"SPYMASTER_TOKEN": TOKEN}) == TOKEN
    assert require_token("127.0.0.1", {}) is None


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1", "")))
