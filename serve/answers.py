"""What answers over HTTP are made of: JSON, an ETag, gzip where it is asked for; and how a query is read."""

import asyncio
import gzip
import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from engine.files import write_atomic
from serve.request import MAX_VALUE, shown
from serve.words import without_paths

NO_STORE: Final = "no-store"
ASK_AGAIN: Final = "private, no-cache"  # kept, and asked about with its ETag each time
_GZIP_LEAST: Final = 1024  # bytes
_GZIP_LEVEL: Final = 5
_FAST: Final = 1  # of tables of many megabytes
_GZIP: Final = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?P<q>[0-9.]+)\s*)?(?=,|$)", re.IGNORECASE)
_IDLE_COUNT: Final = 10_000  # JSON texts longer than so many bytes are compressed in a thread


def json_answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body as JSON; numbers are finite, non-ASCII text is as it is."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    told = {"cache-control": NO_STORE, **(headers or {})}
    return Response(text.encode(errors="replace"), status, told, media_type="application/json")


def error_answer(message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """A refusal: ``{"error": …}``, one line, without a place of this machine."""
    return json_answer({"error": without_paths(message)}, status, headers)


async def packed(request: Request, response: Response, etag: str | None = None) -> Response:
    """An answer with its ETag, compressed where the client takes that and it is worth it; 304 where the client has it already.

    Parameters
    ----------
    etag : str, optional
        What changes with the content; default a hash of it.
    """
    body = bytes(response.body)
    tag = etag or sha256(body).hexdigest()[:24]
    response.headers["etag"] = f'W/"{tag}"'  # the same content, packed or not
    response.headers["vary"] = "accept-encoding"
    if response.headers.get("cache-control") == NO_STORE:
        response.headers["cache-control"] = ASK_AGAIN
    if is_known(request, tag):
        kept = {name: response.headers[name] for name in ("etag", "vary", "cache-control")}
        return Response(status_code=304, headers=kept)
    if len(body) >= _GZIP_LEAST and takes_gzip(request):
        small = await asyncio.to_thread(squeezed, body) if len(body) > _IDLE_COUNT else squeezed(body)
        response.body = small
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(small))
    return response


def squeezed(body: bytes) -> bytes:
    """The body as gzip, the same bytes each time."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def takes_gzip(connection: HTTPConnection) -> bool:
    """Whether a client takes gzip."""
    found = _GZIP.search(connection.headers.get("accept-encoding", ""))
    if found is None:
        return False
    quality = found["q"]
    return quality is None or quality.strip("0.") != ""


def is_known(connection: HTTPConnection, tag: str) -> bool:
    """Whether a client has what an ETag names."""
    given = [one.strip().removeprefix("W/") for one in connection.headers.get("if-none-match", "").split(",")]
    return "*" in given or f'"{tag}"' in given


def read_query(scope: Scope, allowed: Sequence[str]) -> dict[str, str]:
    """The values of a query by name, ``token`` left out.

    Raises
    ------
    HTTPException
        400: a name that is unknown here or stands twice, or a value that is too long.
    """
    values: dict[str, str] = {}
    for name, value in QueryParams(scope["query_string"]).multi_items():
        if name not in allowed and name != "token":
            told = ", ".join(allowed) or "none"
            raise HTTPException(400, f"unknown query value {shown(name)}; allowed are: {told}")
        if name in values:
            raise HTTPException(400, f"{name} stands twice in the query; give it once")
        if len(value) > MAX_VALUE and name != "token":
            raise HTTPException(400, f"{name} was {shown(value)}; a value has at most {MAX_VALUE} characters")
        if any(ord(letter) < 32 for letter in value):
            raise HTTPException(400, f"{name} was {shown(value)}; it must be plain text")
        values[name] = value
    values.pop("token", None)
    return values


def read_count(values: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of a query.

    Raises
    ------
    HTTPException
        400: it is none, or out of bounds.
    """
    text = values.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and least <= int(text) <= most):
        raise HTTPException(400, f"{name} was {shown(text)}; it must be a whole number from {least} to {most}")
    return int(text)


def packed_file(path: Path) -> Path:
    """A file as gzip, made once beside it."""
    small = path.with_name(f"{path.name}.gz")
    if not small.is_file():
        write_atomic(small, gzip.compress(path.read_bytes(), _FAST, mtime=0))
    return small


def headers_of(scope: Scope) -> Headers:
    """The headers of a request."""
    return Headers(scope=scope)
