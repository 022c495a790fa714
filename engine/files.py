"""How a file or a folder gets where it lies whole or not at all, and what its bytes hash to."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import NO_ROOM

_SEALED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_HASH_CHUNK_BYTES: Final = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_path(path: Path) -> None:
    """Force a file's or a folder's entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name a file in the error of a full disk, which does not say what was written."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM and error.filename is None:
            error.filename = str(path)
        raise


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with writing(path), os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write or replace a file: readers see the old bytes or the new ones, never a part."""
    temporary = _write_temporary(path, data, mode)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def write_kept(path: Path, data: bytes) -> bool:
    """Write what can be made anew at any time; whether it lies there now: a folder that is read-only or full costs time only."""
    try:
        write_atomic(path, data)
    except OSError as error:
        if error.errno not in (*_SEALED, *NO_ROOM):
            raise
        return False
    return True


def write_new(path: Path, data: bytes, mode: int = 0o444) -> None:
    """Create a file that must not exist yet, whole or not at all; two writers cannot both win.

    Raises
    ------
    FileExistsError
        Somebody was first.
    """
    temporary = _write_temporary(path, data, mode)
    try:
        os.link(temporary, path)  # link, unlike rename, refuses an existing name
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)


def seal_folder(temporary: Path, final: Path) -> None:
    """Make a finished temporary folder read-only and give it its name in one step.

    Raises
    ------
    OSError
        The name is taken (``errno`` ENOTEMPTY or EEXIST).
    """
    for item in sorted(temporary.iterdir()):
        fsync_path(item)
        item.chmod(0o444)
    fsync_path(temporary)
    temporary.chmod(0o555)
    temporary.rename(final)
    fsync_path(final.parent)
