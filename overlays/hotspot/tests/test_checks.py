import importlib
import os
import re
import sys
import tomllib
import unittest
import unittest.mock

from common import FILES, settings

sys.path.insert(0, os.path.join(FILES, "usr/lib/clic/checks"))

with unittest.mock.patch("settings.load", settings):
    PROGRAMS = {name: importlib.import_module(name) for name in ("hotspot", "faults")}


class Commands(unittest.TestCase):
    def test_every_check_asks_for_what_there_is(self):
        with open(os.path.join(FILES, "../overlay.toml"), "rb") as file:
            checks = tomllib.load(file)["check"]
        asked = {name: set() for name in PROGRAMS}
        for check in checks:
            found = re.fullmatch(r"python3 -B /usr/lib/clic/checks/(\w+)\.py (.+)", check.get("command", ""))
            if found:
                # A word, or a choice between two.
                words = re.findall(r"'([^']+)'", found[2]) if "{{" in found[2] else [found[2]]
                asked[found[1]].update(words)
        for name, program in PROGRAMS.items():
            self.assertEqual(asked[name], set(program.COMMANDS), name)


if __name__ == "__main__":
    unittest.main()
