"""What a report tells, taken from where the leaderboard and the gate have it: no figure of a run is worked out again."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import polars as pl

from engine.dataset.read import Dataset
from engine.errors import EngineError
from engine.lake import Lake
from tune.config import SweepConfig, parse_sweep_config
from tune.gate import failed_checks, figures_of, instrument_differs
from tune.ledger import TrialLedger
from tune.notebook import Standings, standings
from tune.pooled import of_runs
from tune.run import SweepState, read_state

TOP: Final = 50  # runs on the board of the page
CURVES: Final = 8  # runs whose results over time are drawn
_PACKAGES: Final = ("numpy", "numba", "polars", "pyarrow", "ray")
_ORIGIN: Final = (
    "dataset_id",
    "dataset_checksum",
    "grid_variant_id",
    "signal_name",
    "code_version",
    "start_ns",
    "end_ns",
    "n_bins",
)


@dataclass(frozen=True)
class Findings:
    """A sweep as far as it came."""

    state: SweepState
    config: SweepConfig
    found: Standings
    top: pl.DataFrame  # the best runs with the figures of luck
    curves: pl.DataFrame  # the pooled rows of the first of them, blocks and all
    n_done: int
    failures: Sequence[Mapping[str, Any]]
    gate: tuple[str, ...]  # what the head of the board fails; empty where it may be promoted, or where there is none
    origins: pl.DataFrame  # datasets and code of the runs
    versions: Mapping[str, str]

    @property
    def objective(self) -> str:
        """Column that the board is ranked by."""
        return self.config.search.objective


def gather(lake: Lake, sweep: str) -> Findings:
    """Everything a page says of a sweep.

    Raises
    ------
    ConfigError
        There is no such sweep; the latest are named.
    """
    state = read_state(lake, sweep)
    config = parse_sweep_config(state.config, f"sweep {state.sweep_id}")
    least = config.eval.min_signals
    found = standings(lake, None, None, config.search.objective, least, TOP, True, sweep=state.sweep_id)
    top = found.beside.ranking
    return Findings(
        state=state,
        config=config,
        found=found,
        top=top,
        curves=of_runs(found.pooled, top.head(CURVES)),
        n_done=found.rows.n_unique("run_id"),
        failures=_failures(lake, state.sweep_id),
        gate=_gate(lake, top, least) if len(top) else (),
        origins=found.rows.select(_ORIGIN).unique(maintain_order=True),
        versions=_versions(),
    )


def _failures(lake: Lake, sweep_id: str) -> list[dict[str, Any]]:
    path = lake.sweeps / sweep_id / "failures.json"
    return list(json.loads(path.read_text())) if path.is_file() else []


def _gate(lake: Lake, top: pl.DataFrame, least: int) -> tuple[str, ...]:
    """The checks that the head of the board fails."""
    row = top.row(0, named=True)
    keys = {name: row[name] for name in ("run_id", "threshold")}
    is_counted = len(TrialLedger(lake).own_trials().filter(**keys)) > 0
    try:
        differs = instrument_differs(Dataset.open(lake, row["dataset_id"]))
    except EngineError:  # a report is made wherever the results lie, also without the data; what is not known does not pass
        differs = (f"not known where this page was made, which lacks dataset {row['dataset_id']}",)
    return failed_checks(figures_of({**row, "is_counted": is_counted}, least, differs))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("spymaster", *_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the tree itself, not installed
            found[name] = "not installed"
    return found
