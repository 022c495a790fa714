"""The built page at ``/``, or a small one that says how to build it."""

import re
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from serve.answers import error_answer, is_known, squeezed, takes_gzip
from serve.guard import refuse
from serve.settings import STREAM_PATH

_START_PAGES: Final = ("index.html", "vacuum-pressure.html")
_NO_STORE: Final = {"cache-control": "no-store"}
_CHANGES: Final = "no-cache"  # kept, and asked about each time
_STAYS: Final = "public, max-age=31536000, immutable"
_HASHED: Final = re.compile(r"assets/(?:[^/]+/)*[^/]+-[A-Za-z0-9_-]{8,}\.[a-z0-9.]+")  # as Vite names what never changes
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(?:/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)*"
)  # nothing hidden, nothing up
_SQUEEZED: Final = re.compile(r"text/|application/(javascript|json|wasm)|image/svg")
_KEPT_BYTES: Final = 32 << 20
_TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}
_UTF_8: Final = ("text/", "application/json", "image/svg")


@dataclass(frozen=True)
class Asset:
    """One file of the page, as it lay when it was read."""

    mark: tuple[int, int]  # size and time of change
    data: bytes
    small: bytes  # gzip; empty where that is not worth it
    etag: str
    media_type: str


def start_page(folder: Path) -> Path | None:
    """The file that is shown at ``/``; None where no page is built in the folder."""
    return next((path for name in _START_PAGES if (path := folder / name).is_file()), None)


class Page:
    """ASGI app over the folder of the built page; looks each time, so a page built later is served without a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[Path, Asset] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await refuse(scope, receive, send, 404, f"nothing streams here; the stream is at {STREAM_PATH}")
            return
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        start = start_page(self._folder)
        if path == "/":
            name = "" if start is None else start.name
        else:
            name = path.removeprefix("/")
        file = self._file(name) if name else None
        is_page = path == "/" or file is not None
        if request.method not in ("GET", "HEAD"):
            if is_page:
                return error_answer(f"{request.method} is not answered here; ask with GET", 405, {"allow": "GET, HEAD"})
            return error_answer("there is nothing of that name", 404)
        if path == "/" and start is None:
            return HTMLResponse(_placeholder(), headers=_NO_STORE)
        if file is None:
            return error_answer("there is nothing of that name", 404)
        return _response(request, self._read(file), _STAYS if _HASHED.fullmatch(name) else _CHANGES)

    def _file(self, name: str) -> Path | None:
        """A file of the folder, None where there is none of that name or it leads out of it."""
        if not _PLAIN.fullmatch(name) or len(name) > 255:
            return None
        path = self._folder / name
        return path if path.is_file() and path.resolve().is_relative_to(self._folder.resolve()) else None

    def _read(self, path: Path) -> Asset:
        stat = path.stat()
        mark = (stat.st_size, stat.st_mtime_ns)
        asset = self._kept.get(path)
        if asset is None or asset.mark != mark:
            data = path.read_bytes()
            media_type = _TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"
            small = squeezed(data) if _SQUEEZED.match(media_type) else b""
            if media_type.startswith(_UTF_8):
                media_type += "; charset=utf-8"
            asset = Asset(mark, data, small if len(small) < len(data) else b"", sha256(data).hexdigest()[:24], media_type)
            if sum(len(one.data) + len(one.small) for one in self._kept.values()) < _KEPT_BYTES:
                self._kept[path] = asset
        return asset


def _response(request: Request, asset: Asset, cache: str) -> Response:
    headers = {"etag": f'W/"{asset.etag}"', "cache-control": cache, "vary": "accept-encoding"}
    if is_known(request, asset.etag):
        return Response(status_code=304, headers=headers)
    if asset.small and takes_gzip(request):
        return Response(asset.small, 200, {**headers, "content-encoding": "gzip", "content-type": asset.media_type})
    return Response(asset.data, 200, {**headers, "content-type": asset.media_type})


def _placeholder() -> str:
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Spymaster</title>
<body>
<h1>Spymaster is serving</h1>
<p>The page is not built yet. Build it with <code>make page</code> (needs Node), then reload.</p>
<ul>
<li><a href="/health">/health</a>: how the service is doing</li>
<li><a href="/v1/model/champion">/v1/model/champion</a>: the signal that scores, and its history</li>
<li><a href="/v1/sessions">/v1/sessions</a>: the days that can be played</li>
<li><a href="/v1/experiments/runs">/v1/experiments/runs</a>: the leaderboard</li>
<li><code>{escape(STREAM_PATH)}</code>: the stream; in a terminal: <code>python -m serve tail</code></li>
</ul></body></html>
"""
