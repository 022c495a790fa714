"""From a sweep's configuration to its points; everything that can be refused is refused here, before a worker starts.

Source: signals.md section 7; interfaces.md, "Sweep YAML".
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.lake import Lake
from engine.signals.base import SignalLike
from engine.signals.registry import get_signal, params_of, signal_names
from tune.code_version import class_version
from tune.config import EvalConfig, SweepConfig
from tune.rules import KNOWN_FEES, NARROWEST_SPREAD_TICKS, Rules, Trigger
from tune.trial import Point, signal_context, usable_thresholds

DEFAULT_COOLDOWN_BINS: Final = 30
DEFAULT_MAX_HOLD_BINS: Final = 1200
NO_VARIANT: Final = "immutable"
_COOLDOWN: Final = "cooldown_bins"
SHORTEST_LABEL_BINS: Final = 2  # a label looks at least one bin ahead


def expand(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Cartesian product of named axes, keys in order of name; one empty combination without axes."""
    names = sorted(axes)
    return [dict(zip(names, values, strict=True)) for values in product(*(axes[name] for name in names))]


@dataclass(frozen=True)
class SignalPlan:
    """One signal of a sweep, asked for once: its class, its axes multiplied out, the version of its code.

    ``combinations`` are of the swept parameters; ``cooldowns`` in bins.
    """

    name: str
    signal_class: type[SignalLike]
    combinations: tuple[Mapping[str, Any], ...]
    cooldowns: tuple[int, ...]
    code_version: str

    def resolve(self, swept: Mapping[str, Any], dataset: Dataset, rules: Rules) -> tuple[dict[str, Any], SignalLike]:
        """All parameters, and a signal made of them; labels that the sweep does not set are those of the trade that is judged.

        Raises
        ------
        ConfigError
            The signal's parameters, or the dataset's grid, do not allow the values.
        """
        context = signal_context(dataset)
        params = params_of(self.signal_class, {**labels_of(self.signal_class, rules), **swept}, context)
        return params.model_dump(mode="json"), self.signal_class(params, context)


def labels_of(signal_class: type[SignalLike], rules: Rules) -> dict[str, Any]:
    """What a signal that learns the outcome of a trade learns by default: the trade that it is judged by. None for the others."""
    if not getattr(signal_class.Params, "learns_the_judged_trade", False):
        return {}
    return {
        "tp_ticks": float(rules.tp_ticks),
        "sl_ticks": float(rules.sl_ticks),
        "max_hold_bins": max(rules.max_hold_bins, SHORTEST_LABEL_BINS),
    }


def plan_signals(config: SweepConfig, say: Callable[[str], None] | None = None) -> tuple[SignalPlan, ...]:
    """The signals to run, ``[all]`` written out, in the order in which they run; ``say`` hears which of all do not load.

    Raises
    ------
    ConfigError
        A name is unknown (the known ones are listed), stands twice, or has axes without being chosen; or a cooldown is not
        allowed.
    """
    names = tuple(signal_names()) if config.signals == ("all",) else config.signals
    if len(set(names)) != len(names):
        raise ConfigError(f"signals was {list(names)}; each may stand once")
    classes: dict[str, type[SignalLike]] = {}
    for name in names:
        try:
            classes[name] = get_signal(name)
        except ConfigError as error:
            if config.signals != ("all",) or name in config.sweep.per_signal or say is None:
                raise
            say(f"left out of all signals: {error}")  # one that somebody installed must not stand in the way of the others
    for name in (name for name in config.sweep.per_signal if name not in classes):
        get_signal(name)
        raise ConfigError(f"sweep.per_signal has {name}, which is not in signals ({', '.join(names)}). Add or remove it")
    plans = []
    for name, signal_class in classes.items():
        axes = {**config.sweep.universal, **config.sweep.per_signal.get(name, {})}
        cooldowns = _cooldowns(axes.pop(_COOLDOWN, (DEFAULT_COOLDOWN_BINS,)))
        plans.append(SignalPlan(name, signal_class, tuple(expand(axes)), cooldowns, class_version(signal_class)))
    return tuple(plans)


