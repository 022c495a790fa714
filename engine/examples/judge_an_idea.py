"""An idea in three lines of numpy, before the same judge as a sweep.

    python judge_an_idea.py [DATASET_ID [LAKE]]

Without a dataset a quarter of an hour of a made-up session is published into ./lake first.
"""

import sys

import numpy as np
from numpy.typing import NDArray

import engine
import tune

NEAR = 5  # ticks each side of spot


def resting_imbalance(dataset: engine.Dataset) -> NDArray[np.float64]:
    """Resting contracts just below spot against those just above: -1 to 1, positive is up. Reads no bin but its own."""
    spot = dataset.radius
    below = dataset.grid("bid_depth")[:, spot - NEAR : spot].sum(axis=1)
    above = dataset.grid("ask_depth")[:, spot + 1 : spot + 1 + NEAR].sum(axis=1)
    total = below + above
    return np.divide(below - above, total, out=np.full(len(total), np.nan), where=total > 0)  # NaN: nothing to say


def example_dataset(lake: str) -> engine.Dataset:
    """A quarter of an hour, made up; found again when it is there."""
    file = engine.simulate_session("example_20260206.dbn.zst", seed=7, seconds=900.0)
    return engine.publish(file, "example", lake=lake)


if __name__ == "__main__":
    lake = sys.argv[2] if len(sys.argv) > 2 else "lake"
    dataset = engine.open_dataset(sys.argv[1], lake) if len(sys.argv) > 1 else example_dataset(lake)
    result = tune.judge(resting_imbalance(dataset), dataset, name="resting_imbalance", tp_ticks=6, sl_ticks=6)
    print(result)
    print(result.table().select("threshold", "n_signals", "expectancy_ticks", "oos_expectancy_low"))
