"""What a page asks for over HTTP: runs and their trades, days that can be played, champions and their live records."""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from engine.champion import read_champion, versions
from engine.errors import ConfigError, EngineError
from engine.files import NUMBER
from engine.trades.evidence import Evidence
from engine.trades.record import LiveRecord
from engine.trades.track import standing_of, told
from serve.access import is_token_right
from serve.answers import (
    ASK_AGAIN,
    error_answer,
    is_known,
    json_answer,
    packed,
    packed_file,
    read_count,
    read_query,
    takes_gzip,
)
from serve.asides import AsideError, BadAskError, TooManyError
from serve.board import FILTERS, Board, of_run, plain, plain_rows, read_table, state_of
from serve.days import Days
from serve.request import MAX_NUMBER, shown
from serve.service import Service
from serve.spoken import models_at
from serve.words import without_paths_in

ARROW: Final = "application/vnd.apache.arrow.stream"
TOKEN_WANTED: Final = "a token is required: Authorization: Bearer or ?token="
_WITH_TOKEN: Final = {"www-authenticate": "Bearer"}
_RUN_ID: Final = re.compile(r"[0-9a-f]{16}")
_PAGE_ROWS: Final = 500
_MOST_ROWS: Final = 2000  # of JSON, which takes the interpreter from the streams: 0.3 ms a row
_RANKED_BY: Final = ("min_signals", "best", "all")
_BOARD_QUERY: Final = (*FILTERS, *_RANKED_BY)

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The routes under ``/v1`` but the stream's.

    Parameters
    ----------
    service : Service
        Whose lake, champion and streams.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self._service = service
        self._board = Board(settings.lake, foreign_ok=settings.trust.all_signals)
        self._days = Days(
            settings.lake, service.config, assumes_symbol=settings.assumes_symbol, sealed_ok=settings.defaults.sealed_ok
        )
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="api-look")

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/v1/experiments/runs", self._guarded(self._runs)),
            Route("/v1/experiments/runs.arrow", self._guarded(self._runs_arrow)),
            Route("/v1/experiments/runs/{run_id}/curve", self._guarded(self._curve)),
            Route("/v1/sessions", self._guarded(self._sessions)),
            Route("/v1/model/champion", self._guarded(self._champion)),
            Route("/v1/model/at", self._guarded(self._model_at)),
            Route("/v1/model/record/{version}", self._guarded(self._record)),
        ]

    def close(self) -> None:
        """End what is being made for somebody."""
        self._board.close()
        self._looker.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, handler: Handler) -> Handler:
        """A handler behind the token, whose refusals are JSON."""

        async def answer(request: Request) -> Response:
            if not is_token_right(request, self._service.settings.token):
                return error_answer(TOKEN_WANTED, 401, _WITH_TOKEN)
            try:
                return await handler(request)
            except BadAskError as error:
                return error_answer(str(error), 404)
            except TooManyError as error:
                return error_answer(str(error), 503, {"retry-after": "5"})
            except AsideError as error:
                return error_answer(str(error), 500)
            except EngineError as error:  # what lies in the lake is damaged
                return error_answer(str(error), 500)

        return answer

    # --- runs ---

    async def _runs(self, request: Request) -> Response:
        values = read_query(request.scope, (*_BOARD_QUERY, "run", "offset", "limit"))
        offset = read_count(values, "offset", 0, 0, 10**9)
        limit = read_count(values, "limit", _PAGE_ROWS, 1, _MOST_ROWS)
        path, is_current = await self._file(values)
        table = await asyncio.to_thread(read_table, path)
        rows = table.rows if "run" not in values else of_run(table.rows, _run_id(values["run"]))
        head = {"total": rows.num_rows, "offset": offset, "limit": limit, "is_current": is_current, **table.told}
        return await packed(request, await asyncio.to_thread(_table_answer, head, "rows", rows.slice(offset, limit)))

    async def _runs_arrow(self, request: Request) -> Response:
        values = read_query(request.scope, _BOARD_QUERY)
        path, is_current = await self._file(values)
        tag = path.stem if is_current else f"{path.stem}-old"
        headers = {"etag": f'W/"{tag}"', "cache-control": ASK_AGAIN, "vary": "accept-encoding"}
        headers["x-is-current"] = str(is_current).lower()
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        if takes_gzip(request):
            path = await asyncio.to_thread(packed_file, path)
            headers["content-encoding"] = "gzip"
        return FileResponse(path, headers=headers, media_type=ARROW)

    async def _file(self, values: dict[str, str]) -> Any:
        for name in FILTERS:
            if name in values and (not values[name] or "/" in values[name]):
                raise HTTPException(400, f"{name} was {shown(values[name])}; it must be a name")
        min_signals = read_count(values, "min_signals", 5, 1, 10**9)
        best, with_loose = (read_count(values, name, default, 0, 1) == 1 for name, default in (("best", 1), ("all", 0)))
        state = await asyncio.to_thread(state_of, self._service.settings.lake)
        wanted: dict[str, str] = {name: values[name] for name in FILTERS if name in values}
        return await self._board.board(state, wanted, min_signals, best=best, with_loose=with_loose)

    async def _curve(self, request: Request) -> Response:
        values = read_query(request.scope, ("threshold",))
        run_id = _run_id(request.path_params["run_id"])
        threshold = values.get("threshold")
        if threshold is not None:
            number = float(threshold) if len(threshold) <= MAX_NUMBER and NUMBER.fullmatch(threshold) else math.nan
            if not abs(number) < math.inf:
                raise HTTPException(400, f"threshold was {shown(threshold)}; it must be a number")
            threshold = repr(number)
        path = await self._board.trades(run_id, threshold)
        table = await asyncio.to_thread(read_table, path)
        try:  # each time: it may have been sealed since
            await asyncio.to_thread(self._board.require_open, table.told["dataset_id"])
        except EngineError as error:
            return error_answer(str(error), 404)
        head = {**plain(dict(table.told)), "n_trades": table.rows.num_rows}
        return await packed(request, await asyncio.to_thread(_table_answer, head, "trades", table.rows))

    # --- days ---

    async def _sessions(self, request: Request) -> Response:
        read_query(request.scope, ())
        days = await asyncio.get_running_loop().run_in_executor(self._looker, self._days.told)
        service = self._service
        return await packed(
            request,
            _told(
                {
                    "instrument": f"{service.config.product_type}:{service.config.symbol}",
                    "cell_width_ms": service.config.cell_width_ms,
                    "total": len(days),
                    "days": days,
                    "open": service.hub.told(),
                }
            ),
        )

    # --- champions ---

    async def _champion(self, request: Request) -> Response:
        read_query(request.scope, ())
        return await packed(request, _told(await asyncio.to_thread(self._service.champion)))

    async def _model_at(self, request: Request) -> Response:
        values = read_query(request.scope, ("ts", "symbol"))
        lake = self._service.settings.lake
        try:
            body = await asyncio.to_thread(models_at, lake, values.get("ts", ""), values.get("symbol"))
        except ConfigError as error:
            return error_answer(str(error), 400)
        return await packed(request, _told(body))

    async def _record(self, request: Request) -> Response:
        values = read_query(request.scope, ("offset", "limit"))
        offset = read_count(values, "offset", 0, 0, 10**9)
        limit = read_count(values, "limit", _PAGE_ROWS, 1, _MOST_ROWS)
        text = request.path_params["version"]
        lake = self._service.settings.lake
        known = await asyncio.to_thread(versions, lake)
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) in known):
            raise HTTPException(404, f"there is no champion version {shown(text)}; there are {len(known)}")
        body = await asyncio.to_thread(self._record_of, int(text))
        entries = body.pop("entries")
        part = entries[offset : offset + limit]
        return await packed(request, _told({**body, "total": len(entries), "offset": offset, "limit": limit, "entries": part}))

    def _record_of(self, version: int) -> dict[str, Any]:
        """A version's promise, and its live record with every link checked."""
        lake = self._service.settings.lake
        champion = read_champion(lake, version)
        found: dict[str, Any] = {"version": version, "signal": champion.signal, "standing": champion.standing}
        if champion.promise is None:
            return {**found, "promise": None, "record": None, "entries": []}
        evidence, trouble = Evidence(champion.promise), ""
        entries: list[dict[str, Any]] = []

        def take(entry: dict[str, Any]) -> None:
            evidence.take(entry)
            entries.append(entry)

        record = LiveRecord(lake, version, take)
        try:
            record.verify()
            record.refresh()
        except (EngineError, OSError) as error:
            trouble = str(error)
        promise = champion.promise.model_dump(mode="json")
        record_told = told(champion, record, evidence, trouble)
        return {
            **found,
            "standing": standing_of(champion, evidence),
            "promise": promise,
            "record": record_told,
            "entries": entries,
        }


def _table_answer(head: dict[str, Any], name: str, rows: pa.Table) -> Response:
    return json_answer({**head, name: plain_rows(rows)})


def _told(body: dict[str, Any]) -> Response:
    """A body that may hold words of errors."""
    return json_answer(without_paths_in(plain(body)))


def _run_id(text: str) -> str:
    if not _RUN_ID.fullmatch(text):
        raise HTTPException(404, f"there is no run {shown(text)}; a run's id has 16 hex digits")
    return text
