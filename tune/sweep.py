"""``python tune/sweep.py [CONFIG.yaml]``: the script form of ``python -m tune sweep``."""

import sys

try:
    from tune.cli import main
except ImportError as error:
    sys.exit(f"{error}; install the project first: make setup, then .venv/bin/python tune/sweep.py")
if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
