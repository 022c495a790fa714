"""``python -m serve``."""

import sys

if __name__ == "__main__":
    try:
        from serve.cli import main  # here, since Ctrl-C may also come while the imports run

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
