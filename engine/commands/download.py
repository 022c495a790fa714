"""`download`: the vendor's history into the lake, its cost first."""

import argparse
import re
import sys
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


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    days = _days(read_day(args.start, "--start"), read_day(args.end, "--end"))
    if not _SYMBOLS.fullmatch(args.symbols):
        raise ConfigError(f"--symbols was {args.symbols!r}; give a product's root or a contract, like MNQ or MNQH6")
    for name, value in (("--budget-s", args.budget_s), ("--timeout-s", args.timeout_s)):
        if not value > 0:
            raise ConfigError(f"{name} was {value}; it must be more than 0 seconds")
    if args.max_usd is not None and not args.max_usd >= 0:
        raise ConfigError(f"--max-usd was {args.max_usd}; it must be 0 or more dollars")
    key = read_key(args.key_file)
    lake = Lake.open(args.lake)
    vendor = Vendor(key, args.gateway, args.timeout_s, Patience(args.budget_s), lambda line: print(line, file=sys.stderr))
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
            print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def _days(start: date, end: date) -> list[date]:
    if end <= start:
        raise ConfigError(f"--end was {end}, which is not after --start {start}; give the day behind the last one")
    return [start + timedelta(days=i) for i in range((end - start).days)]


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
