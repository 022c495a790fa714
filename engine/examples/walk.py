"""A walk for a notebook: replay, look, have an idea, judge it, make it a signal.

    marimo edit walk.py                    cell by cell, in the browser
    python walk.py                         all of it at once
    python walk.py -- --lake FOLDER        with the dataset kept there instead of ./lake

marimo comes with ``pip install "spymaster-orderflow[notebook]"``. Everything that is made lies in the lake.
"""

import marimo

app = marimo.App(width="medium", app_title="Spymaster: a walk")


@app.cell
def _():
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from my_signal import TouchFlow  # the file beside this one

    import engine
    import tune

    lake = engine.open_lake(mo.cli_args().get("lake"))
    return TouchFlow, engine, lake, mo, np, plt, tune


@app.cell
def _(mo):
    mo.md("""
    # From orders to a judged signal

    A quarter of an hour of one contract, order by order. The market is made up, so that this runs anywhere; give
    `engine.publish` a DBN file of your own and the rest stays as it is.

    ## 1. Replay
    """)


@app.cell
def _(engine, lake):
    lake.root.mkdir(parents=True, exist_ok=True)
    file = engine.simulate_session(lake.root / "walk_20260206.dbn.zst", seed=7, seconds=900.0)
    dataset = engine.publish(file, "walk", lake=lake)
    dataset
    return (dataset,)


@app.cell
def _(mo):
    mo.md("""
    Bins of 100 ms, each with prices, trades and a grid: rows for the ticks around spot, columns for what happens there.
    """)


@app.cell
def _(dataset):
    dataset.to_polars(["bin_seq", "mid_price", "best_bid_size", "best_ask_size", "buy_volume", "sell_volume", "quality"])


@app.cell
def _(mo):
    mo.md("""
    ## 2. Look

    A column of the grid is an array, bins by ticks. Red is pressure, blue is vacuum; the zero line is spot.
    """)


@app.cell
def _(dataset, plt):
    figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
    reach = (0, dataset.n_bins * dataset.cell_width_ms / 1000, -dataset.radius, dataset.radius)
    axes.imshow(dataset.grid("spectrum_score").T, aspect="auto", origin="lower", extent=reach, cmap="coolwarm", vmin=-1, vmax=1)
    axes.set(xlabel="seconds", ylabel="ticks from spot", title="spectrum_score")
    figure


@app.cell
def _(mo):
    mo.md("""
    ## 3. An idea, judged

    Contracts that rest just below spot against those just above. Three lines, and no bin that had not come yet. The judge is
    the one that sweeps have: it pays the spread and the fees, chooses on the past, scores on what follows, and counts what
    was tried.
    """)


@app.cell
def _(dataset, np, tune):
    spot, near = dataset.radius, 5
    below = dataset.grid("bid_depth")[:, spot - near : spot].sum(axis=1)
    above = dataset.grid("ask_depth")[:, spot + 1 : spot + 1 + near].sum(axis=1)
    imbalance = (below - above) / np.maximum(below + above, 1e-9)

    judged = tune.judge(imbalance, dataset, name="resting_imbalance", tp_ticks=6, sl_ticks=6)
    judged
    return (judged,)


@app.cell
def _(judged):
    judged.plot()


@app.cell
def _(mo):
    mo.md("""
    A made-up market has nothing to find, and the judge says so. What looks like an edge here is a fault.

    ## 4. The idea as a signal

    To be swept, promoted and streamed an idea becomes a class with a kernel, like the one in `my_signal.py`, beside this
    file. The contract is run on it first.
    """)


@app.cell
def _(TouchFlow, engine):
    checks = engine.check_signal(TouchFlow)
    checks
    return (checks,)


@app.cell
def _(TouchFlow, dataset, engine, tune):
    outputs = engine.run_signal(TouchFlow, dataset, window_bins=10)
    as_signal = tune.judge(outputs, dataset, name="touch_flow", tp_ticks=6, sl_ticks=6)
    as_signal
    return (as_signal,)


@app.cell
def _(mo):
    mo.md("""
    ## 5. Everything that was tried

    Both stand on the lake's leaderboard, and luck is counted over both.

    Next: `your_own_signal.md`, for a grid of its parameters on all cores, its promotion, and its stream.
    """)


@app.cell
def _(as_signal, judged, lake, tune):
    found = tune.compare(lake, min_signals=1, dataset=judged.dataset.dataset_id)
    found.filter(found["run_id"].is_in([judged.run_id, as_signal.run_id])).select(
        "signal_name", "threshold", "n_signals", "expectancy_ticks", "oos_expectancy_low"
    )


if __name__ == "__main__":
    app.run()
