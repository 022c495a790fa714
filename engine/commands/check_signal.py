"""`check-signal`: the contract that every signal keeps, run on one's own."""

import argparse
import json

from engine.config import parse_overrides
from engine.door import FAILED, print_json
from engine.errors import ConfigError
from engine.signals.check import check_signal, classes_named


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code: 0 the contract is kept, 1 it is broken, 2 the signal does not load."""
    given = {**_read_params(args.params), **parse_overrides(args.set)}
    reports = [check_signal(cls, given or None) for cls in classes_named(args.signal)]
    if args.json:
        print_json([report.as_dict() for report in reports])
    else:
        print("\n".join(str(report) for report in reports))
    return 0 if all(reports) else FAILED


def _read_params(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--params was {text!r}, which is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f'--params was {text!r}; it must be an object like {{"window_bins": 20}}')
    return values
