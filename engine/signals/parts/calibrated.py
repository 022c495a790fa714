"""Thresholds from percentiles of the score itself.

Source: signals.md section 2, P12; section 14 item 2. The reference takes the percentiles over the very session that is then
scored, so the levels know how large the scores will become. The sound form takes them over a calibration segment at its
beginning and freezes them.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from engine.schema import Floats
from engine.signals.owner import Signal, SignalParams

PERCENTILES: Final = (50, 70, 80, 90, 95, 99)
REFERENCE_FALLBACK: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2)


class CalibratedParams(SignalParams):
    """Where the thresholds come from."""

    threshold_source: Literal["calibration", "whole_sample"] = Field(
        "calibration",
        description="calibration: percentiles of the first bins, frozen; whole_sample: of the session that is scored",
    )
    calibration_bins: Annotated[int, Field(ge=300, le=1_000_000)] = Field(
        3000, description="bins from the session's start that the calibration reads, warm-up included"
    )


class CalibratedSignal(Signal):
    """A signal whose thresholds follow its own scale."""

    params: CalibratedParams

    @property
    def scored_from(self) -> int:
        """The calibration's end."""
        return self.params.calibration_bins if self.params.threshold_source == "calibration" else 0

    @property
    def lookahead(self) -> tuple[str, ...]:
        """None: the scores are causal whatever the thresholds are."""
        return ()

    def _sample(self, score: Floats, warmup_bins: int) -> Floats:
        """The scores that the thresholds are taken from."""
        end = self.scored_from if self.params.threshold_source == "calibration" else len(score)
        return score[warmup_bins:end]


def percentile_thresholds(sample: Floats, fallback: Sequence[float]) -> tuple[float, ...]:
    """P12 over a sample of scores, NaN ignored; the fallback where nothing positive is left."""
    sizes = np.abs(sample[~np.isnan(sample)])
    if not len(sizes):
        return tuple(fallback)
    levels = np.percentile(sizes, PERCENTILES)
    return tuple(sorted({round(float(level), 6) for level in levels if level > 0})) or tuple(fallback)


def signed_percentiles(sample: Floats) -> dict[str, float]:
    """p5, p25, p50, p75 and p95 of a sample, NaN ignored; empty without one."""
    finite = sample[~np.isnan(sample)]
    if not len(finite):
        return {}
    names = (5, 25, 50, 75, 95)
    return {f"p{p}": float(value) for p, value in zip(names, np.percentile(finite, names), strict=True)}
