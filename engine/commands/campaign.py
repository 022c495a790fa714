"""`campaign`: the raw file first, then the run with its progress on stderr."""

import argparse
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.table import Table

from engine.campaign.build import CampaignReport, describe, index_path, plan_campaign, run_campaign
from engine.campaign.plan import BaseCapture, Variant, load_campaign
from engine.config import load_instrument
from engine.door import FAILED, print_json
from engine.errors import DatasetError
from engine.hours import TRADING_DAY
from engine.lake import Lake, config_file
from engine.ray_environment import default_address
from engine.run.replay import SESSION_TZ
from engine.tables import Progress, console, counts

BEFORE: Final = timedelta(minutes=35)  # simulated before the capture: the warm-up, and a little
BEHIND: Final = timedelta(minutes=1)
SIMULATED_RATE: Final = 1000.0  # records/s


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    report = campaign_command(
        args.file,
        args.lake,
        dry_run=args.dry_run,
        limit=args.max_variants,
        address=args.address,
        allow_cold=args.allow_cold,
        assumes_symbol=args.assume_symbol,
        simulate_missing=args.simulate,
    )
    if args.json:
        print_json(report.to_json())
    else:
        print_campaign(report.to_json())
    return FAILED if report.failures else 0


def campaign_command(
    file: Path,
    lake_argument: str | None,
    *,
    dry_run: bool,
    limit: int | None,
    address: str | None,
    allow_cold: bool,
    assumes_symbol: bool,
    simulate_missing: bool,
) -> CampaignReport:
    """Plan a campaign, or run it.

    Raises
    ------
    EngineError
        One line, for anything the user can mend.
    """
    lake = Lake.open(lake_argument)
    campaign = load_campaign(config_file(lake, file, "campaign"))
    for notice in campaign.notices:
        print(f"notice: {notice}", file=sys.stderr)
    variants, present = plan_campaign(lake, campaign, limit)
    if dry_run:
        return CampaignReport(
            name=campaign.name,
            index=str(index_path(lake, campaign.slug)),
            variants=[describe(lake, variant, "") for variant in variants],
            n_present=len(present),
            notices=campaign.notices,
        )
    if len(present) < len(variants):
        _require_raw(lake, campaign.base_capture, variants[0], simulate_missing)
    try:
        with Progress("building") as progress:
            return run_campaign(
                lake,
                campaign,
                limit=limit,
                address=address or default_address(),
                allow_cold=allow_cold,
                assumes_symbol=assumes_symbol,
                say=progress.say,
                watch=progress.update,
            )
    except KeyboardInterrupt:
        print("stopped; the datasets that stand are kept. Go on with the same command", file=sys.stderr)
        raise


def _require_raw(lake: Lake, capture: BaseCapture, variant: Variant, simulate_missing: bool) -> None:
    """The day's raw file, simulated where it is missing and that is wished; a trading day's two are found when they are read.

    Raises
    ------
    DatasetError
        It is missing; the line says how to get it.
    """
    folder = lake.raw_dir(load_instrument().symbol_root, capture.product_type)
    if capture.session == TRADING_DAY or any(folder.glob(f"*{capture.dt:%Y%m%d}*")):
        return
    path = folder / f"simulated-{capture.dt:%Y%m%d}.mbo.dbn.zst"
    if not simulate_missing:
        raise DatasetError(
            f"there is no raw file of {capture.dt} in {folder}; put Databento's mbo file of {variant.config.symbol} there, named "
            f"*{capture.dt:%Y%m%d}*.dbn.zst, or add --simulate to have a session simulated"
        )
    from engine.simulate.session import simulate  # only here

    zone = ZoneInfo(SESSION_TZ)
    begin, end = (datetime.combine(capture.dt, clock, zone) for clock in capture.clocks)
    start = begin - BEFORE
    print(f"simulating {variant.config.symbol} from {start:%H:%M:%S} to {end + BEHIND:%H:%M:%S} into {path}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress("simulating") as bar:
        simulate(
            path,
            seed=int(f"{capture.dt:%Y%m%d}"),
            seconds=(end + BEHIND - start).total_seconds(),
            rate=SIMULATED_RATE,
            start=start,
            symbol=variant.config.symbol,
            progress=lambda done: bar.update(done, ""),
        )


def print_campaign(report: dict[str, Any]) -> None:
    """The variants of a campaign, a line each, with the fields in which they differ."""
    changed = [one["overrides"] for one in report["variants"]]
    names = list(dict.fromkeys(name for overrides in changed for name in overrides))
    shown = [name for name in names if len({str(overrides.get(name)) for overrides in changed}) > 1] or names
    table = Table(title=f"campaign {report['name']}: {report['n_built']} built, {report['n_present']} there already")
    table.add_column("dataset", no_wrap=True)
    for name in ("overrides", "bins", "marked bins", "state"):
        table.add_column(name, overflow="fold")
    for one in report["variants"]:
        summary = one["summary"] or {"n_bins": 0, "quality": {}}
        table.add_row(
            one["dataset_id"],
            " ".join(f"{name}={one['overrides'][name]}" for name in shown if name in one["overrides"]) or "defaults",
            f"{summary['n_bins']:,}" if one["summary"] else "–",
            counts(summary["quality"]),
            one["problem"] or one["state"],
        )
    out = console()
    out.print(table)
    out.print(f"index: {report['index']}", soft_wrap=True)
