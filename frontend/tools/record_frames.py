"""Record what the server sends for a simulated session, for the page's tests.

    python frontend/tools/record_frames.py OUT.frames.gz [--bins 6] [--start-time 09:02] [--seed 7] [--expect OUT.json]

Each frame is a 4-byte little-endian length, one byte (0 text, 1 binary) and the payload; the whole is gzipped. ``--expect``
writes some cells as pyarrow reads them, so that the page's decoder is held against another one.
"""

import argparse
import gzip
import json
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from engine.config import load_instrument
from serve.champion import Serving
from serve.frames import BinFrames, decode_grid
from serve.request import StreamRequest
from serve.session import Session

SESSION_DATE = date(2026, 2, 6)
EXPECTED_ROWS = (0, 37, 50, 51, 100)


def record(dbn: Path, start_time: str, n_bins: int) -> list[str | bytes]:
    """The frames of a stream from its ``runtime_config`` on, header and grid of each bin in turn."""
    request = StreamRequest(
        config=load_instrument(),
        dbn=dbn,
        dt=SESSION_DATE,
        start_time=start_time,
        speed=0.0,
        resume_from=0,
    )
    serving = Serving(0, None, "")
    with ThreadPoolExecutor(1) as aside:
        session = Session(request, lambda: serving, aside)
        session.open()
        frames: list[str | bytes] = [session.config_frame().text]
        for frame in session.turn(n_bins):
            if isinstance(frame, BinFrames):
                frames += [frame.header(dropped_bins=0), frame.grid]
        session.close()
    return frames


def expected(frames: list[str | bytes]) -> list[dict[str, Any]]:
    """Some rows of every column of every bin."""
    grids = [decode_grid(frame) for frame in frames if isinstance(frame, bytes)]
    return [
        {name: [values[row].item() for row in EXPECTED_ROWS] for name, values in grid.items()} | {"rows": EXPECTED_ROWS}
        for grid in grids
    ]


def write(path: Path, frames: list[str | bytes]) -> None:
    """One gzipped container, the same bytes for the same frames."""
    body = bytearray()
    for frame in frames:
        payload = frame.encode() if isinstance(frame, str) else frame
        body += struct.pack("<IB", len(payload), isinstance(frame, bytes)) + payload
    path.write_bytes(gzip.compress(bytes(body), compresslevel=6, mtime=0))


def main() -> int:
    """Simulate, replay, write."""
    parser = argparse.ArgumentParser(description="Record what the server sends for a simulated session.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--bins", type=int, default=6)
    parser.add_argument("--start-time", default="09:02", help="New York; the simulated session starts at 09:00")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=800.0, help="records per second")
    parser.add_argument("--expect", type=Path)
    options = parser.parse_args()
    hours, minutes = map(int, options.start_time.split(":"))
    seconds = (hours - 9) * 3600 + minutes * 60 + options.bins // 10 + 2
    with tempfile.TemporaryDirectory() as folder:
        dbn = Path(folder) / f"glbx-mdp3-{SESSION_DATE:%Y%m%d}.mbo.dbn.zst"
        command = [sys.executable, "-m", "engine", "simulate", str(dbn), "--seed", str(options.seed)]
        subprocess.run([*command, "--seconds", str(seconds), "--rate", str(options.rate)], check=True, stdout=subprocess.DEVNULL)
        frames = record(dbn, options.start_time, options.bins)
    write(options.out, frames)
    if options.expect is not None:
        options.expect.write_text(json.dumps(expected(frames)) + "\n")
    print(f"{options.out}: {len(frames)} frames, {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
