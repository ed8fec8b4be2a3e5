"""The console script `flujo`: an interrupt is told in one line from the first import on."""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command that the process's arguments name, and exit with its code."""
    try:
        from flujo_cli.app import run_command_line  # noqa: PLC0415 - an interrupt of the start is heard, too
        from flujo_cli.streams import guard_streams  # noqa: PLC0415 - as above

        guard_streams()
        code = run_command_line(sys.argv[1:])
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)
