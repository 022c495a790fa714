"""Results on data that the vendor has corrected since: they stay as they are, and are marked wherever they are shown."""

import json
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from engine.dataset.lineage import Correction, corrections
from engine.lake import Lake

STALE: Final = "stale"  # column: what was corrected, empty where nothing was


def stale_runs(lake: Lake, rows: pl.DataFrame) -> dict[str, Correction]:
    """Runs that were made of a raw file which the vendor has replaced, by name.

    Parameters
    ----------
    rows : DataFrame
        As ``ResultStore.rows`` gives them, at least ``run_id`` and ``sources_json``.
    """
    replaced = {one.old: one for one in corrections(lake)}
    if not replaced:
        return {}
    found = {}
    for run_id, sources in rows.select("run_id", "sources_json").unique().iter_rows():
        known = [replaced[name] for name in json.loads(sources or "[]") if name in replaced]
        if known:
            found[run_id] = known[0]
    return found


def staleness(stale: Mapping[str, Correction], row: Mapping[str, Any]) -> str:
    """What was corrected of the sessions of a row, in words; empty where nothing was."""
    runs = [row["run_id"], *(one["run_id"] for one in row.get("sessions") or ())]
    days = sorted({f"{stale[name].symbol} {stale[name].day}" for name in runs if name in stale})
    return f"{', '.join(days)} corrected by the vendor" if days else ""


def with_stale(ranking: pl.DataFrame, stale: Mapping[str, Correction]) -> pl.DataFrame:
    """A leaderboard with the column ``STALE``; as it was where no run is."""
    if not stale:
        return ranking
    told = [staleness(stale, row) for row in ranking.iter_rows(named=True)]
    return ranking.with_columns(pl.Series(STALE, told, pl.String)) if any(told) else ranking


def stale_line(ranking: pl.DataFrame) -> str:
    """What stands under a leaderboard with such rows; empty where there are none."""
    if STALE not in ranking.columns:
        return ""
    n = int((ranking.get_column(STALE) != "").sum())
    return (
        f"{n} of these rows are stale: the vendor has corrected the data that they were made of. They are left as they were; "
        "publish a dataset of the new file and sweep that"
    )
