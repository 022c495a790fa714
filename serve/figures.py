"""What one replica has done so far: counts and delays, for ``/health`` and for Ray's metrics."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

_LAGS_KEPT: Final = 2048


@dataclass
class Figures:
    """Counters of one replica; touched from its event loop only."""

    streams_opened: int = 0
    streams_refused: int = 0
    bins_served: int = 0
    bins_dropped: int = 0
    swaps: int = 0
    lags_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS_KEPT))  # sending after due, recent bins

    _new_lags_ms: list[float] = field(default_factory=list)

    def bin_sent(self, lag_ms: float | None) -> None:
        """Count a bin; ``lag_ms`` is None where there is no pace."""
        self.bins_served += 1
        if lag_ms is not None:
            self.lags_ms.append(lag_ms)
            if len(self._new_lags_ms) < _LAGS_KEPT:  # bounded where nobody takes them
                self._new_lags_ms.append(lag_ms)

    def take_new_lags(self) -> list[float]:
        """Delays since the last call, milliseconds."""
        taken, self._new_lags_ms = self._new_lags_ms, []
        return taken

    def lag_quantile_ms(self, quantile: float) -> float | None:
        """A quantile of the recent delays, milliseconds; None before the first paced bin."""
        if not self.lags_ms:
            return None
        return round(float(np.quantile(np.fromiter(self.lags_ms, float), quantile)), 3)
