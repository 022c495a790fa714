"""What a signal's class must say of itself, checked before any bin is scored: each fault in words, none as an AttributeError."""

import difflib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ValidationError

from engine.errors import ConfigError
from engine.schema import BIN_FIELD_NAMES, GRID_COLUMNS, MODEL_PREFIX
from engine.signals.base import COMMON_FIELDS

TRIGGERS: Final = ("edge", "level")
MODES: Final = ("score", "confidence", "probability")
METHODS: Final = ("update", "run", "snapshot", "restore", "warmup", "metadata", "thresholds")
READINGS: Final = ("memory_bins", "lookahead", "scored_from")
RESERVED: Final = ("all",)  # of `signals: [all]`
SWEPT_BY_RULES: Final = "cooldown_bins"
MAX_NAME: Final = 64


def faults(cls: Any) -> list[str]:
    """What is wrong with a class, a line each; empty where its declaration is whole."""
    if not inspect.isclass(cls):
        return [f"{cls!r} is no class"]
    found: list[str] = []
    for look in _LOOKS:
        found += look(cls)
    return found


def require_declared(cls: Any, where: str) -> None:
    """Refuse a class whose declaration is not whole.

    Raises
    ------
    ConfigError
        Its first fault, and how to see all.
    """
    found = faults(cls)
    if found:
        more = f" (and {len(found) - 1} more; see: python -m engine check-signal)" if len(found) > 1 else ""
        raise ConfigError(f"{where}, class {cls.__name__}: {found[0]}{more}")


def parameters_to_test(cls: Any) -> list[dict[str, Any]]:
    """The parameters a class wants to be checked with; ``[{}]``, its defaults, where it does not say.

    Raises
    ------
    ConfigError
        What it says is no list of mappings.
    """
    given: Any = getattr(cls, "test_params", ({},))
    given = given() if callable(given) else given
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise ConfigError(f"test_params was {given!r}; it must be a list of mappings, like [{{}}]")
    found = list(given)
    if not found or not all(isinstance(one, Mapping) for one in found):
        raise ConfigError(f"test_params was {found!r}; it must be a list of mappings, like [{{}}]")
    return [dict(one) for one in found]


def _name(cls: Any) -> list[str]:
    name = getattr(cls, "name", None)
    if name is None:
        return ['name is missing; give the class name = "my_signal"']
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or len(name) > MAX_NAME:
        return [f"name was {name!r}; it must be letters, digits and _, like my_signal, at most {MAX_NAME} of them"]
    return [f"name was {name!r}, which means every signal; choose another"] if name in RESERVED else []


def _abstract(cls: Any) -> list[str]:
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return [f"{', '.join(missing)} must be defined; engine/examples/my_signal.py shows each"]
    lacking = [name for name in (*METHODS, *READINGS) if not hasattr(cls, name)]
    return (
        [f"{', '.join(lacking)} must be defined; derive from engine.signals.owner.Signal to have most of them"] if lacking else []
    )


def _reads(cls: Any) -> list[str]:
    found = []
    for attribute, schema in (("required_columns", tuple(GRID_COLUMNS)), ("required_fields", BIN_FIELD_NAMES)):
        names = getattr(cls, attribute, ())
        if isinstance(names, str) or not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
            found.append(f'{attribute} was {names!r}; it must be a tuple of names, like ("v_add",)')
            continue
        if len(set(names)) != len(names):
            found.append(f"{attribute} was {tuple(names)}; each may stand once")
        found += [text for name in names if (text := _unknown(attribute, name, schema))]
    if not getattr(cls, "required_columns", ()) and not getattr(cls, "required_fields", ()):
        found.append("required_columns and required_fields are empty; a signal must read something")
    return found


def _unknown(attribute: str, name: str, schema: tuple[str, ...]) -> str:
    if attribute == "required_fields" and name.startswith(MODEL_PREFIX):
        return f"required_fields has {name!r}, which is what signals write; read what they read instead"
    if attribute == "required_fields" and name in GRID_COLUMNS:
        return f"required_fields has {name!r}, which is a column of the grid too; put it in required_columns"
    if name in schema:
        return ""
    other = "required_columns" if attribute == "required_fields" else "required_fields"
    if name in (GRID_COLUMNS if other == "required_columns" else BIN_FIELD_NAMES):
        return f"{attribute} has {name!r}; put it in {other}"
    near = difflib.get_close_matches(name, schema, 3)
    say = f"did you mean {', '.join(near)}?" if near else f"known are: {', '.join(schema)}"
    return f"{attribute} has {name!r}, which is not in the schema; {say}"


