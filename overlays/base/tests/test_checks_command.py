"""The commands that modules of checks share: run by name, and what they say of what is wrong."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import unittest

from helpers import OVERLAYS

PROGRAM = """
import os, signal, time
from clic.checks.command import Wrong, by_name, expect, main

def it_is_so(): print("seen")
def wrong(): expect([], "the list is empty")
def silent(): raise ConnectionResetError
def stuck():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        print("put away")

main(by_name(it_is_so, wrong, silent, stuck))
"""


def asked(overlay: str) -> dict[str, set[str]]:
    """The checks that an overlay asks for by name, of each module."""
    found: dict[str, set[str]] = {}
    with open(os.path.join(OVERLAYS, overlay, "overlay.toml"), "rb") as file:
        checks = tomllib.load(file).get("check", [])
    for check in checks:
        match = re.fullmatch(r"python3 -IB -m clic\.checks\.(\w+) ?(.*)", check.get("command", ""))
        if match:
            # A word, or a choice between two.
            words = re.findall(r"'([^']+)'", match[2]) if "{{" in match[2] else [match[2]]
            found.setdefault(match[1], set()).update(words)
    return found


def offered(overlay: str, module: str) -> set[str]:
    """The checks of a module of an overlay, as it hands them to `by_name`."""
    path = os.path.join(OVERLAYS, overlay, "files/usr/lib/python3/dist-packages/clic/checks", f"{module}.py")
    with open(path, encoding="utf-8") as file:
        calls = [node for node in ast.walk(ast.parse(file.read())) if isinstance(node, ast.Call)]
    of_names = [call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id == "by_name"]
    return {name.id.replace("_", "-") for arguments in of_names for name in arguments if isinstance(name, ast.Name)}


def run(*words: str) -> tuple[int, str, str]:
    """Exit code and what was said on both outputs."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Command(unittest.TestCase):
    def test_a_check_by_its_name(self) -> None:
        self.assertEqual(run("it-is-so"), (0, "seen\n", ""))

    def test_what_is_wrong_is_said(self) -> None:
        self.assertEqual(run("wrong"), (1, "", "wrong: the list is empty\n"))
        self.assertEqual(run("silent"), (1, "", "silent: ConnectionResetError()\n"))

    def test_ended_from_outside_it_puts_away_what_it_made(self) -> None:
        self.assertEqual(run("stuck"), (1, "put away\n", "stuck: ended from outside\n"))

    def test_other_names_are_refused(self) -> None:
        for words in ((), ("it_is_so",), ("it-is-so", "wrong")):
            self.assertEqual(run(*words), (1, "", "usage: -c it-is-so | wrong | silent | stuck\n"))

    def test_overlays_ask_for_all_checks_that_there_are_and_no_others(self) -> None:
        modules = 0
        for overlay in sorted(os.listdir(OVERLAYS)):
            for module, names in asked(overlay).items():
                # `serve` is for the module internet itself.
                self.assertEqual(names, offered(overlay, module) - {"serve"}, f"{overlay}: {module}")
                modules += 1
        self.assertGreaterEqual(modules, 8)


if __name__ == "__main__":
    unittest.main()
