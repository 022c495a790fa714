"""What is still to be written to the lake, in order, by one thread: nobody waits for it, and nothing is lost while it cannot be.

A write that the disk or the folder refuses (full, gone, unreachable) is tried again until it succeeds, and what came after it
waits behind it. What is refused for any other reason is told to the log and dropped: trying again would not mend it.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

RETRY_S: Final = 1.0
MOST: Final = 100_000  # writes that wait; what comes on top is told to the log


class Backlog:
    """A queue of writes and the thread that does them; any thread may hand over.

    Parameters
    ----------
    name : str
        Of the thread, and in the log.
    retry_s : float
        Seconds between two tries of a write that failed with an OSError.
    """

    def __init__(self, name: str, retry_s: float = RETRY_S) -> None:
        self._name, self._retry_s = name, retry_s
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._n_failed = 0
        self._hurries = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, write: Callable[[], None]) -> None:
        """Have something written after all that was handed over before."""
        with self._changed:
            if len(self._waiting) >= MOST or self._closing:
                logger.error("%s: %s, so an entry is lost", self._name, "it has ended" if self._closing else f"{MOST} wait")
                return
            self._waiting.append(write)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until what was handed over is written, or the first of it was tried in vain once more."""
        with self._changed:
            failed = self._n_failed
            self._hurries = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting or self._n_failed > failed)

    def close(self) -> None:
        """Try once more to write what waits, and end; how much could not be written stands in the log."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._waiting:
            logger.error("%s: %d entries could not be written", self._name, len(self._waiting))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                write = self._waiting[0]
            is_done = self._is_done(write)
            with self._changed:
                if is_done:
                    self._waiting.popleft()
                else:
                    self._n_failed += 1
                    if self._closing:
                        return
                self._changed.notify_all()
                if not is_done:
                    self._changed.wait_for(lambda: self._hurries or self._closing, self._retry_s)
                self._hurries = False

    def _is_done(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError:
            return False  # whoever handed it over has told why
        except Exception:
            logger.exception("%s failed", self._name)
        return True
