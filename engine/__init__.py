"""The engine: market-by-order records in, a force field in fixed-width bins out. No work happens at import."""
