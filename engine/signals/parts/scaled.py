"""Scores measured in their own recent size: what a signal without a natural unit is scaled by.

Source: signals.md section 14 item 22.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from engine.jit import kernel
from engine.schema import Floats
from engine.signals.parts.calibrated import REFERENCE_FALLBACK, CalibratedParams, CalibratedSignal, percentile_thresholds
from engine.signals.parts.robust_z import ZWindows, make_z_windows, median_of, take_in

SCALED_THRESHOLDS: Final = (0.5, 1.0, 1.5, 2.0, 3.0)  # in typical sizes of the score


class ScaledParams(CalibratedParams):
    """What a score without natural unit is measured in."""

    normalisation: Literal["rolling_median", "none"] = Field(
        "rolling_median",
        description="rolling_median: in medians of the score's own recent size; none: in units of the grid's forces",
    )
    scale_window_bins: Annotated[int, Field(ge=30, le=100_000)] = Field(3000, description="bins of the rolling median")
    scale_min_periods: Annotated[int, Field(ge=1)] = Field(300, description="bins, at most scale_window_bins")
    warmup_bins: Annotated[int, Field(ge=0, le=100_000)] = Field(300, description="bins left out of the thresholds")

    @model_validator(mode="after")
    def _agree(self) -> "ScaledParams":
        if self.scale_min_periods > self.scale_window_bins:
            raise ValueError(
                f"scale_min_periods was {self.scale_min_periods}; it must be at most scale_window_bins, which is "
                f"{self.scale_window_bins}"
            )
        return self


class ScaledSignal(CalibratedSignal):
    """A signal measured in its own recent size."""

    params: ScaledParams

    @property
    def is_scaled(self) -> bool:
        """Whether scores are in typical sizes."""
        return self.params.normalisation == "rolling_median"

    def scale_windows(self) -> ZWindows:
        """One window for the size, or a stub of one where there is no scale."""
        return make_z_windows(1, self.params.scale_window_bins if self.is_scaled else 1)

    @property
    def fallback(self) -> tuple[float, ...]:
        """Thresholds where the sample gives none."""
        return self.default_thresholds if self.is_scaled else REFERENCE_FALLBACK

    def thresholds(self, score: Floats) -> tuple[float, ...]:
        """Percentiles of the score."""
        return percentile_thresholds(self._sample(score, self.params.warmup_bins), self.fallback)


@kernel
def in_typical_sizes(windows: ZWindows, value: float, min_periods: int) -> tuple[float, bool]:
    """``value`` over the median of its own last sizes, this one included, and whether there are enough of them."""
    n = take_in(windows, 0, abs(value))
    scale = median_of(windows, 0)
    if n < min_periods or not scale > 0.0:
        return 0.0, n >= min_periods
    return value / scale, True
