"""The vendor's historical service through its own client: one clear line for each failure, and the right retry.

Source: databento's Python client 0.88, `common.http` and `common.error`; the vendor's reference of the historical API.
"""

import gc
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import databento
import requests
from databento.common.error import BentoError, BentoHttpError, BentoWarning
from databento_dbn import DBNError
from zstandard import ZstdError

from engine.errors import NO_ROOM, ConfigError, WorkError
from engine.feed.download.key import KEY_ENV, Key
from engine.feed.download.patience import Patience

T = TypeVar("T")

_NEVER_AGAIN: Final = {
    401: f"the vendor does not know the key; give the right one in ${KEY_ENV} or --key-file",
    402: "the account's credit does not cover it; top it up and give the same command again",
    403: "the account may not have these data; ask the vendor for the dataset, or name another with --dataset",
    404: "the vendor does not have it; it may have expired, give the same command again to order it anew",
}
_LONGEST_JOB_S: Final = 86_400.0  # a job that is in work for so long is left to another day
_TRANSIENT: Final = (408, 409, 425, 429)


class Transient(Exception):
    """A failure that another try may mend; ``retry_after_s`` is what the vendor asks for."""

    def __init__(self, line: str, retry_after_s: float = 0.0) -> None:
        super().__init__(line)
        self.retry_after_s = retry_after_s


