"""A file that is whole and right goes into the raw layout, with its symbology beside it."""

import json
import re
from pathlib import Path
from typing import Any, Final

from engine.errors import WorkError
from engine.feed.download.ledger import Ledger
from engine.feed.download.plan import Asked
from engine.files import fsync_path, sha256_file, write_atomic
from engine.lake import Lake
from engine.source.contracts import root_of

_DAY: Final = re.compile(r"\d{8}")
SUFFIX: Final = ".dbn.zst"


def raw_path(lake: Lake, asked: Asked, day: str) -> Path:
    """Where a contract's file of a day lies: the contract, the venue and the day in its name."""
    root = root_of(asked.contract)
    assert root is not None
    venue = asked.dataset.lower().replace(".", "-")
    name = f"{asked.contract.lower()}-{venue}-{day.replace('-', '')}.{asked.schema}{SUFFIX}"
    return lake.raw_dir(root) / name


def day_of_file(name: str) -> str | None:
    """The day of a data file of a job, as ``YYYY-MM-DD``; None of the files beside it."""
    found = _DAY.search(name) if name.endswith(SUFFIX) else None
    return f"{found[0][:4]}-{found[0][4:6]}-{found[0][6:]}" if found else None


def place(lake: Lake, ledger: Ledger, asked: Asked, day: str, staged: Path, symbology: dict[str, Any]) -> Path:
    """Move a file to where it belongs: it is there whole, with its symbology, or not at all.

    Raises
    ------
    WorkError
        Another content lies there already.
    """
    target = raw_path(lake, asked, day)
    digest, size = sha256_file(staged), staged.stat().st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if sha256_file(target) != digest:
            raise WorkError(f"{target} lies there with other content than what came; set one of them aside ({staged})")
        staged.unlink()
    else:
        beside = target.with_name(target.name.removesuffix(SUFFIX) + ".symbology.json")
        write_atomic(beside, json.dumps(symbology, indent=1).encode())
        fsync_path(staged)
        ledger.set_placed(target.name, digest, size)
        staged.rename(target)  # the one step that counts, hence the last: before it the file is not there, after it all is done
        fsync_path(target.parent)
    return target
