"""Every signal over a market of half a minute, short enough to run uncompiled too, where each line of a kernel can be seen."""

import numpy as np
import pytest

from engine.signals.registry import SIGNALS, get_signal
from tests.test_engine.test_signals.test_contract import inputs, maker

N_BINS = 300  # several fits, with the contract's short windows


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_scores_are_finite_and_become_ready(name: str) -> None:
    outputs = maker(name)().run(inputs(get_signal(name), N_BINS))
    assert np.all(np.isfinite(outputs["score"]))
    assert outputs["sample_count"][-1] == N_BINS
    assert outputs["ready"].any()
