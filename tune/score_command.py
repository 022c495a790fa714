"""``python -m tune score``: one signal's series over a dataset, or what a champion would say there in a stream."""

import argparse
import json
from datetime import UTC, datetime
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq

from engine.champion import Champion, read_champion, with_fitted
from engine.config import parse_overrides
from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from engine.signals.base import signal_inputs
from engine.signals.bundle import read_bundle
from engine.signals.promoted import begun
from engine.signals.registry import get_signal, make_signal, signals_of
from tune.code_version import code_version
from tune.fitted import contract_of
from tune.ledger import HANDED_OUT, TrialLedger
from tune.trial import load_market


def score(args: argparse.Namespace) -> int:
    """A series with the signals of the ``--signals`` files known while it is made."""
    with signals_of([read_bundle(path) for path in args.signals]):
        return _score(args)


def _score(args: argparse.Namespace) -> int:
    """One signal's series over a dataset: ``bin_seq, score, ready``, and what made it as the file's metadata."""
    lake = Lake.open(args.lake)
    champion = _scoring_champion(lake, args)
    name = args.signal if champion is None else champion.signal
    parameters = parse_overrides(args.set) if champion is None else champion.parameters
    get_signal(name)
    dataset = Dataset.open(lake, args.dataset_id)
    _require_own_contract(lake, champion, dataset)
    market = load_market(dataset, [get_signal(name)])
    signal = make_signal(name, parameters, market.context)
    scorer = signal if champion is None else begun(champion, signal)
    series = scorer.run(signal_inputs(signal, market.columns, market.bins))
    begins = "" if champion is None or champion.fitted is None else champion.fitted.sha256
    metadata = {
        "dataset_id": dataset.dataset_id,
        "dataset_checksum": dataset.checksum,
        "signal": name,
        "parameters": json.dumps(signal.params.model_dump(mode="json"), sort_keys=True),
        "code_version": code_version(name),
    } | ({"fitted": begins} if begins else {})
    table = pa.table(
        {
            "bin_seq": dataset.bins(["bin_seq"])["bin_seq"],
            "score": pa.array(series["score"].copy()),
            "ready": pa.array(series["ready"].copy()),
        }
    ).replace_schema_metadata(metadata)
    told = ("dataset_checksum", "signal", "parameters", "code_version", "fitted")
    identity = json.dumps([HANDED_OUT, *(metadata[key] for key in told if key in metadata)])
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    TrialLedger(lake).add_series(sha256(identity.encode()).hexdigest()[:16], dataset, name, now)  # before it is handed out
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(args.out, buffer.getvalue().to_pybytes())
    summary = {"out": str(args.out), "n_bins": dataset.n_bins, "n_ready": int(series["ready"].sum()), **metadata}
    if args.json:
        print(json.dumps(summary, indent=1, allow_nan=False))
    else:
        print(f"{args.out}: {summary['n_bins']} bins, {summary['n_ready']} of them ready, {name} on {dataset.dataset_id}")
    return 0


def _require_own_contract(lake: Lake, champion: Champion | None, dataset: Dataset) -> None:
    """Refuse a fitted state that was learned on another contract than the dataset is of."""
    if champion is None or champion.fitted is None:
        return
    learned, given = contract_of(lake, champion.fitted.dataset_id), contract_of(lake, dataset.dataset_id)
    if learned is not None and given is not None and learned != given:
        raise ConfigError(
            f"champion version {champion.version} carries a fit on {learned}, and dataset {dataset.dataset_id} is of {given}; "
            f"name a dataset of {learned}, or score --signal {champion.signal} with its parameters, which begins without a fit"
        )


def _scoring_champion(lake: Lake, args: argparse.Namespace) -> Champion | None:
    """The version whose series is asked for, with its fitted state; None where a signal is named."""
    if (args.champion is None) == (args.signal is None):
        raise ConfigError("give --signal NAME, or --champion VERSION for a version's signal, parameters and fitted state")
    if args.champion is None:
        return None
    if args.set:
        raise ConfigError(f"--set was given beside --champion {args.champion}, which brings its own parameters; leave one out")
    return with_fitted(lake, read_champion(lake, args.champion))
