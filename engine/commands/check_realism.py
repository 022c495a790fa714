"""`check-realism`: the realism card of DBN files."""

import argparse
from typing import Any

from rich.table import Table

from engine.audit.realism import realism_card
from engine.config import load_instrument
from engine.door import FAILED, print_json
from engine.tables import console


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code: 1 where a figure lies outside its band."""
    config = load_instrument()
    cards = [realism_card(path, config, args.assume_symbol) for path in args.files]
    if args.json:
        print_json(cards)
    else:
        for card in cards:
            print_card(card)
    return 0 if all(card["is_real"] for card in cards) else FAILED


def print_card(card: dict[str, Any]) -> None:
    """One file's figures beside the real hour's and their bands."""
    table = Table(title=f"{card['file']}: {card['seconds']:,} s, {card['trades']:,} trades, {card['rate']:,.1f} records/s")
    for name in ("figure", "here", "real hour", "band", "", "what it is"):
        table.add_column(name, overflow="fold", justify="right" if name in ("here", "real hour", "band") else "left")
    for one in card["figures"]:
        table.add_row(
            one["figure"],
            f"{one['value']:.4g}",
            f"{one['real']:.4g}",
            f"{one['low']:g} to {one['high']:g}",
            "inside" if one["inside"] else "OUTSIDE",
            one["what"],
        )
    console().print(table)
