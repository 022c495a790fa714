"""A replica without Ray in a process of its own, to be frozen or killed: ``python -m tests.test_serve.own_process LAKE PORT``."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from starlette.applications import Starlette

from engine.config import load_instrument
from engine.lake import Lake
from serve.app import build_app
from serve.listener import open_listener, run_listener
from serve.service import Service
from serve.settings import Limits, ServeSettings
from tests.conftest import REPO_ROOT

START_S = 240.0  # kernels may have to be compiled


async def _serve(lake: Lake, port: int) -> None:
    config = load_instrument(overrides={"perm_zscore_window_bins": 60, "perm_zscore_min_periods": 20})
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with open_listener("127.0.0.1", port) as listener:

        async def listen_on(app: Starlette) -> None:
            await run_listener(app, listener)

        service = Service(ServeSettings(lake=lake, limits=Limits(champion_poll_s=0.05)), config)
        app = build_app(service, (listen_on,))
        async with app.router.lifespan_context(app):
            print(f"serving {listener.getsockname()[1]}", flush=True)
            await ended.wait()


@contextlib.contextmanager
def replica(lake: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A replica that serves, and its port; killed with the block."""
    command = [sys.executable, "-m", "tests.test_serve.own_process", str(lake), str(port)]
    process = subprocess.Popen(command, cwd=REPO_ROOT, env=os.environ.copy(), stdout=subprocess.PIPE, text=True)
    serves = threading.Event()
    found: list[int] = []

    def read() -> None:
        for line in process.stdout or ():
            if line.startswith("serving "):
                found.append(int(line.split()[1]))
                serves.set()
        serves.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert serves.wait(START_S)
        assert found, "the replica ended before it served"
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(Lake.open(sys.argv[1]), int(sys.argv[2])))