class Vendor:
    """Everything that is asked of the vendor. ``say`` hears its remarks."""

    def __init__(self, key: Key, gateway: str | None, timeout_s: float, patience: Patience, say: Callable[[str], None]) -> None:
        given = {} if gateway is None else {"gateway": gateway}
        client = databento.Historical(key.reveal(), **given)
        interfaces: list[Any] = [client.metadata, client.symbology, client.timeseries, client.batch]
        for api in interfaces:
            api.TIMEOUT = timeout_s  # of connecting, and between two pieces: a half-open socket ends here
        self._client = client
        self._key = key
        self._say = say
        self.timeout_s = timeout_s
        self.patience = patience
        self._polls = Patience(_LONGEST_JOB_S)

    @property
    def auth(self) -> requests.auth.HTTPBasicAuth:
        """What opens a file's address."""
        return requests.auth.HTTPBasicAuth(self._key.reveal(), "")

    def may_have_the_key(self, url: str) -> bool:
        """Whether an address is the vendor's own: a manifest from elsewhere must not lead the key elsewhere."""
        there, ours = urlsplit(url), urlsplit(self._client.gateway)
        is_ours = there.netloc == ours.netloc
        is_vendors = (ours.hostname or "").endswith(".databento.com") and (there.hostname or "").endswith(".databento.com")
        return there.scheme == "https" and (is_ours or is_vendors)

    def once(self, what: str, call: Callable[[], T]) -> T:
        """Ask once.

        Raises
        ------
        Transient
            Another try may mend it.
        ConfigError, WorkError
            It may not: one line says what failed and what to do.
        """
        failure: Exception | None = None
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            try:
                answer = call()
            except BentoHttpError as error:
                failure = self._told(what, error.http_status, str(error.message), dict(error.headers))
            except (BentoError, requests.RequestException) as error:
                failure = _full_disk(error) or Transient(self._key.hide(f"{type(error).__name__}: {error}")[:300])
            if failure is not None:
                gc.collect()  # the client leaves its open file and socket to the collector
        if failure is not None:
            raise failure
        for remark in (one for one in remarks if issubclass(one.category, BentoWarning)):
            self._say(self._key.hide(f"the vendor remarks on {what}: {remark.message}"))
        return answer

    def again(self, what: str, call: Callable[[], T]) -> T:
        """Ask until it is answered; only for what costs nothing to ask twice.

        Raises
        ------
        ConfigError, WorkError
            It cannot be mended, or the budget is spent.
        """
        while True:
            try:
                answer = self.once(what, call)
            except Transient as failure:
                self.patience.wait(what, str(failure), failure.retry_after_s)
            else:
                self.patience.progress()
                return answer

    def check(self, what: str, response: requests.Response) -> None:
        """The same judgement of an answer that the client did not fetch."""
        if response.status_code >= 400:
            raise self._told(what, response.status_code, response.reason or "", dict(response.headers))

    def _told(self, what: str, status: int, message: str, headers: dict[str, str]) -> Exception:
        """What an HTTP error means."""
        said = self._key.hide(message)[:300].rstrip(".")
        if status >= 500 or status in _TRANSIENT:
            after = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
            return Transient(f"HTTP {status}, {said}", float(after) if after.isdigit() else 0.0)
        if status in _NEVER_AGAIN:
            return WorkError(f"{what} was refused (HTTP {status}, {said}): {_NEVER_AGAIN[status]}")
        return ConfigError(f"{what} was refused (HTTP {status}, {said}); ask for something else")

    # What costs nothing.

    def cost_usd(self, asked: dict[str, Any]) -> float:
        """What a request costs, dollars."""
        return float(self.again("asking for the cost", lambda: self._client.metadata.get_cost(**asked)))

    def n_records(self, asked: dict[str, Any]) -> int:
        """How many records it has."""
        return int(self.again("asking for the number of records", lambda: self._client.metadata.get_record_count(**asked)))

    def n_bytes(self, asked: dict[str, Any]) -> int:
        """How large it is, uncompressed."""
        return int(self.again("asking for the size", lambda: self._client.metadata.get_billable_size(**asked)))

    def available_until(self, dataset: str, schema: str) -> date:
        """The first UTC day of which the vendor does not have all yet."""
        answer: dict[str, Any] = self.again("asking what there is", lambda: self._client.metadata.get_dataset_range(dataset))
        until = answer.get("schema", {}).get(schema, answer)["end"]
        return date.fromisoformat(str(until)[:10])

    def resolve(self, dataset: str, symbols: list[str], stype_in: str, stype_out: str, start: date, end: date) -> dict[str, Any]:
        """Who is who, on the days from ``start`` until ``end``."""
        answer: dict[str, Any] = self.again(
            f"resolving {', '.join(symbols[:3])}",
            lambda: self._client.symbology.resolve(dataset, symbols, stype_in, stype_out, start, end),
        )
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        """The account's batch jobs that have not expired."""
        found: list[dict[str, Any]] = self.again(
            "asking for the batch jobs", lambda: self._client.batch.list_jobs("queued,processing,done")
        )
        return found

    def files(self, job_id: str) -> list[dict[str, Any]]:
        """The manifest of a job that is done."""
        found: list[dict[str, Any]] = self.again(
            f"asking for the files of {job_id}", lambda: self._client.batch.list_files(job_id)
        )
        return found

    def wait_for_job(self, job_id: str, state: str) -> None:
        """A job in work is no failure: the waits grow, the budget is not touched."""
        self._polls.wait(f"batch job {job_id}", f"it is {state}")

    # What is paid for.

    def submit(self, asked: dict[str, Any]) -> str:
        """Order a batch job, once; its id."""
        job = self.once("ordering the batch job", lambda: self._client.batch.submit_job(**asked, split_duration="day"))
        return str(job["id"])

    def stream(self, asked: dict[str, Any], path: Path) -> None:
        """Stream a request into a new file, once."""

        def ask() -> None:
            with suppress(DBNError, ZstdError):  # of its head: a file that came is judged as a whole
                self._client.timeseries.get_range(**asked, path=path)  # what it gives back holds the file open

        self.once("streaming", ask)


def _full_disk(error: Exception) -> OSError | None:
    """What the client tells like a failure of the wire while the disk was full."""
    cause = error.__context__
    is_full = isinstance(cause, OSError) and cause.errno in NO_ROOM
    return OSError(cause.errno, cause.strerror, cause.filename) if is_full and isinstance(cause, OSError) else None
