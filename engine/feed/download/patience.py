"""How long to go on trying: a budget of seconds without progress, and waits that grow and are not in step with others'."""

import random
import time
from typing import Final

from engine.errors import WorkError

_FIRST_S: Final = 0.25
_LONGEST_S: Final = 60.0
_LONGEST_RETRY_AFTER_S: Final = 600.0


class Patience:
    """Waits after each failure, twice as long each time, half of it by chance; starts anew whenever something came.

    Source: Amazon's architecture blog, "Exponential backoff and jitter": equal jitter.
    """

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self.progress()

    def progress(self) -> None:
        """Something came: the budget and the waits start anew."""
        self._since = time.monotonic()
        self._next_s = _FIRST_S

    def wait(self, what: str, failure: str, at_least_s: float = 0.0) -> None:
        """Wait before another try at ``what``.

        Raises
        ------
        WorkError
            The budget does not last for it.
        """
        wait_s = max(min(at_least_s, _LONGEST_RETRY_AFTER_S), random.uniform(0.5, 1.0) * self._next_s)
        spent_s = time.monotonic() - self._since
        if spent_s + wait_s > self._budget_s:
            raise WorkError(
                f"{what} failed for {spent_s:.0f} s, at last with: {failure}; what came so far is kept, give the same command "
                "again or more time with --budget-s"
            )
        time.sleep(wait_s)
        self._next_s = min(2 * self._next_s, _LONGEST_S)
