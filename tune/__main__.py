"""``python -m tune``."""

import sys

from tune.cli import main

sys.exit(main(sys.argv[1:]))
