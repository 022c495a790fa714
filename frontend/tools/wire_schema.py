"""Write the page's copy of the wire schema from ``engine.schema``; with ``--check``, only compare.

python frontend/tools/wire_schema.py [--check]
"""

import argparse
import json
import sys
from pathlib import Path

from engine.schema import BIN_DTYPE, BIN_FIELD_NAMES, GRID_COLUMNS, MODEL_FIELD_NAMES
from serve.frames import SCHEMA_VERSION, STREAM_FORMAT, is_text_integer

TARGET = Path(__file__).resolve().parent.parent / "src" / "wire" / "schema.json"


def wire_schema() -> str:
    """Every column of a frame and every field of a bin, as the page reads them.

    Values are numpy type codes, or ``text`` for a 64-bit integer that travels as a decimal string.
    """

    def codes(names: tuple[str, ...]) -> dict[str, str]:
        return {name: BIN_DTYPE[name].str.lstrip("<|") for name in names}

    schema = {
        "stream_format": STREAM_FORMAT,
        "schema_version": SCHEMA_VERSION,
        "grid": GRID_COLUMNS,
        "bin": {name: "text" if is_text_integer(name) else code for name, code in codes(BIN_FIELD_NAMES).items()},
        "model": codes(MODEL_FIELD_NAMES),
    }
    return json.dumps(schema, indent=2) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the page's copy of the wire schema.")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when they differ")
    args = parser.parse_args()
    schema = wire_schema()
    if not args.check:
        TARGET.write_text(schema)
        return 0
    if TARGET.read_text() == schema:
        return 0
    print(f"{TARGET.name} is not what engine.schema says; run: python frontend/tools/wire_schema.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
