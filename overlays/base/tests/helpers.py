"""What the tests of all overlays share. scripts/test-python says where their modules lie."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

OVERLAYS = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# An ordinary user's PATH leaves out where Debian puts servers.
os.environ["PATH"] += ":/usr/sbin:/sbin"


def files(overlay: str) -> str:
    """The directory of an overlay's files."""
    return os.path.join(OVERLAYS, overlay, "files")


def needed(program: str) -> str:
    """A missing program fails a test: one that is left out proves nothing."""
    found = shutil.which(program)
    if not found:
        raise AssertionError(f"{program} is not installed: scripts/setup installs it")
    return found


def searched(pattern: str, text: str) -> re.Match[str]:
    """Where the text matches. That it does not fails a test."""
    found = re.search(pattern, text)
    if found is None:
        raise AssertionError(f"{pattern!r} is nowhere in {text!r}")
    return found


@contextlib.contextmanager
def programs(**texts: str) -> Iterator[str]:
    """Fake programs, as shell scripts, found before the real ones."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in texts.items():
            path = os.path.join(directory, name.replace("_", "-"))
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n# A fake {name} for a test.\n{text}\n")
            os.chmod(path, 0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{directory}:{before}"
        try:
            yield directory
        finally:
            os.environ["PATH"] = before
