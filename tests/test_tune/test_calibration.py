"""The calibration sheet, line by line; the same figures stand in tune/README.md."""

from collections.abc import Callable

import pytest

from tests.conftest import REPO_ROOT
from tests.test_tune.calibration import EXPERIMENTS, Line
from tests.test_tune.calibration_gate import EXPERIMENTS as OF_THE_GATE
from tests.test_tune.calibration_tails import EXPERIMENTS as OF_TAILS
from tests.test_tune.promises import EXPERIMENTS as OF_PROMISES

EVERY = (*EXPERIMENTS, *OF_TAILS, *OF_THE_GATE, *OF_PROMISES)
pytestmark = pytest.mark.slow  # half a minute together


@pytest.mark.timeout(120)
@pytest.mark.parametrize("experiment", EVERY, ids=lambda experiment: experiment.__name__)
def test_the_judge_keeps_its_word(experiment: Callable[[], list[Line]]) -> None:
    page = (REPO_ROOT / "tune" / "README.md").read_text()
    lines = experiment()
    assert lines
    for line in lines:
        assert line.holds, f"{line.question}: must be {line.required}, was {line.found:.3f}"
        assert f"| {line.question} | {line.required} |" in page, f"tune/README.md lacks the line {line.question!r}"
