"""The package `clic` as overlays make it up: what is started by name is there, and nobody's part hides another's."""

import glob
import os
import re
import unittest

from helpers import OVERLAYS

PACKAGES = "files/usr/lib/python3/dist-packages"


def parts(path: str) -> list[str]:
    """Files of any overlay that lie at this path of the package directory."""
    return glob.glob(os.path.join(OVERLAYS, "*", PACKAGES, path))


def started() -> dict[str, set[str]]:
    """Our modules that overlays start, each with the files that say so."""
    found: dict[str, set[str]] = {}
    for directory, below, names in os.walk(OVERLAYS):
        below[:] = [name for name in below if name not in ("tests", "__pycache__")]
        for path in (os.path.join(directory, name) for name in names):
            with open(path, encoding="utf-8", errors="replace") as file:
                for module in re.findall(r'-IB?"?,? "?-m"?,? "?(clic[\w.]*)|"(clic\.checks\.\w+)"', file.read()):
                    found.setdefault(module[0] or module[1], set()).add(os.path.relpath(path, OVERLAYS))
    return found


class Package(unittest.TestCase):
    def test_what_is_started_is_there(self) -> None:
        modules = started()
        # One of each way to say it.
        for expected in ("clic.first_boot", "clic.first_boot.yunohost", "clic.hotspot.captive", "clic.checks.guest"):
            self.assertIn(expected, modules)
        for module, where in modules.items():
            path = module.replace(".", "/")
            there = parts(f"{path}.py") + parts(f"{path}/__main__.py")
            self.assertEqual(len(there), 1, f"{module}, started by {sorted(where)}, is {there}")
            with open(there[0], encoding="utf-8") as file:
                self.assertIn('if __name__ == "__main__":', file.read(), there[0])

    def test_overlays_share_the_package(self) -> None:
        # With such a file, Python looks for all of the package beside it (PEP 420).
        for path in ("clic/__init__.py", "clic/checks/__init__.py"):
            self.assertEqual(parts(path), [])


if __name__ == "__main__":
    unittest.main()