def build_points(
    config: SweepConfig, datasets: Sequence[tuple[Dataset, str]], signals: Sequence[SignalPlan] | None = None
) -> list[Point]:
    """Every point of the sweep, in a fixed order, each once.

    Parameters
    ----------
    datasets : sequence of (Dataset, grid variant id)
    signals : sequence of SignalPlan, optional
        As `plan_signals` gives them for this configuration, where the caller has them already.

    Raises
    ------
    ConfigError
        A signal, a parameter or a value is not allowed, or a rule does not fit a dataset.
    DatasetError
        A signal reads a column that a dataset is too old to hold.
    """
    points: dict[str, Point] = {}
    for signal in plan_signals(config) if signals is None else signals:
        for dataset, variant in datasets:
            dataset.require(signal.signal_class.required_columns, signal.signal_class.required_fields)
            rules = make_rules(config.eval, dataset, signal.signal_class.trigger, signal.cooldowns)
            made: dict[str, tuple[dict[str, Any], SignalLike]] = {}  # once for what is alike, before it is multiplied by rules
            for swept, common in product(signal.combinations, rules):
                key = repr((swept, labels_of(signal.signal_class, common)))
                if key not in made:
                    made[key] = signal.resolve(swept, dataset, common)
                parameters, scorer = made[key]
                rule = _fitted(common, scorer, dataset)
                point = Point(
                    dataset_id=dataset.dataset_id,
                    dataset_checksum=dataset.checksum,
                    grid_variant_id=variant,
                    signal=signal.name,
                    parameters=parameters,
                    swept={key: value for key, value in swept.items() if key in parameters},
                    rules=rule,
                    thresholds=usable_thresholds(scorer, scorer.default_thresholds, rule),
                    code_version=signal.code_version,
                )
                points.setdefault(point.run_id, point)
    return _drawn(list(points.values()), config)


def open_datasets(config: SweepConfig, lake: Lake) -> list[Dataset]:
    """The datasets the configuration names.

    Raises
    ------
    DatasetError
        One is missing or damaged.
    """
    if len(set(config.datasets)) != len(config.datasets):
        raise ConfigError(f"datasets was {list(config.datasets)}; each may stand once")
    return [Dataset.open(lake, dataset_id) for dataset_id in config.datasets]


