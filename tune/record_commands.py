"""The commands over what is on record: seals, looks, and the ledger as a file."""

import argparse
import json
from dataclasses import asdict

from engine.errors import ConfigError
from engine.lake import Lake
from engine.signals.bundle import read_bundle
from engine.signals.registry import signals_of
from tune import promote as promotion
from tune import sealing
from tune.carried import export_ledger, import_ledger


def seal(args: argparse.Namespace) -> int:
    """Hold sessions out, or show those that are."""
    lake = Lake.open(args.lake)
    if args.show == bool(args.dataset_ids):
        raise ConfigError("give the ids of datasets to seal, or --show alone")
    lines = sealing.shown(lake) if args.show else sealing.seal(lake, args.dataset_ids)
    if args.json:
        seals = [{**asdict(one), "chunks": len(one.chunks)} for one in sealing.seals(lake)]
        print(json.dumps({"lines": lines, "sealed": seals, "looks": [asdict(one) for one in sealing.looks(lake)]}, indent=1))
        return 0
    for line in lines:
        print(line)
    return 0


def unseal(args: argparse.Namespace) -> int:
    """One look of one candidate at sealed sessions."""
    lake = Lake.open(args.lake)
    with signals_of([read_bundle(path) for path in args.signals]):
        row = promotion.run_row(lake, args.run_id, args.threshold)
        with signals_of(promotion.bundles_of(lake, row)):
            made = sealing.unseal(lake, row, args.dataset)
    if args.json:
        print(json.dumps([{**asdict(look), "n_looks": n} for look, n in made], indent=1))
        return 0
    for look, n in made:
        print(
            f"{look.session}: {look.line}; run {look.run_id}, {look.signal} thr {look.threshold:g}; look {n} at this session, "
            "the only one of this candidate"
        )
    return 0


def ledger(args: argparse.Namespace) -> int:
    """The ledger into a file, or a file into the ledger."""
    lake = Lake.open(args.lake)
    done = export_ledger(lake, args.file) if args.action == "export" else import_ledger(lake, args.file)
    if args.json:
        print(json.dumps(asdict(done), indent=1))
        return 0
    print(f"{args.file}: {done.line} written" if args.action == "export" else f"{args.file}: {done.line} were new and are added")
    return 0
