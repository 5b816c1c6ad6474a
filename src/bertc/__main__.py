"""The command ``bertc``, also ``python -m bertc``: Ctrl-C ends it quietly from the first import on."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from bertc.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
