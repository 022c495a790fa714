"""What a process puts on the disk and when: each sync of a file or folder, and what was there under its name at that moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Synced:
    """A file with its size, or a folder with the names in it."""

    path: Path
    size: int
    names: tuple[str, ...]


@contextmanager
def syncs() -> Iterator[list[Synced]]:
    """Every ``os.fsync`` of this process in the block, in order; they are done all the same."""
    seen: list[Synced] = []
    really = os.fsync

    def fsync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        names = tuple(sorted(one.name for one in path.iterdir())) if path.is_dir() else ()
        seen.append(Synced(path, os.fstat(handle).st_size if not names else -1, names))
        really(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield seen
