"""`touch_flow`: what is added near the touch less what is pulled, below spot against above it, averaged over a window."""

from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from engine.jit import kernel
from engine.signals.owner import Signal, SignalParams


class TouchFlowParams(SignalParams):
    window_bins: int = Field(20, ge=1, le=10_000, description="bins averaged")
    reach_ticks: int = Field(5, ge=1, le=50, description="ticks each side of spot")


class TouchFlowState(NamedTuple):
    seen: Any  # (2,) bins, and those whose cells were numbers
    ring: Any  # (window,) the newest shares


@kernel
def run(state, v_add, v_pull, reach, out):
    spot, window = v_add.shape[1] // 2, len(state.ring)
    for i in range(len(out)):
        below = above = 0.0
        for k in range(1, reach + 1):
            below += v_add[i, spot - k] - v_pull[i, spot - k]
            above += v_add[i, spot + k] - v_pull[i, spot + k]
        state.seen[0] += 1
        out[i]["sample_count"] = state.seen[0]
        if np.isfinite(below - above):  # else the bin is left out: score 0, not ready
            state.ring[state.seen[1] % window] = (below - above) / (abs(below) + abs(above) + 1e-9)
            state.seen[1] += 1
            out[i]["ready"] = state.seen[1] >= window
            for age in range(window if out[i]["ready"] else 0):  # the oldest first: no bit depends on where it began
                out[i]["score"] += state.ring[(state.seen[1] + age) % window] / window


class TouchFlow(Signal):
    name = "touch_flow"
    required_columns = ("v_add", "v_pull")
    default_thresholds = (0.02, 0.05, 0.1, 0.2)
    Params = TouchFlowParams

    def _fresh_state(self):
        return TouchFlowState(np.zeros(2, np.int64), np.zeros(self.params.window_bins))

    def _advance(self, x, out):
        run(self._state, x["v_add"], x["v_pull"], self.params.reach_ticks, out)

    @property
    def memory_bins(self):
        return self.params.window_bins
