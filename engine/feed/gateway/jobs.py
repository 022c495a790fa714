"""Batch jobs of the gateway: submitted, in work for some polls, then files with a manifest of hashes.

Source: Databento, `batch.submit_job`, `batch.list_jobs`, `batch.list_files`; the download centre's support files.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import zstandard

from engine.constants import NS_PER_DAY
from engine.feed.gateway.query import Query, Refused, day_of, iso
from engine.files import sha256_file

USER: Final = "LOOPBACK"
_KEPT: Final = timedelta(days=30)
_ALSO_SAID: Final = ("pretty_px", "pretty_ts", "map_symbols", "split_symbols")


@dataclass
class Job:
    """One job; it is done after ``polls`` looks at it."""

    id: str
    query: Query
    folder: Path
    polls: int
    received: datetime
    state: str = "queued"
    cost_usd: float = 0.0
    files: list[Path] = field(default_factory=list)

    def look(self) -> None:
        """One poll of the list; the last one finishes it."""
        if self.state in ("queued", "processing"):
            self.polls -= 1
            self.state = "processing"
            if self.polls < 0:
                self._make_files()
                self.state = "done"

    def details(self) -> dict[str, Any]:
        """As `batch.submit_job` and `batch.list_jobs` tell of it."""
        given = self.query.given
        is_done = self.state == "done"
        moment = self.received.isoformat()
        return {
            "id": self.id,
            "user_id": USER,
            "bill_id": None,
            "cost_usd": self.cost_usd,
            "dataset": given["dataset"],
            "symbols": given["symbols"],
            "stype_in": given["stype_in"],
            "stype_out": given.get("stype_out") or "instrument_id",
            "schema": given["schema"],
            "start": iso(self.query.start_ns),
            "end": iso(self.query.end_ns),
            "limit": self.query.limit,
            "encoding": given.get("encoding") or "dbn",
            "compression": given.get("compression") or "zstd",
            **{name: str(given.get(name, "")).lower() == "true" for name in _ALSO_SAID},
            "split_duration": given.get("split_duration") or "day",
            "split_size": None,
            "packaging": None,
            "delivery": "download",
            "record_count": self.query.n_records,
            "billed_size": self.query.n_bytes,
            "actual_size": sum(path.stat().st_size for path in self.files) if is_done else None,
            "package_size": None,
            "state": self.state,
            "ts_received": moment,
            "ts_queued": moment,
            "ts_process_start": moment if self.state != "queued" else None,
            "ts_process_done": moment if is_done else None,
            "ts_expiration": (self.received + _KEPT).isoformat(),
            "progress": 100 if is_done else 0,
        }

    def list_files(self, base_url: str) -> list[dict[str, Any]]:
        """As `batch.list_files` tells of its files."""
        if self.state != "done":
            return []
        return [_file_details(path, f"{base_url}/v0/batch/download/{USER}/{self.id}/{path.name}") for path in self.files]

    def file(self, name: str) -> Path:
        """One of its files.

        Raises
        ------
        Refused
            It has none of that name, or is not done, or has expired.
        """
        found = next((path for path in self.files if path.name == name), None)
        if found is None or self.state != "done":
            raise Refused(404, "batch_file_not_found", f"job {self.id} has no file {name!r} to download")
        return found

    def _make_files(self) -> None:
        self.folder.mkdir(exist_ok=True)
        query = self.query
        by_day = str(query.given.get("split_duration") or "day") == "day"
        step = NS_PER_DAY if by_day else query.end_ns
        prefix = query.tape.dataset.lower().replace(".", "-")
        at = query.start_ns
        while at < query.end_ns:
            until = min(at // NS_PER_DAY * NS_PER_DAY + step if by_day else query.end_ns, query.end_ns)
            part = query.part(at, until)
            name = f"{day_of(at):%Y%m%d}" if by_day else f"{day_of(at):%Y%m%d}-{day_of(query.end_ns - 1):%Y%m%d}"
            if part.n_records:
                self._add(f"{prefix}-{name}.mbo.dbn.zst", compressed(part))
            at = until
        self._add("metadata.json", json.dumps({"version": 1, "job_id": self.id, "query": query.given}, indent=1).encode())
        self._add("symbology.json", json.dumps(self._symbology(), indent=1).encode())
        condition = [{"date": f"{day}", "condition": "available"} for day in query.tape.days]
        self._add("condition.json", json.dumps(condition, indent=1).encode())
        manifest = {"job_id": self.id, "files": [_file_details(path, path.name) for path in self.files]}
        self._add("manifest.json", json.dumps(manifest, indent=1).encode())

    def _add(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.write_bytes(data)
        self.files.append(path)

    def _symbology(self) -> dict[str, Any]:
        query = self.query
        result: dict[str, list[dict[str, str]]] = {}
        for asked, one in query.contracts:
            span = {"d0": f"{one.first}", "d1": f"{one.end}", "s": str(one.instrument_id)}
            result.setdefault(one.symbol if query.given["stype_in"] == "parent" else asked, []).append(span)
        return {"result": result, "symbols": query.given["symbols"].split(","), "stype_in": query.given["stype_in"],
                "stype_out": "instrument_id", "partial": [], "not_found": [], "message": "OK", "status": 0}  # fmt: skip


def compressed(query: Query) -> bytes:
    """A query's records as a compressed DBN file."""
    packer = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
    body = [packer.compress(query.metadata()), *(packer.compress(piece.tobytes()) for piece in query.pieces())]
    return b"".join([*body, packer.flush()])


def _file_details(path: Path, url: str) -> dict[str, Any]:
    return {
        "filename": path.name,
        "size": path.stat().st_size,
        "hash": f"sha256:{sha256_file(path)}",
        "urls": {"https": url},
    }


class Jobs:
    """All jobs that were submitted to a gateway."""

    def __init__(self, folder: Path, polls: int) -> None:
        self._folder = folder
        self._polls = polls
        self._jobs: dict[str, Job] = {}

    def submit(self, query: Query, cost_usd: float, more_polls: int) -> Job:
        """A new job."""
        received = datetime.now(UTC)
        prefix = query.tape.dataset.split(".")[0]
        number = f"{prefix}-{received:%Y%m%d}-{len(self._jobs) + 1:010d}"
        job = Job(number, query, self._folder / number, self._polls + more_polls, received, cost_usd=cost_usd)
        self._jobs[number] = job
        return job

    def listed(self, states: set[str], since_ns: int) -> list[Job]:
        """Those of some states that came at ``since_ns`` or later, the oldest first."""
        for job in self._jobs.values():
            job.look()
        return [job for job in self._jobs.values() if job.state in states and job.received.timestamp() * 1e9 >= since_ns]

    def of(self, number: str) -> Job:
        """One job.

        Raises
        ------
        Refused
            There is none of that id.
        """
        if number not in self._jobs:
            raise Refused(404, "batch_job_not_found", f"no batch job {number!r} is known")
        return self._jobs[number]
