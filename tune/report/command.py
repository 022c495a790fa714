"""The command that writes a sweep's page."""

import argparse
import webbrowser

from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from tune.report.gather import gather
from tune.report.page import page


def report(args: argparse.Namespace) -> int:
    """Write the page of a sweep and say where it lies."""
    lake = Lake.open(args.lake)
    findings = gather(lake, args.sweep)
    path = args.out or lake.sweeps / findings.state.sweep_id / "report.html"
    try:
        write_atomic(path, page(findings).encode())
    except OSError as error:
        raise ConfigError(f"--out was {str(path)!r}, which cannot be written: {error}") from error
    print(path)
    if args.open and not webbrowser.open(path.resolve().as_uri()):
        print("no browser was found to show it in")
    return 0
