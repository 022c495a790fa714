"""What the bench times, a stage a function; each runs in a process of its own, so that memory and start-up are honest.

Compilation is off the clock everywhere: a stage runs over a few bins first. Times are of one thread.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

BENCH_START: Final = "09:01"  # New York, one minute into the simulated session
REPEATS: Final = 3
HOUR_BINS: Final = 36_000


def _best(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of a few runs: what the machine can do when it is let."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def decode(path: str) -> dict[str, Any]:
    """Databento's own decoder, the yardstick of the machine."""
    import databento

    # A store keeps what it has decoded, so each time it is opened anew.
    n_events = len(databento.DBNStore.from_file(path).to_ndarray())
    return {"n_events": n_events, "seconds": _best(lambda: databento.DBNStore.from_file(path).to_ndarray())}


def book(path: str, field: str) -> dict[str, Any]:
    """The book alone (``field`` "no") or with the force field ("yes"), and no bins."""
    from engine.config import load_instrument
    from engine.constants import NS_PER_DAY
    from engine.run.runner import Runner, Span
    from engine.source.records import open_source

    config = load_instrument()
    day_start, day_end = open_source([Path(path)], config).window
    last: list[Runner] = []

    def run() -> None:
        runner = Runner(config, Span(day_start, day_end, day_end + NS_PER_DAY))
        if field == "yes":
            runner.engine.run["warm_start"] = day_start
        for records in open_source([Path(path)], config).records():
            for _ in runner.feed(records, 1):
                pass
        last[:] = [runner]

    run()
    seconds = _best(run)
    return {"n_events": last[0].n_events, "slots": int(last[0].engine.field.n_in_use[0]), "seconds": seconds}


def bins(path: str) -> dict[str, Any]:
    """The whole pipeline in blocks, as a sweep runs it, under both rate kernels in turns."""
    from engine.config import load_instrument
    from engine.run.replay import Replay
    from engine.source.records import open_source

    configs = {kernel: load_instrument(overrides={"rate_kernel": kernel}) for kernel in ("finite", "exact")}

    def run(kernel: str, n_bins: int | None) -> int:
        config = configs[kernel]
        return sum(block.n for block in Replay(open_source([Path(path)], config), config, BENCH_START, n_bins))

    found: dict[str, Any] = {"n_bins": run("finite", None), **dict.fromkeys(configs, float("inf"))}
    for _ in range(REPEATS):
        for kernel in configs:
            found[kernel] = min(found[kernel], _best(lambda: run(kernel, None), 1))  # noqa: B023  # called at once
    return {**found, "peak_mb": _peak_mb()}


def single_bins(path: str) -> dict[str, Any]:
    """The whole pipeline one bin at a time, as a stream runs it: the time of each, in microseconds."""
    import numpy as np

    from engine.config import load_instrument
    from engine.run.replay import Replay, runtime_model
    from engine.run.runner import Runner
    from engine.source.records import open_source

    config = load_instrument()
    source = open_source([Path(path)], config)
    rows = np.concatenate([records.copy() for records in source.records()])
    plan = Replay(source, config, BENCH_START)
    runner = Runner(config, plan.runner.span, plan.runner.engine.sessions, runtime_model(config))
    runner.warmup()
    first = int(plan.runner.engine.run["first_bin"][0])
    bin_ns = runner.params.bin_ns
    ts = rows["ts_event"].astype(np.int64)
    edges = np.searchsorted(np.maximum.accumulate(ts), np.arange(first, int(ts[-1]), bin_ns))
    for _ in runner.feed(rows[: edges[0]], 1):
        pass
    times = np.zeros(min(len(edges) - 1, HOUR_BINS))
    clock = time.perf_counter
    for i in range(len(times)):
        part = rows[edges[i] : edges[i + 1] + 1] if i == 0 else rows[edges[i] + 1 : edges[i + 1] + 1]
        began = clock()
        for _ in runner.feed(part, 1):
            pass
        times[i] = clock() - began
    p50, p99, p999 = (float(np.quantile(times, q)) * 1e6 for q in (0.5, 0.99, 0.999))
    return {"n_bins": len(times), "seconds": float(times.sum()), "p50_us": p50, "p99_us": p99, "p999_us": p999}


