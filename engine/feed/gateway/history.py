"""The historical HTTP API over a tape: metadata, symbology, timeseries and batch, as the vendor's client asks for them.

Source: databento's Python client 0.88 for paths, forms and answers; the vendor's reference of the historical API.
"""

import base64
import hmac
import io
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.errors import ConfigError
from engine.feed.gateway.bodies import Answer, forever
from engine.feed.gateway.faults import Fault, Faults
from engine.feed.gateway.jobs import USER, Jobs
from engine.feed.gateway.names import COMBINATIONS, Names
from engine.feed.gateway.query import (
    SCHEMA,
    Query,
    Refused,
    day_of,
    iso,
    read_date,
    read_query,
    read_symbols,
    read_time,
    require_dataset,
)  # fmt: skip
from engine.feed.gateway.tape import Tape
from engine.schema import MBO_DTYPE

CASES: Final = {
    401: ("auth_authentication_failed", "Authentication failed."),
    402: ("billing_account_insufficient_funds", "The account's credit does not cover this request."),
    403: ("auth_no_dataset_entitlement", "A subscription to this dataset is required."),
    404: ("not_found", "Not found."),
    422: ("invalid_request", "The request cannot be processed."),
    429: ("rate_limit_exceeded", "Too many requests."),
}
_BYTES_PER_GB: Final = 2**30
_READ_BYTES: Final = 1 << 20
Handler = Callable[[dict[str, str], list[Fault]], Awaitable[Response]]


