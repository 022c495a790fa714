"""Work that a service has done by a process of its own: tables that `tune` makes, written as files, and only read here.

Ranking a hundred thousand runs, or scoring a session again, takes seconds of a processor and hundreds of megabytes. Next to live
streams that belongs into another process, and `tune` is not known here: it is asked by its commands, as a user asks it.
"""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final

from serve.settings import TOKEN_ENV

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 2
_WAITING: Final = 16  # beyond those at work
_LIMIT_S: Final = 1800.0  # of a hundred thousand runs ranking takes minutes
_LONGEST_WAIT_S: Final = 60.0
_NICE: Final = 10
_KEPT_FILES: Final = 64
_KEPT_BYTES: Final = 1 << 30
_BAD_INPUT: Final = 2  # exit code of our commands
_START: Final = "import sys; from tune.cli import main; sys.exit(main())"


class AsideError(Exception):
    """A table could not be made; the text is the command's own line."""


class BadAskError(AsideError):
    """What was asked for is not there."""


class TooManyError(AsideError):
    """Too much is being made already."""


class Asides:
    """Tables that are made on demand and kept, as files of one folder.

    Parameters
    ----------
    folder : Path
        Where they are kept; it may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="aside")
        self._under_way: dict[str, asyncio.Task[Path]] = {}  # by the command
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    async def table(self, words: Sequence[str], state: str, patience_s: float = _LONGEST_WAIT_S) -> Path:
        """The file that a command of `tune` makes, from before if that is possible.

        Parameters
        ----------
        words : sequence of str
            The command; ``--arrow FILE`` is added.
        state : str
            What its result depends on: a file that was made of another state is made anew.
        patience_s : float
            After so long a file of an older state will do, where there is one; the new one is made all the same.

        Raises
        ------
        BadAskError, TooManyError, AsideError
            There is none.
        """
        stem = sha256("\0".join(words).encode()).hexdigest()[:24]
        path = self._folder / f"{stem}-{state}.arrow"
        if path.is_file():
            return path
        task = self._under_way.get(stem)
        if task is None:
            if len(self._under_way) >= _AT_ONCE + _WAITING:
                raise TooManyError(f"{len(self._under_way)} tables are being made; ask again later")
            task = asyncio.create_task(self._made(words, path))
            self._under_way[stem] = task
            task.add_done_callback(lambda made: self._ended(made, stem))
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        if done:  # of another state, where it was begun before that changed: the next one who asks begins anew
            return task.result()
        older = await asyncio.to_thread(self._older, stem)
        if older is not None:
            return older
        if not (await asyncio.wait({task}, timeout=_LONGEST_WAIT_S))[0]:
            raise TooManyError("the table is being made, and that takes long; ask again later")
        return task.result()

    def close(self) -> None:
        """End what is being made."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, made: "asyncio.Task[Path]", stem: str) -> None:
        del self._under_way[stem]
        if not made.cancelled() and isinstance(error := made.exception(), AsideError):  # also where nobody waits any more
            logger.info("%s was not made: %s", stem, error)

    async def _made(self, words: Sequence[str], path: Path) -> Path:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._make, words, path)
        except OSError as error:
            raise AsideError(f"{path.name} could not be made: {error.strerror}") from error

    def _make(self, words: Sequence[str], path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-c", _START, *words, f"--arrow={path}"]
        with self._lock:
            if self._closed:
                raise AsideError("the service is going away")
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment())
            self._children.add(child)
        try:
            os.setpriority(os.PRIO_PROCESS, child.pid, _NICE)  # the streams go first
            _, said = child.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AsideError(f"{words[0]} took more than {_LIMIT_S:g} s") from None
        finally:
            child.kill()  # of one that has ended: nothing
            child.wait()
            with self._lock:
                self._children.discard(child)
        if child.returncode == 0:
            self._forget()
            return path
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        if child.returncode == _BAD_INPUT:
            raise BadAskError(lines[-1].partition(": ")[2])
        logger.error("python -m tune %s failed with exit code %d: %s", " ".join(words), child.returncode, lines[-1])
        raise AsideError(f"{words[0]} failed; the service's log says why")

    def _older(self, stem: str) -> Path | None:
        files = list(self._folder.glob(f"{stem}-*.arrow"))
        return max(files, key=lambda path: path.stat().st_mtime_ns) if files else None

    def _forget(self) -> None:
        """Let go of the files that were made longest ago; who reads one of them goes on."""
        files = [(path, path.stat()) for path in self._folder.glob("*.arrow*")]
        n_bytes = 0
        for place, (path, stat) in enumerate(sorted(files, key=lambda one: one[1].st_mtime_ns, reverse=True)):
            n_bytes += stat.st_size
            if place and (place >= _KEPT_FILES or n_bytes > _KEPT_BYTES):
                path.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """Ours, without the token, and with our own ways of finding modules; one thread, as streams run beside it."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    path = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    return {name: value for name, value in os.environ.items() if name != TOKEN_ENV} | one | path
