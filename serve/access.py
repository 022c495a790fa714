"""Who may ask: the token, the name by which the service is asked for, and the browser's origin."""

import hmac
import re
from typing import Final, NamedTuple

from starlette.requests import HTTPConnection

from engine.errors import ConfigError
from serve.settings import ServeSettings, is_loopback

# As RFC 3986 and RFC 6454 write them, and nothing that only looks like it: a browser and we must read the same name.
_NAME: Final = r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}))"
_HOST: Final = re.compile(rf"{_NAME}(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://{_NAME}(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}
_ANY_ADDRESS: Final = ("0.0.0.0", "::", "")


class Address(NamedTuple):
    """A name as it is written in a ``Host`` header or an origin; ``port`` 0 where none is written."""

    name: str
    port: int


def given_token(connection: HTTPConnection) -> str | None:
    """Token of a request, from its ``Authorization: Bearer`` header or its ``token`` query value."""
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return connection.query_params.get("token")


def is_token_right(connection: HTTPConnection, token: str | None) -> bool:
    """Whether a request may pass; always, where no token is set. Compared in constant time."""
    if token is None:
        return True
    given = given_token(connection)
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def read_address(text: str) -> Address | None:
    """A ``Host`` header; None where it is none."""
    found = _HOST.fullmatch(text)
    return None if found is None else _address(found)


def read_host(text: str) -> str:
    """A name that ``--allow-host`` gives; a port behind it says nothing.

    Raises
    ------
    ConfigError
        It is no name.
    """
    found = read_address(text)
    if found is None:
        raise ConfigError(f"--allow-host was {text!r}; it must be a name or an address, like desk.example or [2001:db8::1]")
    return found.name


def is_host_known(address: Address, settings: ServeSettings) -> bool:
    """Whether a service goes by a name.

    A page whose name was made to resolve to this machine is of another name than we are, and must learn nothing. Where a token
    guards the service it cannot; there any name will do, unless some are listed.
    """
    if is_loopback(address.name) or address.name in settings.allowed_hosts:
        return True
    if address.name == settings.host.lower() and settings.host not in _ANY_ADDRESS:
        return True
    return settings.token is not None and not settings.allowed_hosts


def is_origin_allowed(connection: HTTPConnection, allowed: tuple[str, ...], *, guarded: bool) -> bool:
    """Whether a browser's page may connect.

    Programs send no ``Origin`` and pass. A page passes when its origin is listed, when both it and the address it connects
    to are this machine's own, or when it was served from the address it connects to and a token guards that. (Without a
    token that last rule would let in a page whose name was made to resolve to this machine.)

    Parameters
    ----------
    allowed : tuple of str
        Origins that are let in, such as ``https://desk.example``.
    guarded : bool
        Whether a token is required.
    """
    origins = connection.headers.getlist("origin")
    if not origins or (len(origins) == 1 and origins[0] in allowed):
        return True
    page = _ORIGIN.fullmatch(origins[0])
    host = read_address(connection.headers.get("host", ""))
    if len(origins) > 1 or page is None or host is None:
        return False
    name, port = _address(page)
    default = _PORTS[page["scheme"]]  # also of the host: what stands before us may speak https
    same = (name, port or default) == (host.name, host.port or default)
    return (guarded and same) or (is_loopback(name) and is_loopback(host.name))


def _address(found: re.Match[str]) -> Address:
    return Address(found["name"].strip("[]").lower().removesuffix("."), int(found["port"] or 0))
