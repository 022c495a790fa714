"""The ASGI app of one replica: routes over a `Service`. Runs under Ray Serve, under plain uvicorn and in a test client."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from engine.errors import EngineError
from serve.access import is_token_right
from serve.page import Page
from serve.service import Service
from serve.settings import STREAM_PATH
from serve.stream import Stream

logger = logging.getLogger(__name__)


Background = Callable[[Starlette], Coroutine[Any, Any, None]]


def build_app(service: Service, background: Sequence[Background] = ()) -> Starlette:
    """Routes over a service, which starts and stops with the app's lifespan.

    Parameters
    ----------
    service : Service
        Started and stopped with the app.
    background : sequence of callables
        Called with the app; their coroutines run until it ends.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        tasks = [asyncio.create_task(service.beat()), *(asyncio.create_task(job(app)) for job in background)]
        try:
            yield
        finally:
            await service.go_away()  # while whatever carries the streams still runs
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    logger.error("a background job failed", exc_info=result)
            await service.stop()

    async def health(request: Request) -> Response:
        body = service.health()
        status = 200 if body["status"] == "ok" else 503
        if not is_token_right(request, service.settings.token):
            body = {name: body[name] for name in ("status", "service")}  # enough for a load balancer, nothing to learn
        return JSONResponse(body, status)

    async def champion(request: Request) -> Response:
        if not is_token_right(request, service.settings.token):
            return JSONResponse({"error": "a token is required: Authorization: Bearer or ?token="}, 401)
        try:
            return JSONResponse(await asyncio.to_thread(service.champion))
        except EngineError as error:
            return JSONResponse({"error": str(error)}, 500)

    async def stream(websocket: WebSocket) -> None:
        await Stream(websocket, service).run()

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/model/champion", champion),
            WebSocketRoute(STREAM_PATH, stream),
            Mount("/", Page(service.settings.page_dir)),
        ],
        lifespan=lifespan,
    )
