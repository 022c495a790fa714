"""Who may connect: the token and the browser's origin."""

import hmac
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from serve.settings import is_loopback


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
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed:
        return True
    try:
        page = urlsplit(origin)
        host = urlsplit(f"//{connection.headers.get('host', '')}")
        same = (page.hostname, page.port or _default_port(page.scheme)) == (host.hostname, host.port or 80)
    except ValueError:  # a port that is no number
        return False
    if page.hostname is None or host.hostname is None:
        return False
    return (guarded and same) or (is_loopback(page.hostname) and is_loopback(host.hostname))


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
