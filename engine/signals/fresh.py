"""A function called in a process that has called nothing before, so that whatever a process keeps is not there yet.

One bare process is started, once, which runs nothing itself and forks for each request; its children begin where it stands.
What it is sent is named, not copied: functions and classes by module, those of a signal's file by the file's bundle.
"""

import atexit
import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.signals.bundle import Bundle, bundle_of, load_bundle

Arrays = Mapping[str, NDArray[Any]]
Decide = Callable[[Arrays], Arrays]

_SIZE_BYTES: Final = 8
_START: Final = "from engine.signals.fresh import serve; serve()"
_one_at_a_time: Final = threading.Lock()


class FreshError(EngineError):
    """What failed in the fresh process and did not here."""


def named(decide: Decide) -> bytes | None:
    """A function as its name for another process; None for one that has none there (a lambda, a class typed in a notebook)."""
    data = io.BytesIO()
    try:
        _Namer(data).dump(decide)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return data.getvalue()


def run_fresh(name: bytes, sessions: Sequence[Arrays]) -> list[Arrays]:
    """What a function says of each session, in this order, in a process of its own.

    Parameters
    ----------
    name
        Of `named`.

    Raises
    ------
    FreshError
        It failed there; with what it raised.
    """
    with _one_at_a_time:
        requests, answers = _pipes(_bare_process())
        try:
            _write(requests, pickle.dumps((sys.path, name, list(sessions))))
            answer = _read(answers)
        except BrokenPipeError:
            answer = None
        if answer is None:
            _bare_process.cache_clear()
            raise FreshError("the process that runs a signal afresh is gone; run the check again")
    found = pickle.loads(answer)
    if isinstance(found, str):
        raise FreshError(f"in a process that had run nothing before it failed: {found}")
    return list(found)


@cache
def _bare_process() -> "subprocess.Popen[bytes]":
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    started = subprocess.Popen([sys.executable, "-P", "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    atexit.register(_end, started)
    return started


def _end(process: "subprocess.Popen[bytes]") -> None:
    requests, answers = _pipes(process)
    with contextlib.suppress(BrokenPipeError):  # of a process that is gone already, which is all that is asked
        requests.close()
    process.wait()
    answers.close()


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    """Where requests go, and where answers come from."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def serve() -> None:
    """Answer requests on the standard input, each in a child of its own, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a signal prints is no answer
    while (request := _read(sys.stdin.buffer)) is not None:
        child = os.fork()
        if child == 0:
            _answer(request, answers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            _write(answers, pickle.dumps(f"the process ended with {os.waitstatus_to_exitcode(status)}"))


def _answer(request: bytes, answers: IO[bytes]) -> None:
    found: str | list[dict[str, NDArray[Any]]]
    try:
        path, name, sessions = pickle.loads(request)
        sys.path[:] = path
        decide: Decide = _Finder(io.BytesIO(name)).load()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # as where it is compared with
            found = [dict(decide(session)) for session in sessions]
    except Exception as error:  # whatever it raises is told to the process that asked
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {' '.join(str(error).split())} ({os.path.basename(where.filename)} line {where.lineno})"
    _write(answers, pickle.dumps(found))


class _Namer(pickle.Pickler):
    """Names classes of bundles by their sources, and refuses what lives in ``__main__``, which is another module there."""

    def persistent_id(self, obj: Any) -> Any:
        module = getattr(obj, "__module__", None) if isinstance(obj, type) or callable(obj) else None
        if module == "__main__":
            raise pickle.PicklingError(f"{obj!r} lives in __main__")
        found = bundle_of(obj) if isinstance(obj, type) else None
        return None if found is None else (found[0].as_dict(), found[1])


class _Finder(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        values, name = pid
        return load_bundle(Bundle(**values)).signals[name]


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(_SIZE_BYTES, "little") + data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    """One message; None where there is no more."""
    size = stream.read(_SIZE_BYTES)
    return stream.read(int.from_bytes(size, "little")) if len(size) == _SIZE_BYTES else None
