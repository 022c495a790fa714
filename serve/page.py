"""The built page at ``/``, or a small one that says how to build it."""

from html import escape
from pathlib import Path
from typing import Final

from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from serve.settings import STREAM_PATH

_START_PAGES: Final = ("index.html", "vacuum-pressure.html")
_NO_STORE: Final = {"cache-control": "no-store"}


def start_page(folder: Path) -> Path | None:
    """The file that is shown at ``/``; None where no page is built in the folder."""
    return next((path for name in _START_PAGES if (path := folder / name).is_file()), None)


class Page:
    """ASGI app over the folder of the built page; looks each time, so a page built later is served without a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = StaticFiles(directory=folder, check_dir=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = start_page(self._folder)
        if scope["type"] == "http" and start is None:
            is_root = scope["path"] == "/"
            response = HTMLResponse(_placeholder(), status_code=200 if is_root else 404, headers=_NO_STORE)
            await response(scope, receive, send)
            return
        if start is not None and scope["type"] == "http" and scope["path"] == "/":
            scope = {**scope, "path": f"/{start.name}"}
        await self._files(scope, receive, send)


def _placeholder() -> str:
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Spymaster</title>
<body style="font:16px/1.5 system-ui;max-width:42em;margin:3em auto;padding:0 1em">
<h1>Spymaster is serving</h1>
<p>The page is not built yet. Build it with <code>make page</code> (needs Node), then reload.</p>
<ul>
<li><a href="/health">/health</a>: how the service is doing</li>
<li><a href="/v1/model/champion">/v1/model/champion</a>: the signal that scores, and its history</li>
<li><code>{escape(STREAM_PATH)}</code>: the stream; in a terminal: <code>python -m serve tail</code></li>
</ul></body></html>
"""
