"""How fast this machine is: every stage against databento's own decoder, timed in one run.

Times mean nothing without the machine, so each figure also stands as a ratio to the decoder and as a multiple of real time.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.bench.stages import HOUR_BINS
from engine.config import load_instrument
from engine.errors import EngineError
from engine.jit import cache_dir, source_hash
from engine.simulate.session import simulate

RATE: Final = 1250.0  # records a second in regular hours
DAY_EVENTS: Final = 50_000_000
DAY_S: Final = 86_400.0
MIN_SECONDS: Final = 120.0
STOPPED: Final = "a stage of the bench ended with exit code {code}: {said}"


def bench(seconds: float, whole_day: bool = False, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Simulate a session and time every stage on it.

    Parameters
    ----------
    seconds
        Length of the session at 1,250 records a second; at least two minutes.
    whole_day
        Also a file of 24 hours and 50 million records; takes minutes and 3 GB of disk.
    say
        Told what is being done.

    Returns
    -------
    dict
        ``figures``: per stage seconds, events/s, the ratio to the decoder's rate, the multiple of real time, and more by stage.
    """
    config = load_instrument()
    seconds = max(seconds, MIN_SECONDS)
    with tempfile.TemporaryDirectory(prefix="spymaster-bench-") as folder:
        path = Path(folder) / "glbx-mdp3-20260206.mbo.dbn"
        say(f"simulating {seconds:,.0f} s at {RATE:,.0f} records a second")
        simulate(path, seed=1, seconds=seconds, rate=RATE, symbol=config.symbol)
        figures = _figures(path, seconds, say)
        if whole_day:
            path.unlink()
            say(f"simulating 24 hours of {DAY_EVENTS:,} records")
            path = Path(folder) / "glbx-mdp3-20260205.mbo.dbn"
            simulate(path, seed=2, seconds=DAY_S, rate=DAY_EVENTS / DAY_S, symbol=config.symbol, start="2026-02-04T19:00")
            figures += _day_figures(path, say)
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 2),
        "code_version": source_hash(),
        "session_s": seconds,
        "figures": figures,
    }


def keep(result: dict[str, Any], folder: Path) -> Path:
    """Write a result as JSON, named by its date and code."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['made_at'][:10]}_{result['code_version']}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return path


def _figures(path: Path, seconds: float, say: Callable[[str], None]) -> list[dict[str, Any]]:
    def stage(name: str, *args: str) -> dict[str, Any]:
        say(f"timing {' '.join((name, *args))}")
        return in_own_process(name, str(path), *args)

    decoded = stage("decode")
    n_events, decode_s = int(decoded["n_events"]), float(decoded["seconds"])

    def figure(what: str, took: float, n_events: int, session_s: float, **more: Any) -> dict[str, Any]:
        return {
            "what": what,
            "seconds": took,
            "events_per_s": n_events / took,
            "x_decode": decode_s / decoded["n_events"] * n_events / took,
            "x_real_time": session_s / took,
            **more,
        }

    figures = [figure("databento decode", decode_s, n_events, seconds)]
    for what, field in (("book", "no"), ("book and field", "yes")):
        found = stage("book", field)
        figures.append(figure(what, found["seconds"], n_events, seconds, slots=found["slots"]))
    found = stage("bins")
    for kernel in ("finite", "exact"):
        us = found[kernel] / found["n_bins"] * 1e6
        what = f"whole pipeline, {kernel}"
        figures.append(figure(what, found[kernel], n_events, found["n_bins"] / 10, us_per_bin=us, peak_mb=found["peak_mb"]))
    found = stage("single_bins")
    us = found["seconds"] / found["n_bins"] * 1e6
    share = round(n_events * found["n_bins"] / 10 / seconds)
    tail = {name: found[name] for name in ("p50_us", "p99_us", "p999_us")}
    figures.append(figure("one bin at a time", found["seconds"], share, found["n_bins"] / 10, us_per_bin=us, **tail))
    found = stage("dataset", str(min(HOUR_BINS, int(seconds * 10) - 700)))
    more = {name: found[name] for name in ("n_bins", "bytes", "peak_mb", "column_s")}
    share = round(n_events * found["n_bins"] / 10 / seconds)
    figures.append(figure("file to dataset on disk", found["seconds"], share, found["n_bins"] / 10, **more))
    found = stage("start")
    figures.append({"what": "import engine", "seconds": _import_s("engine")})
    figures.append({"what": "import of all it replays with", "seconds": found["import_s"]})
    figures.append({"what": "first bins of a new process", "seconds": found["seconds"]})
    return figures


def _day_figures(path: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    say("timing the day")
    found = in_own_process("day", str(path))
    n_events, n_bins = found["n_events"], found["n_bins"]
    figures = [
        {
            "what": "24 h, whole pipeline",
            "n_events": n_events,
            "n_bins": n_bins,
            "seconds": found["seconds"],
            "events_per_s": n_events / found["seconds"],
            "x_real_time": DAY_S / found["seconds"],
            "us_per_bin": found["seconds"] / n_bins * 1e6,
            "peak_mb": found["peak_mb"],
            "hours": found["hours"],
        }
    ]
    say("timing a start from a kept book")
    found = in_own_process("checkpoint", str(path), "14:00")
    ratio = found["seconds"] / found["with_s"]
    figures.append({"what": "start at 14:00 by the records", "seconds": found["seconds"]})
    figures.append({"what": "start at 14:00 by a kept book", "seconds": found["with_s"], "x_without": ratio})
    return figures


def in_own_process(*stage: str) -> dict[str, Any]:
    """Run one stage with this process's kernel cache.

    Raises
    ------
    EngineError
        The stage failed.
    """
    env = {**os.environ, "NUMBA_CACHE_DIR": str(Path(cache_dir()).parent)}
    found: dict[str, Any] = json.loads(_output_of([sys.executable, "-m", "engine.bench.stages", *stage], env))
    return found


def _import_s(module: str) -> float:
    timed = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    return min(float(_output_of([sys.executable, "-c", timed], dict(os.environ))) for _ in range(3))


def _output_of(command: list[str], env: dict[str, str]) -> str:
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        said = (ran.stderr.strip().splitlines() or ["nothing"])[-1]
        raise EngineError(STOPPED.format(code=ran.returncode, said=said))
    return ran.stdout


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
