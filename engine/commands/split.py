"""`split`: a file of many contracts cut by contract."""

import argparse

from engine.door import print_json
from engine.feed.split import split_file


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    parts = split_file(args.file, args.out or args.file.parent)
    if args.json:
        print_json([{"symbol": one.symbol, "path": str(one.path), "n_records": one.n_records} for one in parts])
    else:
        for one in parts:
            print(f"{one.path}: {one.symbol}, {one.n_records:,} records")
    return 0
