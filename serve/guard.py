"""What stands before every route: bounds on what is read, the names we go by, and the headers that every answer carries."""

from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.access import is_host_known, read_address
from serve.answers import error_answer, headers_of
from serve.request import shown
from serve.settings import ServeSettings

MAX_TARGET_BYTES: Final = 8 << 10  # path and query
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16 << 10  # names and values together

# What the page needs: its own scripts, styles and worker, icons and pictures made by itself, and streams, which may come from
# another server (its `ws` query value).
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self' ws: wss:",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # the address may hold a token
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_RAW_HEADERS: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_VERSIONS: Final = ("1.0", "1.1", "2", "3")
_STARTS: Final = ("http.response.start", "websocket.http.response.start")


class Guard:
    """ASGI app around the routes."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                given = list(message.get("headers", ()))
                names = {bytes(name).lower() for name, _ in given}
                message = {**message, "headers": [*given, *(one for one in _RAW_HEADERS if one[0] not in names)]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, with_headers)
        else:
            await refuse(scope, receive, with_headers, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request is not let in: HTTP code and words."""
        size = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
        if size > MAX_TARGET_BYTES:
            return 414, f"the address has {size} bytes; at most {MAX_TARGET_BYTES} are read"
        n_headers, n_bytes = len(scope["headers"]), sum(len(name) + len(value) for name, value in scope["headers"])
        if n_headers > MAX_HEADERS or n_bytes > MAX_HEADER_BYTES:
            return 431, f"{n_headers} headers of {n_bytes} bytes came; at most {MAX_HEADERS} of {MAX_HEADER_BYTES} are read"
        if scope["http_version"] not in _VERSIONS:
            return 400, f"HTTP/{scope['http_version']} came; HTTP/1.1 is spoken here"
        hosts = headers_of(scope).getlist("host")
        address = read_address(hosts[0]) if len(hosts) == 1 else None
        if address is None:
            told = shown(hosts[0]) if len(hosts) == 1 else f"given {len(hosts)} times"
            return 400, f"the Host header was {told}; it must be one name or address, perhaps with a port"
        if not is_host_known(address, self._settings):
            return 421, f"the Host header was {shown(hosts[0])}, and this service does not go by that name; see --allow-host"
        return None


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, words: str, headers: Any = None) -> None:
    """Answer with an error, also to a WebSocket's handshake."""
    response = error_answer(words, status, headers)
    if scope["type"] == "http":
        await response(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        start = {"status": status, "headers": response.raw_headers}
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": response.body})
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
