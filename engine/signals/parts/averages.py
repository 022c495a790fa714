"""Exponential averages: how long they remember."""

import math


def ema_memory(alpha: float) -> int:
    """Bins after which an average of weight ``alpha`` has forgotten its start to 1e-17."""
    return 1 if alpha >= 1 else math.ceil(math.log(1e-17) / math.log1p(-alpha))