def _thresholds(cls: Any) -> list[str]:
    levels = getattr(cls, "default_thresholds", None)
    if levels is None:
        return ["default_thresholds is missing; give score levels to trade at, like (0.1, 0.2, 0.4)"]
    is_numbers = isinstance(levels, tuple | list) and all(
        isinstance(t, int | float | np.integer | np.floating) and not isinstance(t, bool) and math.isfinite(t) for t in levels
    )
    if not is_numbers or not levels or list(levels) != sorted(set(levels)):
        return [f"default_thresholds was {levels!r}; it must be finite numbers, ascending, each once, like (0.1, 0.2, 0.4)"]
    return []


def _choices(cls: Any) -> list[str]:
    found = []
    for attribute, allowed in (("trigger", TRIGGERS), ("prediction_mode", MODES), ("is_odd", (True, False))):
        value = getattr(cls, attribute, None)
        if not isinstance(value, bool | str) or value not in allowed:
            found.append(f"{attribute} was {value!r}; it must be one of: {', '.join(map(repr, allowed))}")
    return found


def _output(cls: Any) -> list[str]:
    dtype = getattr(cls, "output_dtype", None)
    begins = np.dtype(COMMON_FIELDS)
    if not isinstance(dtype, np.dtype) or dtype.names is None:
        return [f"output_dtype was {dtype!r}; it must be np.dtype([*COMMON_FIELDS, ...]), COMMON_FIELDS of engine.signals.base"]
    first = [(name, dtype[name]) for name in dtype.names[: len(begins.names or ())]]
    if first != [(name, begins[name]) for name in begins.names or ()]:
        return [f"output_dtype begins with {', '.join(dtype.names[:3])}; it must begin with COMMON_FIELDS of engine.signals.base"]
    if "prediction" in dtype.names and dtype["prediction"] != np.dtype("f8"):
        return [f"output_dtype has prediction as {dtype['prediction']}; it must be f8"]
    return []


def _params(cls: Any) -> list[str]:
    model = getattr(cls, "Params", None)
    if model is None:
        return ["Params is missing; give a class that derives from engine.signals.owner.SignalParams"]
    if not inspect.isclass(model) or not issubclass(model, BaseModel):
        return [f"Params was {model!r}; it must derive from engine.signals.owner.SignalParams"]
    found = []
    if not model.model_config.get("frozen"):
        found.append("Params must be frozen; derive it from engine.signals.owner.SignalParams")
    if model.model_config.get("extra") != "forbid":
        found.append("Params must refuse unknown keys (extra='forbid'); derive it from engine.signals.owner.SignalParams")
    needed = [name for name, one in model.model_fields.items() if one.is_required()]
    if needed:
        found.append(f"Params: {', '.join(needed)} must have a default")
    if SWEPT_BY_RULES in model.model_fields:
        found.append(f"Params has {SWEPT_BY_RULES}, which is a rule of every sweep; choose another name")
    if needed:
        return found
    try:
        plain = model().model_dump(mode="json")
        if model.model_validate(json.loads(json.dumps(plain))).model_dump(mode="json") != plain:
            found.append("Params do not come back from JSON as they were; use numbers, texts, truth values and lists of them")
    except (ValidationError, TypeError, ValueError) as error:
        found.append(f"Params do not take their own defaults: {' '.join(str(error).split())[:200]}")
    return found


def _test_params(cls: Any) -> list[str]:
    try:
        wanted = parameters_to_test(cls)
    except ConfigError as error:
        return [str(error)]
    model = getattr(cls, "Params", None)
    if not inspect.isclass(model) or not issubclass(model, BaseModel):
        return []
    found = []
    for one in wanted:
        try:
            model.model_validate(one)
        except ValidationError as error:
            fault = error.errors()[0]
            found.append(f"test_params {one!r}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}")
    return found


def _maker(cls: Any) -> list[str]:
    try:
        inspect.signature(cls).bind(None, None)
    except (TypeError, ValueError):
        return ["it must be made as Class(params, context); give __init__ these two and no more"]
    return []


_LOOKS: Final[tuple[Callable[[Any], list[str]], ...]] = (
    _name, _abstract, _reads, _thresholds, _choices, _output, _params, _test_params, _maker,
)  # fmt: skip
