"""`record`: a contract's live feed into the lake, and into shared memory for those who follow it."""

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from engine.errors import ConfigError, WorkError
from engine.feed.download.key import read_key
from engine.feed.live.feed import LiveFeed
from engine.feed.live.settings import VENDOR_PORT, LiveSettings
from engine.feed.moments import iso_ns
from engine.feed.record.place import symbol_folder
from engine.feed.record.recorder import Options, Recorder
from engine.lake import Lake

_LOOK_S: Final = 0.1  # between two looks at whether the end has come


def run(args: argparse.Namespace) -> int:
    """Record until somebody stops it, or until the time given; the exit code."""
    for name in ("ring_mb", "segment_mb", "sync_ms"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} was {getattr(args, name)}; it must be 1 or more")
    until_ns = _until(args.until)
    host, port = _address(args.gateway)
    settings = LiveSettings(
        args.symbol, args.dataset, host, port, heartbeat_s=args.heartbeat_s, clock_rate=args.speed, budget_s=args.budget_s
    )
    key = read_key(args.key_file)
    lake = Lake.open(args.lake)
    options = Options(args.segment_mb, args.ring_mb, args.sync_ms, dataset=args.dataset)
    with _stop_asked() as is_asked:
        recorder = Recorder(lake, args.symbol, options, _say)
        began_s = time.monotonic()
        _say(f"recording {args.symbol} into {symbol_folder(lake, args.symbol)}, {_whence(recorder)}")
        feed = LiveFeed(settings, key, recorder, recorder.resume, _say)
        feed.start()
        has_ended = False
        while not (is_asked.is_set() or has_ended or recorder.known_ns >= until_ns):
            has_ended = feed.wait(_LOOK_S)
        try:
            feed.stop()
        finally:
            recorder.end(is_over=feed.error is None and not has_ended)
    told = recorder.told() | {"seconds": round(time.monotonic() - began_s, 1)}
    print(json.dumps(told) if args.json else _summary(told), flush=True)
    if has_ended:
        raise WorkError(f"{told['alarm'] or 'the feed has ended'}; what was recorded stands, mend it and give the same command")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _whence(recorder: Recorder) -> str:
    n = len(recorder.resume)
    return f"going on behind sequence {recorder.resume['sequence'][-1]}" if n else "from a snapshot on"


def _summary(told: dict[str, Any]) -> str:
    feed = told["feed"]
    return (
        f"{told['symbol']}: {told['n_records']:,} records in {told['seconds']} s, {feed['n_doubles']:,} doubles dropped, "
        f"{feed['n_recoveries']} recoveries, {feed['n_holes']} holes of the feed"
    )


def _address(text: str | None) -> tuple[str | None, int]:
    """Host and port as typed; the vendor's own without."""
    if text is None:
        return None, VENDOR_PORT
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise ConfigError(f"--gateway was {text!r}; give HOST:PORT, as `gateway` prints it behind live")
    return host, int(port)


def _until(text: str | None) -> float:
    """Event time, ns, at which to end."""
    if text is None:
        return float("inf")
    try:
        return iso_ns(text)
    except ValueError:
        raise ConfigError(f"--until was {text!r}; give a UTC moment like 2026-02-06T21:00") from None


@contextmanager
def _stop_asked() -> Iterator[threading.Event]:
    """Set once somebody asks the process to end, by Ctrl-C or SIGTERM; either is a good end here."""
    asked = threading.Event()
    before = {one: signal.signal(one, lambda *_: asked.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
