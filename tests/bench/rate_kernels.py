"""What the exact rate kernel changes, on real and simulated sessions: a table, printed as Markdown.

    python tests/bench/rate_kernels.py FILE.dbn[.zst] START_TIME N_BINS [key=value ...]

Per session: how much of what traded v_fill has seen, how the columns of both kernels correlate over all cells, and how the
signals' series do.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import InstrumentConfig, load_instrument, parse_overrides
from engine.constants import ACTION_FILL, NS_PER_S
from engine.run.block import BinBlock
from engine.run.replay import Replay
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal, signal_names
from engine.source.records import open_source

COLUMNS = (
    "pressure_variant",
    "vacuum_variant",
    *(f"{order}_{chain}" for order in "vaj" for chain in ("add", "pull", "fill", "rest_depth")),
    "spectrum_score",
)
WIDE = {"grid_radius_ticks": 400}  # every tick that trades


def blocks(path: Path, config: InstrumentConfig, start: str, n_bins: int) -> list[BinBlock]:
    return list(Replay(open_source([path], config), config, start, n_bins))


def column(parts: list[BinBlock], name: str) -> NDArray[Any]:
    return np.concatenate([part.grid[name] for part in parts])


def seen_share(path: Path, config: InstrumentConfig, start: str, n_bins: int) -> float:
    """Integral of v_fill over time and ticks, per contract filled in the bins."""
    total, filled, first, last = 0.0, 0, 0, 0
    dt = config.cell_width_ms / 1000
    # Between two ends of bins v only falls, exponentially, apart from what enters; so its mean there is known from its end.
    mean_of_end = (np.exp(dt / config.tau_velocity) - 1) * config.tau_velocity / dt
    for block in Replay(open_source([path], config), config, start, n_bins):
        total += float(block.grid["v_fill"].sum()) * dt * mean_of_end
        first = first or int(block.bins["bin_start_ns"][0])
        last = int(block.bins["bin_end_ns"][-1])
    lead = int(30 * 60 * NS_PER_S)  # what filled in the warm-up has decayed before the bins, or shortly into them
    for records in open_source([path], config).records():
        fills = records[(records["action"] == ACTION_FILL) & (records["ts_event"] >= first) & (records["ts_event"] < last)]
        filled += int(fills["size"].astype(np.int64).sum())
    assert last > first > lead
    return total / max(filled, 1)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    one, other = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else float("nan")


def signal_series(parts: list[BinBlock], config: InstrumentConfig, name: str) -> NDArray[np.float64]:
    model = make_signal(name, {}, SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int))
    inputs = {wanted: column(parts, wanted) for wanted in model.required_columns}
    bins = np.concatenate([part.bins for part in parts])
    inputs |= {wanted: bins[wanted] for wanted in getattr(model, "required_fields", ())}
    scores: NDArray[np.float64] = model.run(inputs)["score"]
    return scores


def main(path: Path, start: str, n_bins: int, changes: list[str]) -> None:
    def config_of(kernel: str, **more: Any) -> InstrumentConfig:
        return load_instrument(overrides={**parse_overrides(changes), "rate_kernel": kernel, **more})

    configs = {kernel: config_of(kernel) for kernel in ("finite", "exact")}
    parts = {kernel: blocks(path, config, start, n_bins) for kernel, config in configs.items()}
    shares = {kernel: seen_share(path, config_of(kernel, **WIDE), start, n_bins) for kernel in configs}
    print(f"| {path.name} {start}, {n_bins:,} bins | finite | exact | correlation |\n|---|---|---|---|")
    print(f"| fills seen by v_fill | {shares['finite']:.3f} | {shares['exact']:.3f} | |")
    for name in COLUMNS:
        finite, exact = (column(parts[kernel], name) for kernel in configs)
        size = [f"{np.sqrt(np.mean(values.astype(np.float64) ** 2)):.4g}" for values in (finite, exact)]
        print(f"| {name}, root mean square | {size[0]} | {size[1]} | {correlation(finite, exact):.3f} |")
    codes = [column(parts[kernel], "spectrum_state_code") for kernel in configs]
    print(f"| spectrum_state_code, cells that agree | | | {np.mean(codes[0] == codes[1]):.3f} |")
    for name in signal_names():
        series = [signal_series(parts[kernel], config, name) for kernel, config in configs.items()]
        spread = [f"{values.std():.3g}" for values in series]
        print(f"| {name}, standard deviation | {spread[0]} | {spread[1]} | {correlation(*series):.3f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