def _cooldowns(values: Sequence[Any]) -> tuple[int, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(f"sweep: {_COOLDOWN} was {value!r}; it must be a whole number of bins, 0 or more")
    return tuple(values)


def _fitted(rules: Rules, scorer: SignalLike, dataset: Dataset) -> Rules:
    """Rules as one signal needs them: nothing is scored that its thresholds saw, and the embargo spans its memory.

    No trade lasts longer than what is scored; what the limit names beyond that would change no figure.
    """
    start = max(rules.warmup_bins, scorer.scored_from)
    if start >= dataset.n_bins:
        raise ConfigError(
            f"signal {scorer.name} finds its thresholds on the first {start} bins; dataset {dataset.dataset_id} has only "
            f"{dataset.n_bins} bins. Set a smaller calibration_bins"
        )
    max_hold = min(rules.max_hold_bins, dataset.n_bins - start)
    embargo = scorer.memory_bins if rules.embargo_bins < 0 else rules.embargo_bins
    return replace(rules, warmup_bins=start, max_hold_bins=max_hold, embargo_bins=embargo)


def _fee(rules: EvalConfig, dataset: Dataset) -> float:
    fee = rules.value("fee_per_contract")
    root = str(dataset.manifest["config"].get("symbol_root", ""))
    if fee is None and root not in KNOWN_FEES:
        raise ConfigError(
            f"eval.fee_per_contract is not given, and the usual fee of {root or 'this contract'} is not known here (known: "
            f"{', '.join(KNOWN_FEES)}). Give it in dollars per contract and side"
        )
    return float(KNOWN_FEES[root] if fee is None else fee)


def _max_hold(rules: EvalConfig, dataset: Dataset) -> int:
    """The longest trade, bins: what is given, else the usual one, or all of a session that is shorter."""
    left = dataset.n_bins - rules.warmup_bins
    if rules.max_hold_bins is None:
        return min(DEFAULT_MAX_HOLD_BINS, left)
    if rules.max_hold_bins > left:
        raise ConfigError(
            f"eval.max_hold_bins was {rules.max_hold_bins}; dataset {dataset.dataset_id} has {dataset.n_bins} bins, of which "
            f"{left} come after eval.warmup_bins, so that no trade could last so long. Set at most {left}"
        )
    return rules.max_hold_bins


def _require_room_for_stops(rules: EvalConfig) -> None:
    tightest = min(rules.sl_ticks)
    if rules.value("fill") == "touch" and tightest <= NARROWEST_SPREAD_TICKS:
        raise ConfigError(
            f"eval.sl_ticks was {tightest:g}; at the touch the spread alone costs {NARROWEST_SPREAD_TICKS} tick or more, so that "
            f"such a stop would be hit as the trade is entered. Set more than {NARROWEST_SPREAD_TICKS}, or eval.fill to mid"
        )


def make_rules(rules: EvalConfig, dataset: Dataset, trigger: Trigger, cooldowns: Sequence[int]) -> list[Rules]:
    """The rules of every barrier and cooldown on a dataset; an embargo of -1 stands for as far as the signal remembers.

    Parameters
    ----------
    trigger
        Where the configuration gives none.

    Raises
    ------
    ConfigError
        A rule does not fit the dataset.
    """
    instrument = dataset.manifest["config"]
    own_tick = float(instrument["tick_size"])
    given = rules.tick_size
    if given is not None and given != own_tick:
        raise ConfigError(
            f"eval.tick_size was {given}; dataset {dataset.dataset_id} was made with {own_tick}. Leave it out or set it so"
        )
    if rules.warmup_bins >= dataset.n_bins:
        raise ConfigError(
            f"eval.warmup_bins was {rules.warmup_bins}; dataset {dataset.dataset_id} has only {dataset.n_bins} bins"
        )
    _require_room_for_stops(rules)
    max_hold = _max_hold(rules, dataset)
    embargo = rules.value("embargo_bins")
    feed_delay, order_delay = rules.value("feed_delay_bins"), rules.value("order_delay_bins")
    to_close = rules.value("min_bins_to_close")
    return [
        Rules(
            tp,
            sl,
            max_hold,
            rules.warmup_bins,
            cooldown,
            own_tick,
            fill=rules.value("fill"),
            trigger=rules.value("trigger") or trigger,
            position=rules.value("position"),
            rearm=rules.value("rearm"),
            feed_delay_bins=feed_delay,
            order_delay_bins=order_delay,
            # As late as the order that leaves again can still be filled in the last bin before the close.
            min_bins_to_close=feed_delay + order_delay + 1 if to_close is None else to_close,
            fee_per_contract=_fee(rules, dataset),
            contract_multiplier=float(instrument["contract_multiplier"]),
            sound_only=rules.value("quality") == "sound",
            n_folds=rules.n_folds,
            embargo_bins=-1 if embargo is None else embargo,  # -1: as far as the signal remembers
            cell_width_ms=int(instrument["cell_width_ms"]),
        )
        for tp, sl, cooldown in product(rules.tp_ticks, rules.sl_ticks, cooldowns)
    ]


def _drawn(points: list[Point], config: SweepConfig) -> list[Point]:
    search = config.search
    if search.kind == "grid":
        if search.n_trials is not None:
            raise ConfigError("search.n_trials is for kind random; a grid runs every point. Use --limit N to run the first N")
        return points
    if search.n_trials is None:
        raise ConfigError("search.kind random needs search.n_trials, the number of points to draw")
    if search.n_trials >= len(points):
        return points
    chosen = random.Random(search.seed).sample(range(len(points)), search.n_trials)
    return [points[i] for i in sorted(chosen)]
