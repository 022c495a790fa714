"""The choices that give each signal as the model system has it, for comparing with it.

engine/signals/README.md says what each choice is. Source: signals.md section 14.
"""

from typing import Any, Final

_LABELLED: Final[dict[str, Any]] = {
    "label_purge": False,
    "label_barriers": "first_move",
    "flat_rows": "drop",
    "row_weights": "equal",
    "unsound_bins": "use",
    "refit_delay_bins": 0,
    "train_window_bins": 36_000,  # an hour: the model system looks back to the session's start
}
_BOOSTED: Final[dict[str, Any]] = _LABELLED | {"validation": "overlapping"}

# Its choices among the instrument's fields; what a golden file holds was made with them.
REFERENCE_FIELDS: Final[dict[str, str]] = {"rate_kernel": "finite", "state5_table": "reference"}

REFERENCE_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "ads": {"slope_history": "poison", "mad_guard": "absolute"},
    "ads_pfp_svac": {
        "threshold_source": "whole_sample",
        "slope_history": "poison",
        "mad_guard": "absolute",
        "lag_pairing": "outer_leads",
        "normaliser": "signed_eps",
    },
    "erd": {},
    "gbm_mf": _BOOSTED,
    "iirc": {"threshold_source": "whole_sample", "noise_floor_source": "absolute"},
    "jad": {"mad_guard": "absolute"},
    "knn_cl": _LABELLED,
    "lsvm_der": _LABELLED | {"refit_clocks": "shared"},
    "msd": {"threshold_source": "whole_sample", "normalisation": "none"},
    "pca_ad": {"refit_delay_bins": 0, "z_start": "zeros", "scale_floor_share": 0.0},
    "perm_derivative": {"flat_window": "whole_series"},
    "pfp": {"threshold_source": "whole_sample", "lag_pairing": "outer_leads", "normaliser": "signed_eps"},
    "spg": {"threshold_source": "whole_sample", "normalisation": "none", "gradient_sense": "along_k"},
    "svm_sp": _LABELLED,
    "xgb_snap": _BOOSTED,
}
# Thresholds of the model system that ours leave out, since at them a signal is always in the market: section 14 item 18.
REFERENCE_THRESHOLDS: Final[dict[str, tuple[float, ...]]] = {
    "gbm_mf": (0.50, 0.52, 0.55, 0.58, 0.60, 0.65),
    "knn_cl": (0.0, 0.1, 0.2, 0.3),
    "lsvm_der": (0.0, 0.3, 0.5, 0.7, 1.0),
    "svm_sp": (0.0, 0.2, 0.4, 0.6, 0.8),
    "xgb_snap": (0.50, 0.52, 0.55, 0.58, 0.60, 0.65),
}
