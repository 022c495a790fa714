"""The ASGI app of one replica: routes over a `Service`. Runs under Ray Serve, under plain uvicorn and in a test client."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from serve.access import is_token_right
from serve.answers import error_answer, json_answer
from serve.api import Api
from serve.guard import HEADERS, Guard
from serve.page import Page
from serve.service import Service
from serve.settings import STREAM_PATH
from serve.stream import Stream
from serve.words import without_paths_in

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
    api = Api(service)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        jobs = [service.beat(), service.follow_live(), *(job(app) for job in background)]
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield
        finally:
            await service.go_away()  # while whatever carries the streams still runs
            await asyncio.to_thread(api.close)
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
        return json_answer(without_paths_in(body), status)

    async def stream(websocket: WebSocket) -> None:
        await Stream(websocket, service).run()

    async def not_a_stream(request: Request) -> Response:
        return error_answer("this is a WebSocket; open it with ws:// or wss://", 426, {"upgrade": "websocket"})

    app = Starlette(
        routes=[
            Route("/health", health),
            *api.routes(),
            WebSocketRoute(STREAM_PATH, stream),
            Route(STREAM_PATH, not_a_stream),
        ],
        middleware=[Middleware(Guard, settings=service.settings)],
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.router.default = Page(service.settings.page_dir)  # behind the routes, so that what they refuse stays refused
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return error_answer(f"{request.method} is not answered here; ask with GET", 405, {"allow": "GET, HEAD"})
    return error_answer(error.detail, error.status_code, dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> Response:
    return error_answer(f"the service failed: {type(error).__name__}; see its log", 500, HEADERS)
