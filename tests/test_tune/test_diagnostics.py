"""What a run saw of the five states, counted by hand."""

import json

import numpy as np

from tune.diagnostics import COLUMNS, state5_diagnostics


def test_states_moves_and_transitions_are_counted_from_before_to_after() -> None:
    series = np.rec.fromarrays([np.array([-2, 1, 1, 2, 1, -2], np.int8)], names="dominant_state5_code")
    found = state5_diagnostics("perm_derivative", series, np.array([0, 8, 3, 3, 9, -1], np.int8))
    assert json.loads(found["perm_state5_distribution_json"]) == {"-2": 2, "-1": 0, "0": 0, "1": 3, "2": 1}
    micro = json.loads(found["perm_micro9_distribution_json"])
    assert micro == {"0": 2, "1": 0, "2": 0, "3": 2, "4": 0, "5": 0, "6": 0, "7": 0, "8": 2}  # what is beyond counts at the edge
    # From -2 to 1, 1 to 1, 1 to 2, 2 to 1, 1 to -2; rows and columns are -2, -1, 0, 1, 2.
    assert json.loads(found["perm_state5_transition_matrix_json"]) == [
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 0, 0, 1, 1],
        [0, 0, 0, 1, 0],
    ]
    assert json.loads(found["perm_state5_labels_json"]) == ["-2", "-1", "0", "1", "2"]
    assert found["perm_taxonomy_version"] == "state5_micro9_v1"


def test_other_signals_have_none() -> None:
    assert state5_diagnostics("ads", np.zeros(3), np.zeros(3, np.int8)) == dict.fromkeys(COLUMNS)
