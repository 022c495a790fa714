"""The door: `make mutants FILES=… SEED=… MINUTES=…`, or `python -m tests.mutants --help`."""

import sys
from pathlib import Path

from tests.mutants.campaign import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parents[2]))