def dataset(path: str, n_bins: str) -> dict[str, Any]:
    """DBN file to finished, checksummed dataset on disk, and the first column read back."""
    from engine.config import load_instrument
    from engine.dataset.capture import publish_replay
    from engine.dataset.read import Dataset
    from engine.lake import Lake
    from engine.run.replay import Replay
    from engine.source.records import open_source

    config = load_instrument()
    for _ in Replay(open_source([Path(path)], config), config, BENCH_START, 2):
        pass
    folder = tempfile.mkdtemp(prefix="spymaster-bench-")
    try:
        lake = Lake(Path(folder))
        began = time.perf_counter()
        made = publish_replay(lake, "bench", [Path(path)], config, start_time=BENCH_START, n_bins=int(n_bins))
        seconds = time.perf_counter() - began
        peak = _peak_mb()
        size = sum(file.stat().st_size for file in made.folder.iterdir())

        def read() -> None:
            Dataset.open(lake, "bench").columns(["pressure_variant"])

        read()
        column_s = _best(read)
        return {"n_bins": made.n_bins, "seconds": seconds, "bytes": size, "column_s": column_s, "peak_mb": peak}
    finally:
        for file in Path(folder).rglob("*"):
            if file.is_dir():
                file.chmod(0o755)
        shutil.rmtree(folder)


def start(path: str) -> dict[str, Any]:
    """First two bins of a new process, imports included, with compiled kernels in the cache."""
    began = time.perf_counter()
    from engine.config import load_instrument
    from engine.run.replay import Replay
    from engine.source.records import open_source

    imported = time.perf_counter()
    config = load_instrument()
    for _ in Replay(open_source([Path(path)], config), config, BENCH_START, 2):
        pass
    return {"seconds": time.perf_counter() - began, "import_s": imported - began}


def checkpoint(path: str, start_time: str) -> dict[str, Any]:
    """From opening the file to the start of the warm-up, without and with the book kept there."""
    from engine.config import load_instrument
    from engine.run.replay import Replay
    from engine.source.records import open_source

    config = load_instrument()
    with tempfile.TemporaryDirectory() as folder:

        def run() -> float:
            began = time.perf_counter()
            # Cancelled at the first look after the fast-forward: what follows is the same with and without.
            replay = Replay(open_source([Path(path)], config), config, start_time, 1, checkpoints=Path(folder))
            replay.is_cancelled = lambda: bool(replay.runner.engine.run["phase"][0])
            for _ in replay:
                pass
            return time.perf_counter() - began

        run()
        for file in Path(folder).glob("*.book"):
            file.unlink()
        without = run()
        return {"seconds": without, "with_s": min(run() for _ in range(REPEATS))}


def day(path: str) -> dict[str, Any]:
    """The whole pipeline over a day's file: seconds, memory, and each hour's time per bin and per event."""
    from engine.config import load_instrument
    from engine.run.replay import Replay
    from engine.source.records import open_source

    config = load_instrument()
    for _ in Replay(open_source([Path(path)], config), config, n_bins=2):
        pass
    replay = Replay(open_source([Path(path)], config), config)
    began = mark = time.perf_counter()
    n_bins = n_events = 0
    hours: list[dict[str, float]] = []
    for block in replay:
        n_bins += block.n
        if n_bins // HOUR_BINS > len(hours):
            now, events = time.perf_counter(), replay.runner.n_events
            hours.append({"seconds": now - mark, "events": events - n_events, "slots": _slots(replay), "peak_mb": _peak_mb()})
            mark, n_events = now, events
    return {
        "n_events": replay.runner.n_events,
        "n_bins": n_bins,
        "seconds": time.perf_counter() - began,
        "hours": hours,
        "peak_mb": _peak_mb(),
    }


def _slots(replay: Any) -> int:
    return int(replay.runner.engine.field.n_in_use[0])


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
