"""The fitted state that a champion carries: of a learned signal, after the last session that it was chosen on."""

from collections.abc import Iterator

import polars as pl

from engine.champion import Champion, FittedState
from engine.dataset.read import Dataset
from engine.errors import DatasetError
from engine.lake import Lake
from engine.signals.base import signal_inputs
from engine.signals.learned.schedule import ScheduledSignal
from engine.signals.promoted import fitted_of, make_promoted
from tune.trial import load_market

_CANDIDATE = ("signal_name", "resolved_params_json", "rules_json")


def fitted_after(lake: Lake, champion: Champion, rows: pl.DataFrame) -> FittedState | None:
    """Walk a learned signal through the last session that its judge saw, as the judge did; None for one that is not learned.

    Parameters
    ----------
    champion : Champion
        That carries nothing yet.
    rows : DataFrame
        All rows that the sweep chose among.
    """
    signal = make_promoted(champion)
    if not isinstance(signal, ScheduledSignal):
        return None
    dataset = next(_sessions(lake, champion, rows))
    market = load_market(dataset, [type(signal)])
    signal.run(signal_inputs(signal, market.columns, market.bins))
    return fitted_of(signal, dataset.dataset_id, int(market.ts_ns[-1]))


def contract_of(lake: Lake, dataset_id: str) -> str | None:
    """Whose records a dataset holds; None where it is gone or does not say."""
    try:
        symbol = Dataset.open(lake, dataset_id, with_sealed=True).manifest["config"].get("symbol")
    except DatasetError:
        return None
    return None if symbol is None else str(symbol)


def _sessions(lake: Lake, champion: Champion, rows: pl.DataFrame) -> Iterator[Dataset]:
    """The candidate's sessions that are still as they were judged, the last one first; in any case the run's own.

    Only those of the run's contract: what was fitted on one contract says nothing of another.
    """
    contract = contract_of(lake, champion.dataset_id)
    run = rows.filter(pl.col("run_id") == champion.run_id)
    same = rows.join(run.select(_CANDIDATE).unique(), on=_CANDIDATE).unique("dataset_id").sort("end_ns", "dataset_id")
    for row in reversed(same.to_dicts()):
        try:
            dataset = Dataset.open(lake, row["dataset_id"])
        except DatasetError:  # it was deleted or sealed since
            continue
        is_its = contract is None or contract_of(lake, row["dataset_id"]) in (None, contract)
        if is_its and dataset.checksum == row["dataset_checksum"]:
            yield dataset
    yield Dataset.open(lake, champion.dataset_id)
