"""`gateway`: a loopback stand-in for the vendor's services, for tests and demonstrations."""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from engine.config import load_instrument
from engine.door import read_day
from engine.errors import ConfigError
from engine.feed.gateway.faults import Fault
from engine.feed.gateway.service import Gateway, Options, Ready, gateway_key
from engine.lake import Lake, raw_file


def run(args: argparse.Namespace) -> int:
    """Do it until somebody stops it; the exit code."""
    lake = Lake.open(args.lake)
    files = [*args.files, *_of_the_lake(lake, args)]
    if not files:
        raise ConfigError("nothing was given to play; name DBN files, or days of the lake with --dt")
    kept = lake.cache / "gateway"
    kept.mkdir(parents=True, exist_ok=True)
    key_path = args.key_file or kept / "key"
    options = Options(
        args.http_port, args.live_port, args.speed, args.heartbeat_s, args.slow_after_s, args.usd_per_gb, args.job_polls,
        args.close_at_end,
    )  # fmt: skip
    faults = [Fault.read(text) for text in args.fault]
    with tempfile.TemporaryDirectory(prefix="run-", dir=kept) as work:
        gateway = Gateway(files, Path(work), gateway_key(key_path), options)
        for fault in faults:
            gateway.faults.add(fault)
        asyncio.run(gateway.serve(lambda ready: _tell(ready, key_path, args.json)))
    return 0


def _of_the_lake(lake: Lake, args: argparse.Namespace) -> list[Path]:
    root = args.symbol or load_instrument().symbol_root
    return [raw_file(lake, root, read_day(day).isoformat()) for day in args.dt]


def _tell(ready: Ready, key_path: Path, as_json: bool) -> None:
    if as_json:
        values = {
            "http": ready.https_url,
            "certificate": str(ready.certificate),
            "live_host": ready.live_host,
            "live_port": ready.live_port,
            "key_file": str(key_path),
        }
        print(json.dumps(values), flush=True)
        return
    print(f"history {ready.https_url}, for those that have REQUESTS_CA_BUNDLE={ready.certificate}")
    print(f"live    {ready.live_host}:{ready.live_port}")
    print(f"key     in {key_path}; stop with Ctrl-C", flush=True)