class History:
    """The endpoints, by the vendor's names."""

    def __init__(self, tape: Tape, key: str, faults: Faults, work: Path, usd_per_gb: float, job_polls: int) -> None:
        self._tape = tape
        self._names = Names(tape)
        self._key = key
        self._faults = faults
        self._usd_per_gb = usd_per_gb
        self._jobs = Jobs(work, job_polls)
        self._base_url = ""

    def app(self) -> Starlette:
        """The endpoints as an ASGI application."""
        known: dict[str, Handler] = {
            "metadata.list_publishers": self._list_publishers,
            "metadata.list_datasets": self._list_datasets,
            "metadata.list_schemas": self._list_schemas,
            "metadata.list_fields": self._list_fields,
            "metadata.list_unit_prices": self._list_unit_prices,
            "metadata.get_dataset_condition": self._dataset_condition,
            "metadata.get_dataset_range": self._dataset_range,
            "metadata.get_record_count": self._record_count,
            "metadata.get_billable_size": self._billable_size,
            "metadata.get_cost": self._cost,
            "symbology.resolve": self._resolve,
            "timeseries.get_range": self._get_range,
            "batch.submit_job": self._submit_job,
            "batch.list_jobs": self._list_jobs,
            "batch.get_job_details": self._job_details,
            "batch.list_files": self._list_files,
            "batch.download": self._download,
        }
        both = ["GET", "POST"]
        routes = [Route(f"/v0/{name}", self._endpoint(name, handler), methods=both) for name, handler in known.items()]
        path = f"/v0/batch/download/{USER}/{{job_id}}/{{filename}}"
        routes.append(Route(path, self._endpoint("batch.download", self._download), methods=["GET"]))
        routes.append(Route("/gateway/faults", self._order, methods=["POST", "DELETE"]))
        return Starlette(routes=routes)

    async def _order(self, request: Request) -> Response:
        """Faults while it runs, a line each, or none any more (DELETE); not of the vendor's API."""
        try:
            self._authorize(request)
            if request.method == "DELETE":
                self._faults.clear()
            for fault in [Fault.read(line) for line in (await request.body()).decode().split()]:
                self._faults.add(fault)
        except Refused as refused:
            return JSONResponse(refused.body, refused.code)
        except ConfigError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse({"detail": "ordered"})

    def _endpoint(self, name: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self._base_url = str(request.base_url).rstrip("/")
            try:
                self._authorize(request)
                form = {**request.query_params, **dict(parse_qsl((await request.body()).decode()))}
                form |= {**request.path_params, "range": request.headers.get("range", "")}
                faults = self._faults.passing(name)
                for fault in faults:
                    if fault.kind == "status":
                        fault.hit.set()
                        case, message = CASES.get(fault.code, ("server_error", "The gateway failed."))
                        raise Refused(fault.code, case, message, fault.retry_after)
                await _hang(faults, "hold")
                response = await handler(form, faults)
                await _hang(faults, "mute")
            except Refused as refused:
                return JSONResponse(refused.body, refused.code, refused.headers)
            return response

        return answer

    def _authorize(self, request: Request) -> None:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        expected = base64.b64encode(f"{self._key}:".encode()).decode()
        if kind.lower() != "basic" or not hmac.compare_digest(value, expected):
            raise Refused(401, *CASES[401])

    def _query(self, form: dict[str, str]) -> Query:
        return read_query(form, self._tape, self._names)

    def _cost_usd(self, query: Query) -> float:
        return query.n_bytes / _BYTES_PER_GB * self._usd_per_gb

    async def _list_publishers(self, form: dict[str, str], faults: list[Fault]) -> Response:
        numbers = sorted({int(one) for one in self._tape.records[:1]["publisher_id"]})
        return JSONResponse(
            [
                {
                    "publisher_id": one,
                    "dataset": self._tape.dataset,
                    "venue": "LOOP",
                    "description": "played by a loopback gateway",
                }
                for one in numbers
            ]
        )

    async def _list_datasets(self, form: dict[str, str], faults: list[Fault]) -> Response:
        return JSONResponse([self._tape.dataset])

    async def _list_schemas(self, form: dict[str, str], faults: list[Fault]) -> Response:
        require_dataset(form, self._tape)
        return JSONResponse([SCHEMA])

    async def _list_fields(self, form: dict[str, str], faults: list[Fault]) -> Response:
        types = {"u": "uint", "i": "int"}
        fields = [(name, MBO_DTYPE[name]) for name in MBO_DTYPE.names or ()]
        return JSONResponse([{"name": name, "type": f"{types[kind.kind]}{8 * kind.itemsize}_t"} for name, kind in fields])

    async def _list_unit_prices(self, form: dict[str, str], faults: list[Fault]) -> Response:
        require_dataset(form, self._tape)
        modes = ("historical", "historical-streaming", "live")
        return JSONResponse([{"mode": mode, "unit_prices": {SCHEMA: self._usd_per_gb}} for mode in modes])

    async def _dataset_condition(self, form: dict[str, str], faults: list[Fault]) -> Response:
        require_dataset(form, self._tape)
        first = read_date(form["start_date"], "start_date") if form.get("start_date") else self._tape.days[0]
        last = read_date(form["end_date"], "end_date") if form.get("end_date") else self._tape.days[-1]
        days = [f"{day}" for day in self._tape.days if first <= day <= last]
        return JSONResponse([{"date": day, "condition": "available", "last_modified_date": day} for day in days])

    async def _dataset_range(self, form: dict[str, str], faults: list[Fault]) -> Response:
        require_dataset(form, self._tape)
        span = {"start": iso(self._tape.start_ns), "end": iso(self._tape.end_ns)}
        return JSONResponse({**span, "schema": {SCHEMA: span}})

    async def _record_count(self, form: dict[str, str], faults: list[Fault]) -> Response:
        return JSONResponse(self._query(form).n_records)

    async def _billable_size(self, form: dict[str, str], faults: list[Fault]) -> Response:
        return JSONResponse(self._query(form).n_bytes)

    async def _cost(self, form: dict[str, str], faults: list[Fault]) -> Response:
        return JSONResponse(self._cost_usd(self._query(form)))

    async def _resolve(self, form: dict[str, str], faults: list[Fault]) -> Response:
        require_dataset(form, self._tape)
        pair = (form.get("stype_in", ""), form.get("stype_out", ""))
        if pair not in COMBINATIONS:
            raise Refused(422, "symbology_invalid_request", f"{pair[0]} cannot be resolved to {pair[1]}")
        start = read_date(form.get("start_date"), "start_date")
        end = read_date(form["end_date"], "end_date") if form.get("end_date") else day_of(self._tape.end_ns)
        return JSONResponse(self._names.resolve(read_symbols(form), *pair, start, end))

    async def _get_range(self, form: dict[str, str], faults: list[Fault]) -> Response:
        return Answer(_packed(self._query(form)), faults, media_type="application/zstd")

    async def _submit_job(self, form: dict[str, str], faults: list[Fault]) -> Response:
        query = self._query(form)
        more = 0
        for fault in faults:
            if fault.kind == "work":
                fault.hit.set()
                more += fault.polls
        return JSONResponse(self._jobs.submit(query, self._cost_usd(query), more).details())

    async def _list_jobs(self, form: dict[str, str], faults: list[Fault]) -> Response:
        states = set((form.get("states") or "queued,processing,done").split(","))
        since_ns = read_time(form["since"], "since") if form.get("since") else 0
        for fault in faults:
            if fault.kind == "expire":
                fault.hit.set()
                for job in self._jobs.listed({"queued", "processing", "done"}, 0):
                    job.state = "expired"
        return JSONResponse([job.details() for job in self._jobs.listed(states, since_ns)])

    async def _job_details(self, form: dict[str, str], faults: list[Fault]) -> Response:
        job = self._jobs.of(form.get("job_id", ""))
        job.look()
        return JSONResponse(job.details())

    async def _list_files(self, form: dict[str, str], faults: list[Fault]) -> Response:
        return JSONResponse(self._jobs.of(form.get("job_id", "")).list_files(self._base_url))

    async def _download(self, form: dict[str, str], faults: list[Fault]) -> Response:
        job = self._jobs.of(form.get("job_id", ""))
        if "filename" not in form:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for path in job.files:
                    archive.write(path, path.name)
            return Answer([packed.getvalue()], faults, headers={"Content-Length": str(len(packed.getvalue()))})
        path = job.file(form["filename"])
        size = path.stat().st_size
        first, last = _read_range(form["range"], size)
        headers = {"Accept-Ranges": "bytes"}
        if not any(fault.kind == "end" for fault in faults):  # an early end is one only where no length was promised
            headers["Content-Length"] = str(last + 1 - first)
        if not form["range"]:
            return Answer(_bytes_of(path, first, last), faults, headers=headers)
        return Answer(_bytes_of(path, first, last), faults, 206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"})


async def _hang(faults: list[Fault], kind: str) -> None:
    """Never answer, if a fault is of that kind."""
    for fault in faults:
        if fault.kind == kind:
            fault.hit.set()
            await forever()


def _packed(query: Query) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
    yield packer.compress(query.metadata())
    for piece in query.pieces():
        yield packer.compress(piece.tobytes())
    yield packer.flush()


def _bytes_of(path: Path, first: int, last: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        left = last + 1 - first
        while left and (piece := file.read(min(left, _READ_BYTES))):
            left -= len(piece)
            yield piece


def _read_range(text: str, size: int) -> tuple[int, int]:
    """First and last byte of a ``Range`` header of one range; all without one.

    Raises
    ------
    Refused
        416: it begins behind the end, or is not of that form.
    """
    if not text:
        return 0, size - 1
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not first.isdigit() or int(first) >= size or (last and not last.isdigit()):
        raise Refused(416, "range_not_satisfiable", f"range was {text!r}; the file has {size} bytes")
    return int(first), min(int(last or size - 1), size - 1)
