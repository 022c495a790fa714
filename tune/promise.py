"""What a promotion promises, in figures of the row that is promoted."""

import json
from typing import Any

from engine.champion import Promise
from engine.constants import NS_PER_MS
from engine.trades.paper import plan_values
from tune.rules import Rules
from tune.scoring import make_plan


def promise_of(row: dict[str, Any], mode: str, data_end_ns: int) -> Promise:
    """The promise of a run at a threshold.

    Parameters
    ----------
    row : dict
        As ``ResultStore.rows`` has it.
    mode : str
        ``signed`` or ``probability``: which scores are neutral.
    data_end_ns : int
        End of the last session that the run was chosen on.
    """
    rules = Rules(**json.loads(row["rules_json"]))
    low = _number(row["oos_expectancy_low"])
    plan = make_plan([row["threshold"]], [rules], mode)
    return Promise(
        at_least_ticks=max(low or 0.0, 0.0),  # who loses keeps no promise, whatever the interval
        net_ticks=_number(row["oos_expectancy_ticks"]),
        low_ticks=low,
        high_ticks=_number(row["oos_expectancy_high"]),
        n_trades=int(row["oos_n_signals"]),
        trades_per_hour=_number(row["events_per_scored_hour"]),
        data_end_ns=data_end_ns,
        best_ticks=rules.tp_ticks - rules.fee_ticks,
        fee_ticks=rules.fee_ticks,
        longest_ns=(rules.delay_bins + rules.max_hold_bins) * rules.cell_width_ms * NS_PER_MS,
        fill=rules.fill,
        plan=plan_values(plan),
    )


def _number(value: float) -> float | None:
    return value if value == value else None
