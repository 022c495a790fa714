"""A process that has imported the heavy libraries and none of ours; it forks one child for each run of pytest.

Reads requests from standard input, one JSON object a line: ``args`` for pytest, ``env`` to add, ``root`` to run in, ``limit_s``,
``log`` for the output. Answers with one line each: the exit code of pytest, or "timeout".
"""

import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
import traceback
from ctypes import CDLL
from pathlib import Path
from typing import Any

import psutil

PRELOADED = (
    *("pytest", "hypothesis", "numpy", "numba", "pyarrow", "pyarrow.parquet", "polars", "yaml", "pydantic", "databento_dbn"),
    *("zstandard", "rich.console", "starlette.applications", "websockets", "uvicorn"),
)
MOST_BYTES = 8 << 30  # of one child: a mutant may allocate without end
PR_SET_CHILD_SUBREAPER = 36
NOT_RUN = 99  # the exit code of a child whose pytest could not start


def serve() -> None:
    """Answer requests until standard input ends."""
    CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # whatever a test leaves behind becomes our child
    for name in PRELOADED:
        __import__(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(run(json.loads(line)), flush=True)


def run(request: dict[str, Any]) -> str:
    """One run of pytest in a fork of this process; all that it left running is ended after it."""
    child = os.fork()
    if child == 0:
        _child(request)
    try:
        return _wait(child, request["limit_s"])
    finally:
        _end_all()


def _child(request: dict[str, Any]) -> None:
    code = NOT_RUN
    try:
        os.setsid()
        with open(request["log"], "wb") as log, open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(request["env"])
        os.chdir(request["root"])
        sys.path.insert(0, request["root"])
        if "numba" in sys.modules:
            sys.modules["numba"].config.DISABLE_JIT = int(os.environ.get("NUMBA_DISABLE_JIT", "0"))
            sys.modules["numba"].config.CACHE_DIR = os.environ.get("NUMBA_CACHE_DIR", "")
        import pytest

        code = int(pytest.main(request["args"]))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, limit_s: float) -> str:
    ended = os.pidfd_open(child)
    try:
        if not select.select([ended], [], [], limit_s)[0]:
            return "timeout"
    finally:
        os.close(ended)
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _end_all() -> None:
    """End every process under this one and take its status, so that none is left for the next run."""
    while children := psutil.Process().children(recursive=True):
        for process in children:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=5)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


class Zygote:
    """The other end: a zygote of this interpreter."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, root: Path, args: list[str], env: dict[str, str], limit_s: float, log: Path) -> str:
        request = {"root": str(root), "args": args, "env": env, "limit_s": limit_s, "log": str(log)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"the zygote of {root} ended by itself with code {self._process.wait()}")
        if answer == str(NOT_RUN):
            raise RuntimeError(f"pytest could not start in {root}: {log.read_text(errors='replace')}")
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


if __name__ == "__main__":
    serve()
