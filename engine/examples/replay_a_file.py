"""A DBN file in blocks of bins: what was traded in each second, and how far the best prices went.

    python replay_a_file.py [FILE.dbn[.zst] [SYMBOL]]

Without a file a minute of a made-up session is written here and read.
"""

import sys

import polars as pl

import engine


def by_second(file: str, symbol: str | None = None) -> pl.DataFrame:
    """Volume by the aggressor's side and the range of the mid, a row a second; flat in memory, however long the file is."""
    seconds = []
    for block in engine.replay(file, symbol=symbol):
        bins = pl.DataFrame({name: block.bins[name] for name in ("bin_start_ns", "buy_volume", "sell_volume", "mid_price")})
        second = pl.from_epoch("bin_start_ns", time_unit="ns").dt.truncate("1s").alias("time")
        seconds.append(bins.with_columns(second))
    return (
        pl.concat(seconds)
        .group_by("time", maintain_order=True)
        .agg(pl.sum("buy_volume", "sell_volume"), pl.min("mid_price").alias("low"), pl.max("mid_price").alias("high"))
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    file = given[0] if given else str(engine.simulate_session("example_20260206.dbn.zst", seed=1, seconds=60.0))
    print(by_second(file, given[1] if len(given) > 1 else None))
