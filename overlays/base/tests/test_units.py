"""Units of all overlays: how much of the system each can reach, as systemd counts it (0 is nothing, 10 is all)."""

import glob
import os
import re
import subprocess
import tempfile
import unittest

from helpers import OVERLAYS, needed, searched

# What faces guests has no more than this (systemd itself calls up to 5 "OK").
MOST = 3.0
# What has to be root.
ALLOWED = {
    "clic-hotspot.service": (3.5, "hostapd: radios and bridges"),
    "clic-hotspot-names.service": (3.3, "dnsmasq opens port 53 before it becomes its own user"),
    "clic-first-boot@.service": (3.6, "steps write anywhere in the system, as anybody"),
    "clic-service-recover.service": (3.9, "runs YunoHost's own programs"),
    "clic-yunohost-upkeep.service": (4.2, "runs YunoHost's own programs"),
}


def units() -> dict[str, str]:
    """Files of services by name."""
    paths = glob.glob(f"{OVERLAYS}/*/files/usr/lib/systemd/system/*.service")
    return {os.path.basename(path): path for path in paths}


def exposure(path: str) -> float:
    with tempfile.TemporaryDirectory() as directory, open(path, encoding="utf-8") as file:
        # A template has an instance here, and a value of the recipe's is nothing to this.
        copy = os.path.join(directory, os.path.basename(path).replace("@.", "@x."))
        with open(copy, "w", encoding="utf-8") as other:
            other.write(re.sub(r"{{.*?}}", "x", file.read()))
        done = subprocess.run(
            [needed("systemd-analyze"), "security", "--offline=true", "--no-pager", copy],
            capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    return float(searched(r"Overall exposure level for .*: ([0-9.]+)", done.stdout + done.stderr)[1])


class Closed(unittest.TestCase):
    def test_no_unit_can_do_more_than_it_needs(self) -> None:
        found = units()
        self.assertIn("clic-captive.service", found)
        self.assertEqual(set(ALLOWED) - set(found), set(), "is no longer a unit")
        for name, path in sorted(found.items()):
            most, why = ALLOWED.get(name, (MOST, "nothing needs more"))
            self.assertLessEqual(exposure(path), most, f"{name}: {why}")

    def test_a_unit_without_limits_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "open.service")
            with open(path, "w", encoding="utf-8") as file:
                file.write("[Service]\nExecStart=/bin/true\n")
            self.assertGreater(exposure(path), 9)


if __name__ == "__main__":
    unittest.main()
