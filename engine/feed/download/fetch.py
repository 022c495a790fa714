"""One file of a batch job's manifest: fetched by its address, gone on with where it broke off, judged by its hash.

The vendor's client fetches it without a timeout, and warns of a wrong hash only; hence its way is gone here with both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import requests

from engine.errors import WorkError
from engine.feed.download.vendor import Transient, Vendor
from engine.files import fsync_path, sha256_file, writing

TRIES: Final = 3  # of a file that comes whole and wrong
_PIECE_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class Listed:
    """A file as the manifest lists it."""

    name: str
    size: int  # bytes
    sha256: str
    url: str

    @classmethod
    def read(cls, given: dict[str, Any]) -> Self:
        """One entry of the manifest.

        Raises
        ------
        WorkError
            It is none, or its hash is of another kind.
        """
        try:
            name, size, url = str(given["filename"]), int(given["size"]), str(given["urls"]["https"])
            kind, _, digest = str(given["hash"]).partition(":")
        except (KeyError, TypeError, ValueError):
            raise WorkError("the vendor's manifest lists a file without name, size, hash or address; ask the vendor") from None
        if kind != "sha256" or Path(name).name != name or name.startswith("."):
            raise WorkError(f"the vendor's manifest lists {name!r} with a hash of {kind}; a plain name and sha256 are needed")
        return cls(name, size, digest, url)


def fetch(vendor: Vendor, listed: Listed, folder: Path, quarantine: Path, progress: Callable[[int], None]) -> Path:
    """A file of the manifest, whole and right, in ``folder``; ``progress`` hears the bytes there.

    Raises
    ------
    WorkError
        It came wrong `TRIES` times, or not at all within the budget.
    """
    path = folder / listed.name
    while True:
        _complete(vendor, listed, path, progress)
        if sha256_file(path) == listed.sha256:
            fsync_path(path)
            return path
        set_aside(path, quarantine, "it is not what the manifest's hash says")


def set_aside(path: Path, quarantine: Path, why: str) -> None:
    """Move a wrong file away for somebody to look at.

    Raises
    ------
    WorkError
        It is the last that is tried.
    """
    quarantine.mkdir(parents=True, exist_ok=True)
    n_before = len(list(quarantine.glob(f"{path.name}.*")))
    path.rename(quarantine / f"{path.name}.{n_before + 1}")
    fsync_path(quarantine)
    if n_before + 1 >= TRIES:
        raise WorkError(
            f"{path.name} came {n_before + 1} times and each time {why}; they lie in {quarantine}. Ask the vendor, remove them, "
            "and give the same command again"
        )


def _complete(vendor: Vendor, listed: Listed, path: Path, progress: Callable[[int], None]) -> None:
    """Fetch what is missing of a file until it has its size."""
    if not vendor.may_have_the_key(listed.url):
        raise WorkError(f"the vendor's manifest leads to {listed.url}, which is not the vendor's; ask the vendor")
    while (there := path.stat().st_size if path.exists() else 0) != listed.size:
        if there > listed.size:
            path.unlink()
            continue
        try:
            vendor.once(f"fetching {listed.name}", lambda: _fetch_rest(vendor, listed, path, progress))
            if path.stat().st_size < listed.size:
                raise Transient("it ended too early")
        except Transient as failure:
            if path.exists() and path.stat().st_size > there:
                vendor.patience.progress()
            vendor.patience.wait(f"fetching {listed.name}", str(failure), failure.retry_after_s)
    if not listed.size:
        path.touch()
    vendor.patience.progress()


def _fetch_rest(vendor: Vendor, listed: Listed, path: Path, progress: Callable[[int], None]) -> None:
    there = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={there}-{listed.size - 1}"} if there else {}
    timeouts = (vendor.timeout_s, vendor.timeout_s)
    with requests.get(listed.url, headers=headers, auth=vendor.auth, timeout=timeouts, stream=True) as response:
        if response.status_code == 416:
            path.unlink()  # what is there is no part of it
            raise Transient("the vendor has no such part of it")
        vendor.check(f"fetching {listed.name}", response)
        is_rest = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        done = there if is_rest else 0
        with writing(path), path.open("ab" if is_rest else "wb") as file:
            for piece in response.iter_content(_PIECE_BYTES):
                file.write(piece)
                done += len(piece)
                progress(done)
