"""The replica's own listening socket.

Serve's proxy takes whatever a replica sends and keeps it for a client that does not read, without bound and without telling
the replica; a stream could then neither skip bins nor wait. Here a full socket is felt where the bins are made, a bin takes
one process less on its way, and a close frame is always sent.
"""

import asyncio
import logging
import socket
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp

from serve.door import Door, SocketLimits
from serve.http_socket import HttpSocket
from serve.stream_socket import StreamSocket

_SEND_BUFFER_BYTES: Final = 256 << 10  # the kernel's part of what may wait for a slow reader, about 8 bins
_CLIENTS_FAULTS: Final = ("Invalid HTTP request received.", "Invalid UTF-8 sequence received from client.")
_MAX_CONTROL_BYTES: Final = 64 << 10


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket that other replicas on this machine may share.

    Raises
    ------
    OSError
        The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)  # connections inherit it
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line tells of us, and not of what a client sent: those it could make us write without end."""
    return record.getMessage() not in _CLIENTS_FAULTS


def make_server(app: ASGIApp, door: Door) -> uvicorn.Server:
    """A uvicorn server for an app whose lifespan somebody else runs, with sockets of our own."""
    logging.getLogger("uvicorn.error").addFilter(_is_ours)
    made = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="warning",  # its lines at INFO and below hold addresses and headers, tokens among them
        access_log=False,
        http=cast(Any, partial(HttpSocket, door=door)),  # called like the class it stands for
        ws=cast(Any, partial(StreamSocket, door=door)),
        ws_per_message_deflate=False,  # floats hardly shrink, and it costs a millisecond a bin
        ws_max_size=_MAX_CONTROL_BYTES,
        ws_ping_interval=None,  # `StreamSocket` sends them: uvicorn knows one deadline for the frozen and for the slow
        timeout_keep_alive=max(1, round(door.limits.request_s)),
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(made)
    door.connections = server.server_state.connections
    return server


async def run_listener(app: ASGIApp, listener: socket.socket, door: Door | None = None) -> None:
    """Serve an app on a listening socket until cancelled."""
    door = door or Door(SocketLimits())
    server = make_server(app, door)
    door.opened(lambda: _stop_listening(server))
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True  # the server ends itself: cancelled, it would leave its connections open
        await serving
        raise


def _stop_listening(server: uvicorn.Server) -> None:
    for one in getattr(server, "servers", ()):  # there once it has begun
        one.close()
