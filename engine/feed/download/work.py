"""The whole of a download: planned, shown, agreed to, fetched by the way that fits its size, gone on with after any end."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from engine.errors import SourceError, WorkError
from engine.feed.dbn_stream import DbnStream
from engine.feed.download.fetch import Listed, fetch, set_aside
from engine.feed.download.ledger import Ledger
from engine.feed.download.place import day_of_file, place, raw_path
from engine.feed.download.plan import Asked, contract_days, front_months, requests_of
from engine.feed.download.vendor import Transient, Vendor
from engine.feed.moments import iso_ns
from engine.lake import Lake
from engine.source.contracts import root_of

BATCH_BYTES: Final = 10**9  # from this size on a request goes as a batch job: it can be fetched again without paying again
Way = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Offer:
    """One request with what the vendor says of it."""

    asked: Asked
    is_batch: bool
    n_records: int
    n_bytes: int
    cost_usd: float


@dataclass
class Plan:
    """What a download comes to. ``resumed`` was paid for before; ``there`` are days that need nothing."""

    whose_word: str
    offers: list[Offer] = field(default_factory=list)
    resumed: list[Asked] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    @property
    def cost_usd(self) -> float:
        """All of it."""
        return sum(one.cost_usd for one in self.offers)


@dataclass(frozen=True)
class Download:
    """What works together in one download."""

    lake: Lake
    vendor: Vendor
    ledger: Ledger

    def plan(self, symbols: str, days: list[date], dataset: str, schema: str, way: Way) -> Plan:
        """What has to be fetched, and what it costs; nothing is paid here."""
        if root_of(symbols) is None:
            contracts, word = front_months(self.vendor, self.lake, dataset, symbols, days)
        else:
            contracts, word = contract_days(self.vendor, dataset, symbols, days), f"{symbols} as asked for"
        plan = Plan(word)
        wanted = []
        going_on = self._going_on()
        for day, contract in ((day, contract) for day, of_day in contracts.items() for contract in of_day):
            one = Asked(dataset, schema, contract, f"{day}", f"{day + timedelta(days=1)}")
            if raw_path(self.lake, one, f"{day}").exists():
                plan.there.append(f"{contract} {day}")
            elif self.ledger.is_empty(contract, f"{day}"):
                plan.empty.append(f"{contract} {day}")
            elif (order := going_on.get((contract, f"{day}"))) is not None:
                plan.resumed += [order] if order not in plan.resumed else []
            else:
                wanted.append((contract, day))
        for whole in requests_of(wanted, dataset, schema):
            n_bytes = self.vendor.n_bytes(whole.arguments())
            is_batch = way == "always" or (way == "auto" and n_bytes >= BATCH_BYTES)
            for asked in [whole] if is_batch else whole.by_day():
                offer = self._offer(asked, is_batch)
                if offer.n_records:
                    plan.offers.append(offer)
                else:
                    for day in asked.days:
                        self.ledger.set_empty(asked.contract, f"{day}")
                        plan.empty.append(f"{asked.contract} {day}")
        return plan

    def _offer(self, asked: Asked, is_batch: bool) -> Offer:
        arguments = asked.arguments()
        return Offer(
            asked, is_batch, self.vendor.n_records(arguments), self.vendor.n_bytes(arguments), self.vendor.cost_usd(arguments)
        )

    def _needs_nothing(self, asked: Asked, day: str) -> bool:
        return raw_path(self.lake, asked, day).exists() or self.ledger.is_empty(asked.contract, day)

    def _going_on(self) -> dict[tuple[str, str], Asked]:
        """Orders that are not done, by contract and day. One that the vendor never got is forgotten, and offered anew."""
        for asked in self.ledger.open_orders():
            if all(self._needs_nothing(asked, f"{day}") for day in asked.days):
                self.ledger.set_order(asked, "done", self.ledger.job_id(asked))
                shutil.rmtree(self.ledger.staging(asked))
            elif self.ledger.job_id(asked) is None:
                job_id = self._same_job(asked)
                if job_id is None:
                    self.ledger.forget_order(asked)
                else:
                    self.ledger.set_order(asked, "ordered", job_id)
        return {(one.contract, f"{day}"): one for one in self.ledger.open_orders() for day in one.days}

    def carry_out(self, plan: Plan, tell: Callable[[str], None]) -> list[Path]:
        """Fetch a plan; the files that came. ``tell`` hears where the work is."""
        placed: list[Path] = []
        for asked in plan.resumed:
            placed += self._batch(asked, tell)
        for offer in plan.offers:
            placed += self._batch(offer.asked, tell) if offer.is_batch else [self._stream(offer, tell)]
        return placed

    # Streaming.

    def _stream(self, offer: Offer, tell: Callable[[str], None]) -> Path:
        asked = offer.asked
        folder = self.ledger.staging(asked)
        path = folder / f"{asked.contract}-{asked.start}.dbn.zst"
        what = f"streaming {asked.contract} of {asked.start}"
        tell(what)
        while True:
            path.unlink(missing_ok=True)  # of an end that we do not know: a stream cannot be gone on with
            try:
                self.vendor.stream(asked.arguments(), path)
            except Transient as failure:
                self.vendor.patience.wait(what, str(failure), failure.retry_after_s)
                continue
            if (why := _wrong(path, offer.n_records)) is None:
                break
            set_aside(path, self.ledger.quarantine / asked.id, why)
        self.vendor.patience.progress()
        day = date.fromisoformat(asked.start)
        symbology = self.vendor.resolve(
            asked.dataset, [asked.contract], "raw_symbol", "instrument_id", day, day + timedelta(days=1)
        )
        placed = place(self.lake, self.ledger, asked, asked.start, path, symbology)
        shutil.rmtree(folder)
        return placed

    # Batch jobs.

    def _batch(self, asked: Asked, tell: Callable[[str], None]) -> list[Path]:
        job_id = self.ledger.job_id(asked) or self._order(asked, tell)
        self._await(asked, job_id, tell)
        files = [Listed.read(one) for one in self.vendor.files(job_id)]
        if not any(day_of_file(listed.name) for listed in files):  # it was offered with records
            raise WorkError(f"batch job {job_id} is done and lists no file of a day; ask the vendor")
        folder, wrong = self.ledger.staging(asked), self.ledger.quarantine / asked.id
        symbology = self._symbology(asked)
        placed, seen = [], set()
        for listed in files:
            day = day_of_file(listed.name)
            if day is None:
                continue
            seen.add(day)
            target = raw_path(self.lake, asked, day)
            if not target.exists():
                tell(f"{listed.name} of {job_id}")
                staged = fetch(self.vendor, listed, folder, wrong, lambda _: None)
                placed.append(place(self.lake, self.ledger, asked, day, staged, symbology))
        for missing in {f"{day}" for day in asked.days} - seen:
            self.ledger.set_empty(asked.contract, missing)
        self.ledger.set_order(asked, "done", job_id)
        shutil.rmtree(folder)
        return placed

    def _symbology(self, asked: Asked) -> dict[str, Any]:
        first, end = date.fromisoformat(asked.start), date.fromisoformat(asked.end)
        return self.vendor.resolve(asked.dataset, [asked.contract], "raw_symbol", "instrument_id", first, end)

    def _order(self, asked: Asked, tell: Callable[[str], None]) -> str:
        """Order a job, unless the vendor has one of the very same request: what is paid for is not paid for again."""
        self.ledger.set_order(asked, "ordering")
        what = f"ordering {asked.contract} from {asked.start} until {asked.end}"
        tell(what)
        while True:
            try:
                job_id = self._same_job(asked) or self.vendor.submit(asked.arguments())
            except Transient as failure:  # whether it was taken nobody knows: the list is asked before another try
                self.vendor.patience.wait(what, str(failure), failure.retry_after_s)
                continue
            except Exception:
                self.ledger.forget_order(asked)
                raise
            self.vendor.patience.progress()
            self.ledger.set_order(asked, "ordered", job_id)
            return job_id

    def _same_job(self, asked: Asked) -> str | None:
        """The newest job at the vendor of the very same request that belongs to no other order."""
        taken = self.ledger.job_ids()
        same = [str(job["id"]) for job in self.vendor.jobs() if job["id"] not in taken and _is_same(job, asked)]
        return same[-1] if same else None

    def _await(self, asked: Asked, job_id: str, tell: Callable[[str], None]) -> None:
        """Until a job is done."""
        while True:
            states = {str(job["id"]): str(job["state"]) for job in self.vendor.jobs()}
            state = states.get(job_id)
            if state == "done":
                self.vendor.patience.progress()
                return
            if state is None:
                self.ledger.forget_order(asked)
                raise WorkError(f"batch job {job_id} has expired or is not known; give the same command again to order it anew")
            tell(f"batch job {job_id} is {state}")
            self.vendor.wait_for_job(job_id, state)


def _wrong(path: Path, n_records: int) -> str | None:
    """What is wrong with a streamed file; None if nothing is."""
    try:
        n = sum(len(block) for block in DbnStream(path).records())
    except SourceError:
        return "it breaks off or is damaged"
    return None if n == n_records else f"it has {n} records instead of the {n_records} that were offered"


def _is_same(job: dict[str, Any], asked: Asked) -> bool:
    """Whether a job of the vendor's list is of the very request; not where the list says too little."""
    symbols = job.get("symbols") or ""
    told = {name: job.get(name) for name in ("dataset", "schema", "stype_in", "encoding", "compression", "split_duration")}
    told["symbols"] = symbols if isinstance(symbols, str) else ",".join(map(str, symbols))
    wanted = {
        "dataset": asked.dataset,
        "schema": asked.schema,
        "stype_in": "raw_symbol",
        "encoding": "dbn",
        "compression": "zstd",
        "split_duration": "day",
        "symbols": asked.contract,
    }
    if told != wanted or job.get("limit") is not None or job.get("split_symbols") or not (job.get("start") and job.get("end")):
        return False
    return (iso_ns(str(job["start"])), iso_ns(str(job["end"]))) == (iso_ns(asked.start), iso_ns(asked.end))
