"""What was ordered and what has come of it: a list in the lake, one process at a time.

``lake/downloads/jobs.json`` is replaced whole. An order is written down before it is sent, so that whoever goes on after a kill
knows to look for it at the vendor before ordering, and paying, once more.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal, Self

from engine.errors import DatasetError, WorkError
from engine.feed.download.plan import Asked
from engine.files import write_atomic
from engine.lake import Lake

_VERSION: Final = 1
State = Literal["ordering", "ordered", "done"]


class Ledger:
    """The list, and the folders beside it: ``staging`` for what is under way, ``quarantine`` for what came wrong."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self.folder = folder
        self._values = values

    @classmethod
    @contextmanager
    def open(cls, lake: Lake) -> Iterator[Self]:
        """The lake's list, for as long as nobody else has it.

        Raises
        ------
        WorkError
            Another download is running.
        DatasetError
            The list is damaged.
        """
        folder = lake.root / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however it ends
            except BlockingIOError:
                raise WorkError(f"another download is running in {folder}; wait for its end") from None
            yield cls(folder, _read(folder / "jobs.json"))

    @property
    def quarantine(self) -> Path:
        """Where files lie that are not what the vendor says."""
        return self.folder / "quarantine"

    def staging(self, asked: Asked) -> Path:
        """Where a request's files lie until they are whole and right."""
        folder = self.folder / "staging" / asked.id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def open_orders(self) -> list[Asked]:
        """Batch orders that are not done, the oldest first."""
        return [Asked(**one["asked"]) for one in self._values["orders"].values() if one["state"] != "done"]

    def job_id(self, asked: Asked) -> str | None:
        """The vendor's id of an order's job, once it is known."""
        found: str | None = self._values["orders"].get(asked.id, {}).get("job_id")
        return found

    def job_ids(self) -> set[str]:
        """All jobs that belong to an order."""
        return {one["job_id"] for one in self._values["orders"].values() if one["job_id"]}

    def set_order(self, asked: Asked, state: State, job_id: str | None = None) -> None:
        """Write down where an order stands."""
        self._values["orders"][asked.id] = {"asked": asdict(asked), "state": state, "job_id": job_id}
        self._write()

    def forget_order(self, asked: Asked) -> None:
        """It was never accepted, or its job is gone."""
        self._values["orders"].pop(asked.id, None)
        self._write()

    def is_empty(self, contract: str, day: str) -> bool:
        """Whether the vendor has said that a contract has no records on a day."""
        return f"{contract} {day}" in self._values["empty_days"]

    def set_empty(self, contract: str, day: str) -> None:
        """Write that down."""
        if not self.is_empty(contract, day):
            self._values["empty_days"].append(f"{contract} {day}")
            self._write()

    def set_placed(self, name: str, sha256: str, size: int) -> None:
        """Write down what a file in the raw layout is."""
        self._values["files"][name] = {"sha256": sha256, "size": size}
        self._write()

    def _write(self) -> None:
        write_atomic(self.folder / "jobs.json", json.dumps(self._values, indent=1, sort_keys=True).encode())


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"version": _VERSION, "orders": {}, "files": {}, "empty_days": []}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = values["version"] == _VERSION and {"orders", "files", "empty_days"} <= set(values)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise DatasetError(
            f"{path} is no list of downloads of version {_VERSION}; set it aside, and the vendor's own list is asked"
        )
    return values
