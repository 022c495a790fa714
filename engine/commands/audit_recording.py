"""`audit-recording`: what was recorded live against the vendor's history of the same day."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from engine.config import load_instrument
from engine.constants import NS_PER_S
from engine.dataset.lineage import Correction, note_correction
from engine.door import FAILED, print_json, read_day
from engine.feed.audit.judge import UNEXPLAINED, Difference, Findings
from engine.feed.audit.work import Audit, audit, keep_report, official_files, recorded_parts
from engine.files import sha256_file
from engine.lake import Lake
from engine.tables import console

_SHOWN: Final = 40  # differences on the screen; the report has the rest


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    day = read_day(args.day, "DAY")
    lake = Lake.open(args.lake)
    config = load_instrument(None, {"symbol": args.symbol} if args.symbol else None)
    parts, holes = recorded_parts(lake, config.symbol, day)
    official = args.official or official_files(lake, config.symbol, day)
    told = audit(parts, holes, official, config, day, args.before)
    report = keep_report(told, parts, official, args.before)
    for old, new in zip(args.before, official, strict=False):
        was, became = sha256_file(old), sha256_file(new)
        if was != became:
            note_correction(
                lake, Correction(was, became, config.symbol, day.isoformat(), datetime.now(UTC).isoformat(timespec="seconds"))
            )
    if args.json:
        print_json({**told.as_json(), "report": str(report)})
    else:
        show(told, report)
    return 0 if told.is_clean else FAILED


def show(told: Audit, report: Path) -> None:
    """The counts by reason, each difference without one, the bins, and where all of it is kept."""
    out = console()
    head = f"{told.symbol} {told.day}: {told.n_ours:,} records of ours, {told.n_official:,} official"
    if not told.opening.n and not told.records.n and told.bins is None:
        out.print(f"{head}: 0 differences, so none in any bin ({report})", soft_wrap=True)
        return
    out.print(head, soft_wrap=True)
    for name, findings in (("opening", told.opening), ("records", told.records)):
        for line in lines_of(name, findings):
            out.print(line, soft_wrap=True)
    open_ones = [one for one in (*told.opening.listed, *told.records.listed) if one.why == UNEXPLAINED]
    if open_ones:
        out.print(_table(open_ones[:_SHOWN], len(open_ones)))
    if told.bins is not None:
        out.print(bins_line(told.bins.as_json()), soft_wrap=True)
    out.print(f"report: {report}", soft_wrap=True)


def lines_of(name: str, findings: Findings) -> list[str]:
    """A line for each reason."""
    found = [f"{name}: {', '.join(f'{n:,} {kind}' for kind, n in kinds.items())}: {why}"
             for why, kinds in findings.counts.items() if kinds]  # fmt: skip
    return found or [f"{name}: 0 differences"]


def bins_line(bins: dict[str, Any]) -> str:
    """What became of the bins."""
    if not bins["n_differing"]:
        return f"bins: 0 of {bins['n_bins']:,} differ"
    columns = ", ".join(f"{name} {n:,}" for name, n in sorted(bins["columns"].items(), key=lambda one: -one[1])[:8])
    return (
        f"bins: {bins['n_differing']:,} of {bins['n_bins']:,} differ, {clock(bins['first_ns'])} to {clock(bins['last_ns'])}; "
        f"only ours {bins['n_only_ours']:,}, only official {bins['n_only_official']:,}; {columns or 'no column'}"
    )


def clock(ns: int) -> str:
    """A moment of UTC, to the nanosecond."""
    return f"{datetime.fromtimestamp(ns // NS_PER_S, UTC):%Y-%m-%d %H:%M:%S}.{ns % NS_PER_S:09d}"


def _table(shown: list[Difference], n: int) -> Table:
    title = f"{n:,} unexplained" + (f", the first {len(shown)}" if n > len(shown) else "")
    table = Table(title=title)
    for name in ("what", "ts_event (UTC)", "sequence", "order_id", "action", "ours, official"):
        table.add_column(name, overflow="fold")
    for one in shown:
        changed = "; ".join(f"{name} {ours}, {official}" for name, (ours, official) in one.fields.items())
        table.add_row(one.kind, clock(one.ts_event), str(one.sequence), str(one.order_id), one.action, changed)
    return table
