"""What all modules of checks share: how a check says what is wrong, and how a boot test runs one by its name.

A check prints what it saw and ends with 0, or says what was wrong and ends with 1.
"""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

Commands = Mapping[str, Callable[[], object]]


class Wrong(Exception):
    """What was seen instead."""


def expect(true: object, what: str) -> None:
    if not true:
        raise Wrong(what)


def by_name(*functions: Callable[[], object]) -> Commands:
    """Each function under its name, as it is written on a command line."""
    return {function.__name__.replace("_", "-"): function for function in functions}


def main(commands: Commands) -> None:
    """Runs the check that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} {' | '.join(commands)}")
    name = sys.argv[1]
    # When its time is up, it puts away what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name}: ended from outside"))
    try:
        commands[name]()
    except (Wrong, OSError, http.client.HTTPException, subprocess.SubprocessError, ValueError) as error:
        sys.exit(f"{name}: {str(error) or repr(error)}")
