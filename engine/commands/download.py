"""`download`: the vendor's history into the lake, its cost first."""

import argparse
import re
import sys
import time
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any, Final

from engine.door import print_json, read_day
from engine.errors import ConfigError, WorkError
from engine.feed.download.key import read_key
from engine.feed.download.ledger import Ledger
from engine.feed.download.patience import Patience
from engine.feed.download.vendor import Vendor
from engine.feed.download.work import Download, Plan
from engine.lake import Lake
from engine.tables import Progress

_SYMBOLS: Final = re.compile(r"[A-Z0-9]+")
_SPAN: Final = re.compile(r"(\d{1,4})([dhms])")
_SECONDS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    _check(args)
    start = read_day(args.start, "--start")
    end = read_day(args.end, "--end") if args.end is not None else None
    if end is not None and end <= start:
        raise ConfigError(f"--end was {end}, which is not after --start {start}; give the day behind the last one")
    every_s = _read_span(args.every) if args.every is not None else None
    key = read_key(args.key_file)
    lake = Lake.open(args.lake)
    while True:
        vendor = Vendor(key, args.gateway, args.timeout_s, Patience(args.budget_s), lambda line: print(line, file=sys.stderr))
        began = time.monotonic()
        try:
            _round(args, lake, vendor, start, end)
        except WorkError as error:
            if every_s is None:
                raise
            print(f"this round failed, the next will go on with it: {error}", file=sys.stderr, flush=True)
        if every_s is None:
            return 0
        time.sleep(max(0.0, began + every_s - time.monotonic()))


def _check(args: argparse.Namespace) -> None:
    """What can be refused before anybody is asked."""
    if not _SYMBOLS.fullmatch(args.symbols):
        raise ConfigError(f"--symbols was {args.symbols!r}; give a product's root or a contract, like MNQ or MNQH6")
    for name, value in (("--budget-s", args.budget_s), ("--timeout-s", args.timeout_s)):
        if not value > 0:
            raise ConfigError(f"{name} was {value}; it must be more than 0 seconds")
    if args.max_usd is not None and not args.max_usd >= 0:
        raise ConfigError(f"--max-usd was {args.max_usd}; it must be 0 or more dollars")
    if args.every is None and args.end is None:
        raise ConfigError("--end is missing; give the day behind the last one, or --every to go on with what comes")
    if args.every is not None and not (args.yes and args.max_usd is not None):
        raise ConfigError("--every buys while nobody looks; say --yes, and with --max-usd X what a round may cost at most")


def _read_span(text: str) -> float:
    """Seconds of a span as typed."""
    found = _SPAN.fullmatch(text)
    if not found or not int(found[1]):
        raise ConfigError(f"--every was {text!r}; give a whole number of days, hours, minutes or seconds, like 1d")
    return int(found[1]) * _SECONDS[found[2]]


def _round(args: argparse.Namespace, lake: Lake, vendor: Vendor, start: date, end: date | None) -> None:
    """Plan, ask, fetch, tell: once."""
    if args.every is not None:
        there = vendor.available_until(args.dataset, args.schema)
        end = there if end is None else min(there, end)
    assert end is not None
    days = [start + timedelta(days=i) for i in range((end - start).days)]
    if not days:
        print(f"nothing has come yet: the vendor has data until {end}", flush=True)
        return
    with Ledger.open(lake) as ledger:
        download = Download(lake, vendor, ledger)
        plan = download.plan(args.symbols, days, args.dataset, args.schema, args.batch)
        if not args.json:
            _show(plan)
        _agree(plan, args)
        with Progress("downloading") as progress:
            placed = download.carry_out(plan, lambda note: progress.update(None, note))
    if args.json:
        print_json(_as_json(plan) | {"placed": [str(path) for path in placed]})
    else:
        for path in placed:
            print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


def _show(plan: Plan) -> None:
    """What it comes to, a line each."""
    print(plan.whose_word)
    for offer in plan.offers:
        asked = offer.asked
        way = "as a batch job" if offer.is_batch else "streamed"
        print(
            f"{asked.contract} from {asked.start} until {asked.end}: {offer.n_records:,} records, {offer.n_bytes:,} bytes, "
            f"${offer.cost_usd:.2f}, {way}"
        )
    for asked in plan.resumed:
        print(f"{asked.contract} from {asked.start} until {asked.end}: ordered before, gone on with")
    if plan.there:
        print(f"there already: {', '.join(plan.there)}")
    if plan.empty:
        print(f"without records: {', '.join(plan.empty)}")
    print(f"in all ${plan.cost_usd:.2f}", flush=True)


def _as_json(plan: Plan) -> dict[str, Any]:
    return {"whose_word": plan.whose_word, "cost_usd": plan.cost_usd, "offers": [asdict(one) for one in plan.offers],
            "resumed": [asdict(one) for one in plan.resumed], "there": plan.there, "empty": plan.empty}  # fmt: skip


def _agree(plan: Plan, args: argparse.Namespace) -> None:
    """Nothing is bought that nobody agreed to.

    Raises
    ------
    ConfigError, WorkError
        It costs more than was allowed, or nobody said yes.
    """
    cost = plan.cost_usd
    if args.max_usd is not None and cost > args.max_usd:
        raise ConfigError(f"it costs ${cost:.2f}, more than --max-usd {args.max_usd:.2f}; ask for less or allow more")
    if args.yes or not plan.offers:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"it costs ${cost:.2f} and there is no terminal to ask on; say --yes, or --max-usd X --yes")
    print(f"pay ${cost:.2f}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise WorkError("nothing was bought; answer y, or say --yes")
