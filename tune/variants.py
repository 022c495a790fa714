"""Datasets made on the way to a sweep: variants of the instrument's fields, and the simulated session of the smoke sweep."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from engine.config import load_instrument
from engine.dataset.capture import publish_replay, publish_variant, recipe_config
from engine.dataset.read import Dataset
from engine.errors import DatasetError
from engine.lake import Lake, raw_file
from engine.tables import Progress
from tune.config import SweepConfig
from tune.space import NO_VARIANT, expand

SMOKE_DATASET: Final = "smoke_mnqh6_20260206_0905"
_SMOKE_DT: Final = "2026-02-06"
_SMOKE_START: Final = "09:05"
_SMOKE_BINS: Final = 14_400
_SIMULATED_START: Final = "2026-02-06T09:00"
_SIMULATED_SECONDS: Final = 1800.0
_SIMULATED_RATE: Final = 400.0  # records/s
_SIMULATED_SEED: Final = 20260206
_PLANTED: Final = "relation=flow,size=8,decay=2,every=10,lead=2"

Say = Callable[[str], None]


def variant_combinations(config: SweepConfig) -> list[dict[str, Any]]:
    """Every combination of the ``grid_variant`` fields; none without the section. A list is an axis."""
    if not config.grid_variant:
        return []
    return expand({name: v if isinstance(v, list) else [v] for name, v in config.grid_variant.items()})


def with_variants(config: SweepConfig, bases: list[Dataset], lake: Lake, say: Say) -> list[tuple[Dataset, str]]:
    """The base datasets, then each variant of each of them, made where it is missing.

    Raises
    ------
    ConfigError
        A field or value is not allowed; all are checked before the first is made.
    DatasetError
        A base cannot be made again.
    """
    combinations = variant_combinations(config)
    wanted = [(base, overrides, recipe_config(base, overrides)) for base in bases for overrides in combinations]
    found: list[tuple[Dataset, str]] = [(base, NO_VARIANT) for base in bases]
    for number, (base, overrides, instrument) in enumerate(wanted, start=1):
        recipe = json.dumps([base.checksum, instrument.config_version])
        variant = sha256(recipe.encode()).hexdigest()[:8]
        dataset_id = f"{base.dataset_id}__{variant}"
        if (lake.datasets / dataset_id).is_dir():
            found.append((Dataset.open(lake, dataset_id), variant))
            continue
        fields = " ".join(f"{name}={value}" for name, value in overrides.items())
        say(f"making dataset {dataset_id} ({fields}), {number} of {len(wanted)}")
        with Progress("replaying") as bar:
            made = publish_variant(lake, dataset_id, base, overrides, lambda n: bar.update(None, f"{n} bins"))
        found.append((made, variant))
    return found


def ensure_smoke_dataset(lake: Lake, say: Say) -> None:
    """Make the smoke sweep's dataset where it is missing: from the lake's raw file of that day, else from a simulated one."""
    if (lake.datasets / SMOKE_DATASET).is_dir():
        return
    config = load_instrument()
    folder = lake.raw_dir(config.symbol_root, config.product_type)
    if not any(folder.glob(f"*{_SMOKE_DT.replace('-', '')}*")):
        from engine.simulate.edge import read_edge  # only a first run needs it
        from engine.simulate.session import simulate

        edge = read_edge(_PLANTED)
        say(f"no data of {_SMOKE_DT} in {folder}: simulating {_SIMULATED_SECONDS / 60:g} minutes of {config.symbol}")
        say(
            f"an edge is planted in it: {edge.size:g} ticks follow each lean of the order {edge.relation}; what finds it has "
            "found what was put there, and the file's .edge.json says when"
        )
        folder.mkdir(parents=True, exist_ok=True)
        with Progress("simulating") as bar:
            simulate(
                folder / f"simulated-{_SMOKE_DT.replace('-', '')}.mbo.dbn.zst",
                seed=_SIMULATED_SEED,
                seconds=_SIMULATED_SECONDS,
                rate=_SIMULATED_RATE,
                start=_SIMULATED_START,
                symbol=config.symbol,
                edge=edge,
                progress=lambda done: bar.update(done, ""),
            )
    path = raw_file(lake, config.symbol_root, _SMOKE_DT)
    say(f"making dataset {SMOKE_DATASET}: {_SMOKE_BINS} bins from {_SMOKE_START} of {path.name}")
    with Progress("replaying") as bar:
        dataset = publish_replay(
            lake,
            SMOKE_DATASET,
            [path],
            config,
            start_time=_SMOKE_START,
            n_bins=_SMOKE_BINS,
            progress=lambda made: bar.update(made / _SMOKE_BINS, f"{made} bins"),
        )
    if dataset.n_bins < _SMOKE_BINS:
        raise DatasetError(f"{path} gave only {dataset.n_bins} bins from {_SMOKE_START}; the smoke sweep wants {_SMOKE_BINS}")
