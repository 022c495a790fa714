"""`rolls`: when a product's front month changes, proposed and written down."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.door import print_json, read_day
from engine.errors import ConfigError
from engine.feed.rolling import Proposal, by_calendar, by_volume, compare, line_of, volumes_of, write_rolls
from engine.lake import RAW_SUFFIXES, Lake
from engine.source.rolls import Roll, rolls_path

_YEAR: Final = timedelta(days=366)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    lake = Lake.open(args.lake)
    path = rolls_path(lake, args.root)
    proposal = compare(path, _proposed(lake, args))
    if args.write:
        write_rolls(path, args.root, proposal.new)
    if args.json:
        print_json({"path": str(path), "written": args.write and bool(proposal.new), **_as_json(proposal)})
        return 0
    for one in proposal.new:
        print(f"{line_of(one)}  # {'written' if args.write else 'new'}")
    for one in proposal.kept:
        print(f"{line_of(one)}  # there already")
    for one, standing in proposal.differing:
        print(f"{line_of(standing)}  # stays as it is; proposed was {one.day}, {one.before} to {one.after} by {one.rule}")
    if not (proposal.new or proposal.kept or proposal.differing):
        print(f"no roll of {args.root} was found")
    elif proposal.new and not args.write:
        print(f"with --write they go into {path}")
    return 0


def _proposed(lake: Lake, args: argparse.Namespace) -> list[Roll]:
    if args.rule == "volume":
        if args.start or args.end:
            raise ConfigError("--start and --end are of --rule calendar; name the files whose volume is to count")
        folder = lake.raw_dir(args.root)
        files = args.files or sorted(path for path in folder.glob("*") if path.name.endswith(RAW_SUFFIXES))
        if not files:
            raise ConfigError(f"--rule volume needs raw files and {folder} holds none; download some or name them")
        return by_volume(volumes_of(files, args.root))
    if args.files:
        raise ConfigError(f"--files was {args.files[0]} and --rule calendar reads no file; add --rule volume")
    start = read_day(args.start, "--start") if args.start else datetime.now(UTC).date()
    end = read_day(args.end, "--end") if args.end else start + _YEAR
    if end <= start:
        raise ConfigError(f"--end was {end}, which is not after --start {start}; give the day behind the last one")
    return by_calendar(args.root, start, end)


def _as_json(proposal: Proposal) -> dict[str, object]:
    return {
        "new": [_row(one) for one in proposal.new],
        "kept": [_row(one) for one in proposal.kept],
        "differing": [{"proposed": _row(one), "stands": _row(standing)} for one, standing in proposal.differing],
    }


def _row(roll: Roll) -> dict[str, str]:
    return {"date": str(roll.day), "from": roll.before, "to": roll.after, "rule": roll.rule}
