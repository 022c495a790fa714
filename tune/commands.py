"""What each command does with its arguments: opens the lake, makes one call, prints."""

import argparse
import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from engine.config import parse_overrides, validate
from engine.dataset.read import Dataset, list_datasets
from engine.errors import ConfigError, no_room
from engine.lake import Lake, config_file
from engine.ray_environment import default_address, require_ray
from engine.signals.bundle import read_bundle
from engine.signals.registry import BUILT_IN_WHERE, get_signal, origin, signal_names, signals_of
from engine.tables import console
from tune import promote as promotion
from tune.board_commands import print_foot
from tune.code_version import code_version
from tune.config import read_sweep_config
from tune.errors import RunFailedError
from tune.gate import REFUSED, GateError
from tune.judging import JudgeConfig
from tune.judging import judge as judge_series
from tune.leaderboard import parameter_parts, records, render, unfolded
from tune.online import simulate_online
from tune.run import SweepOutcome, new_state, read_state, run_sweep, state_path
from tune.screen import Screen
from tune.tables import Column, Fitted
from tune.trial import load_market

SMOKE_CONFIG: Final = "smoke_perm_derivative"
TOP: Final = 20


def _knowing(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command with the signals of its ``--signals`` files known while it runs."""

    @wraps(command)
    def run(args: argparse.Namespace) -> int:
        with signals_of([read_bundle(path) for path in args.signals]):
            return command(args)

    return run


def sweep(args: argparse.Namespace) -> int:
    """Run or resume a sweep."""
    lake = Lake.open(args.lake)
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit was {args.limit}; it must be at least 1")
    if args.resume is not None:
        if args.config is not None or args.limit is not None or args.signals:
            raise ConfigError("--resume goes on with the sweep as it was begun; leave CONFIG, --limit and --signals out")
        state = read_state(lake, args.resume)
    else:
        path = config_file(lake, args.config or SMOKE_CONFIG, "sweep")
        state = new_state(read_sweep_config(path), args.limit, args.signals)
    address = args.address or default_address()
    if args.resume is None:  # before a session is simulated or datasets are made, which takes minutes
        require_ray(address)
    try:
        with Screen() as screen:
            outcome = run_sweep(state, lake, address, screen)
    except KeyboardInterrupt:
        print(f"stopped; what was computed is kept. Go on with: python -m tune sweep --resume {state.sweep_id}", file=sys.stderr)
        raise
    except OSError as error:
        if state_path(lake, state.sweep_id).is_file() and (
            told := no_room(error, f"go on with: python -m tune sweep --resume {state.sweep_id}")
        ):
            raise RunFailedError(told) from error
        raise
    _show_outcome(outcome, args.json, args.sessions)
    return 1 if outcome.failures else 0


def _show_outcome(outcome: SweepOutcome, as_json: bool, with_sessions: bool) -> None:
    if as_json:
        _print_json(
            {
                "sweep_id": outcome.sweep_id,
                "n_points": outcome.n_points,
                "n_reused": outcome.n_reused,
                "failures": [{"run_id": f.run_id, "signal": f.signal, "reason": f.reason} for f in outcome.failures],
                "leaderboard": records(outcome.ranking),
            }
        )
        return
    out = console()
    if len(outcome.ranking):
        out.print(render(outcome.ranking, f"{outcome.sweep_id}: best runs", TOP), "")
        if with_sessions:
            out.print(unfolded(outcome.ranking, TOP), "")
        print_foot(outcome.ranking.head(TOP), outcome.beside)
    else:
        out.print("no run took enough trades to be ranked; lower eval.min_signals or widen the grid")
    ranked, failed = len(outcome.ranking), len(outcome.failures)
    out.print(
        f"sweep {outcome.sweep_id}: {outcome.n_points} points, {outcome.n_reused} known before, {failed} failed, {ranked} ranked",
        highlight=False,
    )
    if ranked:
        command = f"python -m tune promote --best --sweep {outcome.sweep_id}"
        out.print(f"promote the best with: {command}", highlight=False, soft_wrap=True)  # to be copied whole


@_knowing
def list_signals(args: argparse.Namespace) -> int:
    """Every signal with its parameters; one that does not load with the reason."""
    found = [_told_of(name) for name in signal_names()]
    if args.json:
        _print_json(found)
        return 0
    out = console()
    for signal in found:
        if signal["broken"]:
            out.print(f"{signal['name']}: broken; {signal['broken']}", "", highlight=False, soft_wrap=True)
            continue
        thresholds = " ".join(f"{t:g}" for t in signal["thresholds"])
        reads = ", ".join((*signal["required_columns"], *signal["required_fields"]))
        place = "" if signal["origin"] == BUILT_IN_WHERE else f"; {signal['origin']}"
        title = f"{signal['name']}: reads {reads}; thresholds {thresholds}{place}"
        out.print(_signal_table(title, signal["parameters"]), "")
    return 0


def _told_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "origin": "", "broken": "", "required_columns": [], "required_fields": []}
    found |= {"thresholds": [], "code_version": "", "parameters": []}
    try:
        found["origin"] = origin(name).where
        one = get_signal(name)
        return found | {
            "required_columns": list(one.required_columns),
            "required_fields": list(one.required_fields),
            "thresholds": list(one.default_thresholds),
            "code_version": code_version(name),
            "parameters": [
                {"name": key, "default": field.default, "description": field.description or ""}
                for key, field in one.Params.model_fields.items()
            ],
        }
    except ConfigError as error:
        return found | {"broken": str(error)}


def _signal_table(title: str, parameters: list[dict[str, Any]]) -> Fitted:
    columns = [
        Column("parameter", [one["name"] for one in parameters], kept=True),
        Column("default", [str(one["default"]) for one in parameters], kept=True, stacks=True),
        Column("meaning", [one["description"].split(" ") for one in parameters], kept=True, stacks=True),
    ]
    return Fitted(title, columns)


def list_lake_datasets(args: argparse.Namespace) -> int:
    """The same listing as the engine's."""
    from engine.commands.datasets import dataset_row, print_datasets

    rows = [dataset_row(summary) for summary in list_datasets(Lake.open(args.lake))]
    if args.json:
        _print_json(rows)
    else:
        print_datasets(rows)
    return 0


def judge(args: argparse.Namespace) -> int:
    """A score series from outside before the judge."""
    rules = parse_overrides(args.set)
    if args.threshold:
        rules["thresholds"] = args.threshold
    values = validate(JudgeConfig, rules, "the rules of judge").model_dump(exclude_unset=True)
    result = judge_series(args.scores, args.dataset_id, name=args.name, column=args.column, lake=Lake.open(args.lake), **values)
    if args.json:
        _print_json(result.as_dict())
        return 0
    for line in result.lines:
        print(line)
    return 0


@_knowing
def online_sim(args: argparse.Namespace) -> int:
    """One signal as a stream would drive it."""
    parameters = parse_overrides(args.set)
    get_signal(args.signal)
    if not args.bin_budget_ms > 0:
        raise ConfigError(f"--bin-budget-ms was {args.bin_budget_ms:g}; it must be more than 0")
    dataset = Dataset.open(Lake.open(args.lake), args.dataset_id)
    report = simulate_online(args.signal, parameters, load_market(dataset, [get_signal(args.signal)]), args.bin_budget_ms)
    if args.json:
        _print_json({"dataset_id": dataset.dataset_id, **report.as_dict()})
        return 0
    lines = {
        **{
            f"call {name.replace('_', '.')}": f"{value:.1f} us, {report.cpu_us[name]:.1f} us of it at work"
            for name, value in report.latency_us.items()
        },
        "over budget": f"{100 * report.over_budget:.3f} % of the bins take more than {report.bin_budget_ms:g} ms",
        "p99 of the budget": f"{report.p99_budget_pct:.3f} %",
        "fits": f"{report.n_fits}, {report.n_late_fits} late; longest wait {report.longest_fit_wait_ms:.1f} ms",
        "peak memory": f"{report.peak_rss_mb:.0f} MB, {report.rss_delta_mb:.1f} MB of it since the start",
        "state": f"{report.state_bytes} bytes",
        "as a batch": f"{report.batch_us_per_bin:.2f} us a bin",
    }
    columns = [
        Column("", list(lines), kept=True),
        Column("value", [text.split(" ") for text in lines.values()], kept=True, stacks=True),
    ]
    out = console()
    out.print(Fitted(f"{args.signal} on {dataset.dataset_id}: {report.n_bins} bins, one call each", columns))
    out.print("the outputs are those of the batch, bit for bit")
    return 0


@_knowing
def promote(args: argparse.Namespace) -> int:
    """Promote, roll back, take out of service, or show."""
    lake = Lake.open(args.lake)
    chosen = [bool(args.run_id), args.best, args.rollback, args.none, args.show]
    if sum(chosen) != 1:
        raise ConfigError("give exactly one of RUN_ID, --best --sweep SWEEP, --rollback, --none, --show")
    if bool(args.sweep) != args.best:
        raise ConfigError("--best and --sweep SWEEP belong together")
    if args.threshold is not None and not args.run_id:
        raise ConfigError("--threshold goes with RUN_ID only")
    because = _reason(args)
    if args.show:
        shown = promotion.show(lake)
        if args.json:
            _print_json(shown)
        else:
            console().print(history_table(shown))
            for line in record_lines(shown):
                console().print(line, highlight=False, soft_wrap=True)
        return 0
    if args.rollback:
        report = promotion.roll_back_champion(lake)
    elif args.none:
        report = promotion.promote_none(lake)
    else:
        choose = promotion.best_passing if because is None else promotion.best_run
        try:
            run_id, threshold = choose(lake, args.sweep) if args.best else (args.run_id, args.threshold)
            report = promotion.promote_run(lake, run_id, threshold, because)
        except GateError as error:
            print(f"python -m tune: {error}", file=sys.stderr)
            return REFUSED
    if args.json:
        _print_json(report)
    else:
        print(report["line"])
    return 0


def _reason(args: argparse.Namespace) -> str | None:
    """Why the gate is to be overruled; None where it is not."""
    if args.because is None and not args.force:
        return None
    if not args.force or args.because is None or not args.because.strip():
        raise ConfigError('--force and --because "WHY" belong together, and the reason must say something')
    if not (args.run_id or args.best):
        raise ConfigError("--force --because goes with RUN_ID, or with --best --sweep SWEEP")
    return " ".join(args.because.split())


def history_table(shown: dict[str, Any]) -> Fitted:
    """Every champion, a row each, the one in service marked; ``shown`` as `promotion.show` gives it."""
    history = shown["history"]
    figures = [one["metrics"] for one in history]
    columns = [
        Column("", ["*" if one["version"] == shown["version"] else "" for one in history], kept=True),
        Column("version", [str(one["version"]) for one in history], right=True, kept=True),
        Column("run", [one["run_id"] for one in history], kept=True),
        Column("signal", [one["signal"] for one in history], kept=True),
        Column("threshold", [[f"{t:g}" for t in one["thresholds"]] for one in history], kept=True),
        Column("dataset", [one["dataset_id"] for one in history], kept=True, stacks=True),
        Column("parameters", [parameter_parts(one["swept"]) for one in history], kept=True, stacks=True),
        Column(
            "standing",
            [one["standing"].replace("_", " ") + ", stale" * bool(one["stale"]) for one in history],
            kept=True,
            stacks=True,
        ),
        Column("n", [str(row.get("n_signals")) for row in figures], right=True),
        Column("TP rate", [_figure(row.get("tp_rate"), ".3f") for row in figures], right=True),
        Column("PnL", [_figure(row.get("mean_pnl_ticks"), "+.3f") for row in figures], right=True),
        Column("promoted", [one["created_at"] for one in history]),
    ]
    title = f"in service: {shown['version'] or 'no champion'}; MLflow alias: {shown['mlflow'] or 'none'}"
    return Fitted(title, columns, telling=("promoted", "PnL", "TP rate", "n"))


def record_lines(shown: dict[str, Any]) -> list[str]:
    """What each version promised, and what came of it live, a line each."""
    return [
        f"champion {one['version']}: promised net at least {one['promise']['at_least_ticks']:+.2f} ticks a trade; "
        f"{one['record']['line']}"
        for one in shown["history"]
        if one["record"] is not None
    ]


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _print_json(values: Any) -> None:
    print(json.dumps(values, indent=1, allow_nan=False))
