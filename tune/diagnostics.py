"""What is kept with a run beside its figures: how its score orders what comes, and the five states that `perm_derivative` saw.

Source: signals.md 3.8, metadata, and section 10.
"""

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.schema import Outputs
from tune.coefficients import COLUMN as COEFFICIENTS

STATE5_CODES: Final = (-2, -1, 0, 1, 2)
TAXONOMY_VERSION: Final = "state5_micro9_v1"
COLUMNS: Final = (
    "perm_state5_distribution_json",
    "perm_micro9_distribution_json",
    "perm_state5_transition_matrix_json",
    "perm_state5_labels_json",
    "perm_taxonomy_version",
    COEFFICIENTS,
)


def state5_diagnostics(signal: str, series: Outputs, microstate: NDArray[np.int8]) -> dict[str, Any]:
    """Bins by dominant state and by quote-move pair, and the 5 x 5 counts of one dominant state after another.

    Rows of the matrix are the state before, columns the state after, both in the order -2..2. None for other signals.
    """
    if signal != "perm_derivative":
        return dict.fromkeys(COLUMNS)
    at = series["dominant_state5_code"].astype(np.int64) + 2
    counts = np.bincount(at, minlength=5)
    micro = np.bincount(np.clip(microstate, 0, 8), minlength=9)
    matrix = np.bincount(at[:-1] * 5 + at[1:], minlength=25).reshape(5, 5)
    values = (
        json.dumps({str(code): int(n) for code, n in zip(STATE5_CODES, counts, strict=True)}),
        json.dumps({str(code): int(n) for code, n in enumerate(micro)}),
        json.dumps(matrix.tolist()),
        json.dumps([str(code) for code in STATE5_CODES]),
        TAXONOMY_VERSION,
        None,
    )
    return dict(zip(COLUMNS, values, strict=True))
