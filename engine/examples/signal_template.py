"""A signal to start from: copy the file, rename what is marked, write the kernel, then run

    python -m engine check-signal signal_template.py

What must stand in the class is above the line; what may stand in it, with the values it has otherwise, below.
"""

from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from engine import Signal, SignalParams, kernel


class TemplateParams(SignalParams):
    """What a sweep may vary. Each needs a default, and bounds where it has any; a sweep's axes go by these names."""

    window_bins: int = Field(30, ge=2, le=10_000, description="bins looked back")


class TemplateState(NamedTuple):
    """Everything the signal remembers, as arrays of fixed size: it is what a snapshot holds.

    Give it a name of its own: the compiler tells tuples apart by name and fields.
    """

    seen: Any  # (2,) bins seen, and those that were sound
    ring: Any  # (window,) newest values


@kernel
def run(state, pressure, vacuum, out):
    """All the arithmetic. ``pressure`` and ``vacuum`` are (n, 2 * radius + 1), read-only; row ``radius`` is spot, rows after it
    lie above. ``out`` has a row a bin, zeros to begin with.

    A kernel reads its arguments and constants of its module, writes into ``state`` and ``out``, and makes no new array.
    What it calls must be a kernel too, here or in a module beside this file. Never look at row ``i + 1`` of a column.
    """
    spot, window = pressure.shape[1] // 2, len(state.ring)
    for i in range(len(out)):
        state.seen[0] += 1
        out[i]["sample_count"] = state.seen[0]  # bins seen, this one included
        value = 0.0
        for k in range(1, spot + 1):
            value += (vacuum[i, spot + k] - vacuum[i, spot - k]) - (pressure[i, spot + k] - pressure[i, spot - k])
        if not np.isfinite(value):
            continue  # a cell that is no number leaves the bin out: score 0, not ready, nothing remembered
        state.ring[state.seen[1] % window] = value
        state.seen[1] += 1
        if state.seen[1] < window:
            continue  # not ready yet
        mean = size = 0.0
        for age in range(window):  # always from the oldest on: sums then do not depend on where the signal began
            held = state.ring[(state.seen[1] + age) % window]
            mean += held / window
            size += abs(held) / window
        out[i]["ready"] = True
        out[i]["score"] = mean / (size + 1e-12)  # positive is up


class Template(Signal):
    """One line on the idea."""

    name = "template"  # what sweeps, leaderboards and champions call it; letters, digits and _
    required_columns = ("pressure_variant", "vacuum_variant")  # of engine.schema.GRID_COLUMNS: a row a tick
    default_thresholds = (0.2, 0.4, 0.6, 0.8)  # score levels to trade at, ascending
    Params = TemplateParams

    def _fresh_state(self):
        """The state before the first bin. Parameters are at hand as ``self.params``, grid and tick as ``self.context``."""
        return TemplateState(np.zeros(2, np.int64), np.zeros(self.params.window_bins))

    def _advance(self, x, out):
        """Call the kernel over n bins; it writes into ``out``."""
        run(self._state, x["pressure_variant"], x["vacuum_variant"], out)

    @property
    def memory_bins(self):
        """After this many bins nothing depends on where the signal began: as many a stream shows it before it takes over."""
        return self.params.window_bins

    # ------------------------------------------------------------------------------------------------------------------------

    required_fields = ()  # of engine.schema.BIN_DTYPE, one number a bin, such as "mid_price", "buy_volume", "quality"
    trigger = "edge"  # the reference trades when the score crosses a threshold ("edge") or while it is beyond ("level")
    prediction_mode = "score"  # "probability" where 0.5 is neutral and output_dtype has a field "prediction"
    is_odd = True  # a mirrored market negates the score; say False where it does not
    test_params = [{}, {"window_bins": 5}]  # what the contract is tried with: ready within a few hundred bins
    # output_dtype: np.dtype([*COMMON_FIELDS, ("my_figure", "f8")]), COMMON_FIELDS of engine.signals.base, to say more a bin

    def thresholds(self, score):
        """Levels to trade a whole session at; give others only if they come from bins before ``scored_from``."""
        return self.default_thresholds

    def metadata(self, outputs):
        """Figures over a session, ready for JSON."""
        return {"n_ready": int(np.count_nonzero(outputs["ready"]))}
