"""Sweeps over stored sessions: points in, a leaderboard out, the best promoted to serving. No work happens at import.

At a prompt or in a notebook: `judge` a score series of one's own, `run_sweep`, `compare` every run of a lake.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from engine import lazy_names

if TYPE_CHECKING:
    from tune.judgement import Judgement
    from tune.judging import judge
    from tune.notebook import compare, run_sweep

# Public name -> module and name there, as in the engine's face.
_NAMES: Final[Mapping[str, str]] = {
    "Judgement": "tune.judgement:Judgement",
    "compare": "tune.notebook:compare",
    "judge": "tune.judging:judge",
    "run_sweep": "tune.notebook:run_sweep",
}

__all__ = ["Judgement", "compare", "judge", "run_sweep"]

if not TYPE_CHECKING:  # a checker would take any name for known
    __getattr__, __dir__ = lazy_names(globals(), _NAMES)
