"""`schema`: what a sweep, campaign or instrument file may hold, as JSON Schema made from the very models that read it."""

import argparse
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from engine.campaign.plan import PROJECTION_KEYS
from engine.config import InstrumentConfig
from engine.door import DISTRIBUTION, version
from engine.files import write_atomic

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# By name, since the engine knows nothing of tune.
MODELS: Final[Mapping[str, str]] = {
    "sweep": "tune.config:SweepConfig",
    "campaign": "engine.campaign.plan:Campaign",
    "instrument": "engine.config:InstrumentConfig",
}


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    text = json.dumps(file_schema(args.file), indent=2) + "\n"
    if args.out is not None:
        write_atomic(args.out, text.encode())
    if args.header:
        print(header_line(args.file, args.out))
    elif args.out is None:
        print(text, end="")
    else:
        print(f"{args.out}: what {'an' if args.file == 'instrument' else 'a'} {args.file} file may hold")
    return 0


def header_line(kind: str, path: Path | None) -> str:
    """The first line of a YAML file by which yaml-language-server finds the schema.

    Parameters
    ----------
    kind : str
        A name of `MODELS`.
    path : Path, optional
        Where the schema lies; default ``<kind>.schema.json`` beside the YAML file.
    """
    return f"# yaml-language-server: $schema={f'{kind}.schema.json' if path is None else path.resolve().as_uri()}"


def file_schema(kind: str) -> dict[str, Any]:
    """JSON Schema, Draft 2020-12, of a file; ``kind`` is a name of `MODELS`.

    It holds keys, types, choices and bounds, those of the instrument's fields too where a file sets them. What it cannot say is
    left to the command that reads the file: rules between fields, which datasets there are, which parameters a signal has. It is
    narrower where our reading is generous: a number in quotes is a text to it. Times and days are texts, as in YAML 1.2.
    """
    module, _, name = MODELS[kind].partition(":")
    model: type[BaseModel] = getattr(import_module(module), name)
    schema = model.model_json_schema()
    if kind == "sweep":
        schema["properties"]["grid_variant"] |= _only({name: _axis(field) for name, field in _instrument_fields().items()})
    if kind == "campaign":
        fields = _instrument_fields() | {
            name: {"description": "of the model system; taken, and not read"} for name in PROJECTION_KEYS
        }
        schema["properties"]["sweep_axes"] |= _only({name: _values(field) for name, field in fields.items()})
        schema["properties"]["bundles"]["items"] |= _only(fields)
    return {
        "$schema": DIALECT,
        "$id": f"urn:{DISTRIBUTION}:{kind}:{version()}",
        "$comment": f"Made by spymaster {version()}: spymaster schema {kind}",
        **schema,
        "title": f"Spymaster {kind} file",
    }


def _instrument_fields() -> dict[str, Any]:
    fields: dict[str, Any] = InstrumentConfig.model_json_schema()["properties"]
    return fields


def _only(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"properties": dict(fields), "additionalProperties": False}


def _values(field: Mapping[str, Any]) -> dict[str, Any]:
    """Some values of a field."""
    return {"type": "array", "items": dict(field), "minItems": 1}


def _axis(field: Mapping[str, Any]) -> dict[str, Any]:
    """A value of a field or some; a list is always some, so that a field which is a list itself stands in a list."""
    return _values(field) if field.get("type") == "array" else {"anyOf": [dict(field), _values(field)]}
