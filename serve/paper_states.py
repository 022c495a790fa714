"""Where trades on paper stood between two bins of a session, kept in the lake's cache.

A replay that begins in a session's middle goes on from the last one before, and so enters and leaves what the whole replay does:
begun anew there, it would fire where the whole one is in a trade or cooling down. May be deleted at any time: where none is kept,
such a replay trades nothing.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from engine.files import write_kept
from engine.run.keyframes import KEYFRAME_BINS, make_room

logger = logging.getLogger(__name__)

FOLDER_BYTES: Final = 256 << 20  # of all states together
_END: Final = ".trades"


class PaperStates:
    """The kept states of one replica, by session and champion; any thread may ask or hand over.

    Parameters
    ----------
    folder : Path
        Where they lie; made when the first is kept.
    every_bins : int
        How far they lie apart; as far as the kept states of replays, from which alone a replay begins.
    """

    def __init__(self, folder: Path, every_bins: int = KEYFRAME_BINS) -> None:
        self._folder = folder
        self._every_bins = every_bins
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="paper-states")

    def is_due(self, n_bins: int) -> bool:
        """Whether a state is wanted once a session's first ``n_bins`` are out."""
        return n_bins > 0 and n_bins % self._every_bins == 0

    def keep(self, whose: str, n_bins: int, state: bytes) -> None:
        """Have a state written, without waiting."""
        self._writer.submit(self._write, self._folder / whose / f"{n_bins:09d}{_END}", state)

    def last(self, whose: str, n_bins: int) -> tuple[int, bytes] | None:
        """The last state at or before a bin, and how many bins it has seen; None where none is kept."""
        for path in sorted((self._folder / whose).glob(f"*{_END}"), reverse=True):
            stands_at = int(path.stem)
            if stands_at <= n_bins:
                try:
                    return stands_at, path.read_bytes()
                except OSError as error:  # removed this moment, or not to be read: as if it were not there
                    logger.warning("%s cannot be read: %s", path, error)
        return None

    def close(self) -> None:
        """Write what is still to be written, and end."""
        self._writer.shutdown(wait=True)

    def _write(self, path: Path, state: bytes) -> None:
        try:
            write_kept(path, state)
            make_room(self._folder, FOLDER_BYTES)
        except OSError as error:
            logger.warning("%s cannot be kept: %s", path, error)
