"""How fast this machine is: the pipeline against databento's own decoder, both timed in one run.

Set-up and compilation are off the clock.
"""

import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import databento

from engine.config import load_instrument
from engine.constants import NS_PER_DAY
from engine.jit import source_hash
from engine.replay import Replay
from engine.runner import Runner, Span
from engine.simulate import simulate
from engine.source import open_source

START_TIME = "09:01"  # one minute into the simulated session


def bench(seconds: float) -> dict[str, Any]:
    """Simulate a session and time decoding, the book alone, and the full pipeline on it.

    Returns
    -------
    dict
        ``figures``: per stage seconds, events/s, the ratio to the decoder's rate, and the multiple of real time.
    """
    config = load_instrument()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "glbx-mdp3-20260206.mbo.dbn"
        simulate(path, seed=1, seconds=max(seconds, 120.0), rate=1250.0, symbol=config.symbol)
        for _ in Replay(open_source([path], config), config, START_TIME, n_bins=2):
            pass  # compiles

        began = time.perf_counter()
        n_events = len(databento.DBNStore.from_file(path).to_ndarray())
        decode_s = time.perf_counter() - began

        source = open_source([path], config)
        start, end = source.window
        began = time.perf_counter()
        runner = Runner(config, Span(start, end, first_bin=end + NS_PER_DAY))
        for records in source.records():
            for _ in runner.feed(records, 1):
                pass
        book_s = time.perf_counter() - began

        began = time.perf_counter()
        replay = Replay(open_source([path], config), config, START_TIME)
        n_bins = sum(block.n for block in replay)
        full_s = time.perf_counter() - began

    session_s = n_bins * config.cell_width_ms / 1000
    decode_rate = n_events / decode_s

    def figure(what: str, took: float, n: int = 0) -> dict[str, Any]:
        return {
            "what": what,
            "seconds": took,
            "events_per_s": n_events / took,
            "x_decode": n_events / took / decode_rate,
            "x_real_time": session_s / took,
            "us_per_bin": took / n * 1e6 if n else 0.0,
        }

    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "code_version": source_hash(),
        "n_events": n_events,
        "n_bins": n_bins,
        "session_s": session_s,
        "figures": [
            figure("databento decode", decode_s),
            figure("book alone", book_s),
            figure("book, field, spectrum, labels, model", full_s, n_bins),
        ],
    }
