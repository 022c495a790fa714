"""What the query of a stream's URL may hold.

The instrument's fields among it are written out, held equal to the model's by a test: importing the model, with pydantic and
numpy behind it, takes longer than all the rest of a ``--help``.
"""

from typing import Final

HORIZONS: Final = "projection_horizons_bins"
PERM_FIELDS: Final = (
    "perm_runtime_enabled",
    "perm_center_exclusion_radius",
    "perm_spatial_decay_power",
    "perm_zscore_window_bins",
    "perm_zscore_min_periods",
    "perm_tanh_scale",
    "perm_d1_weight",
    "perm_d2_weight",
    "perm_d3_weight",
    "perm_bull_pressure_weight",
    "perm_bull_vacuum_weight",
    "perm_bear_pressure_weight",
    "perm_bear_vacuum_weight",
    "perm_mixed_weight",
    "perm_enable_weighted_blend",
)
MODEL: Final = "model"  # instrument, champion, or a version
SWITCHES: Final = ("perm_runtime_enabled", "perm_enable_weighted_blend")  # of them: true or false
QUERY_NAMES: Final = (
    "product_type",
    "symbol",
    "dt",
    "session",
    "start_time",
    "speed",
    "resume_from",
    "backfill",
    "at",
    HORIZONS,
    MODEL,
    "token",
    *PERM_FIELDS,
)
