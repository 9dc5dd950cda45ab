import json
import os
import stat
import tempfile
import time
import unittest

from clic import status as box
from clic.hotspot import settings as s
from clic.hotspot import status
from hotspot_settings import settings


class Load(unittest.TestCase):
    def test_file_and_passphrase(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path, secret = os.path.join(directory, "hotspot.toml"), os.path.join(directory, "passphrase")
            values = vars(settings(ssid='L"atelier\\ é')) | {"passphrase": None}
            with open(path, "w", encoding="utf-8") as file:
                for key, value in values.items():
                    if key != "passphrase":
                        # JSON and TOML agree about texts, numbers and truth.
                        file.write(f"{key} = {json.dumps(value)}\n")
            with open(secret, "w", encoding="ascii") as file:
                file.write(' p "#x \n')
            loaded = s.load(path, secret)
        self.assertEqual(loaded, settings(ssid='L"atelier\\ é', passphrase=' p "#x '))


class Derived(unittest.TestCase):
    def test_the_suffix_is_of_the_device_and_stays(self) -> None:
        one, two = "0" * 32 + "\n", "1" * 32 + "\n"
        name = settings().full_ssid(one)
        self.assertRegex(name, r"\ACLIC-[0-9A-F]{4}\Z")
        self.assertEqual(name, settings().full_ssid(one))
        self.assertNotEqual(name, settings().full_ssid(two))
        self.assertEqual(settings(ssid_suffix=False).full_ssid(one), "CLIC")

    def test_addresses_for_guests(self) -> None:
        self.assertEqual(settings().dhcp_range, ("10.42.0.10", "10.42.255.254"))
        self.assertEqual(settings(address="192.168.7.254/24").dhcp_range, ("192.168.7.10", "192.168.7.254"))


class Whole(unittest.TestCase):
    def test_replaced_at_once_with_the_mode_asked_for(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "x")
            for mask, mode in ((0o077, 0o644), (0, 0o600)):
                old = os.umask(mask)
                try:
                    s.write_whole(path, "one", mode)
                    s.write_whole(path, "two", mode)
                finally:
                    os.umask(old)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)
            self.assertEqual(os.listdir(directory), ["x"])
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "two")


class Status(unittest.TestCase):
    def test_a_clock_is_believed_with_a_reason(self) -> None:
        with tempfile.TemporaryDirectory() as root:
            for path, text in (("etc/clic/hotspot.toml", ""), ("sys/class/rtc/rtc0/since_epoch", "0\n")):
                os.makedirs(os.path.dirname(os.path.join(root, path)))
                with open(os.path.join(root, path), "w", encoding="ascii") as file:
                    file.write(text)
            clock, now = os.path.join(root, "sys/class/rtc/rtc0/since_epoch"), time.time()

            def believed(kept: int) -> bool:
                with open(clock, "w", encoding="ascii") as file:
                    file.write(f"{kept}\n")
                return box.clock_set(now, "etc/clic/hotspot.toml", root)

            # Seconds since 1970 of a clock without a battery, then of one that kept the time.
            self.assertFalse(believed(3600))
            self.assertTrue(believed(int(now) + 5))
            # A clock that nobody took the time from.
            self.assertFalse(believed(int(now) + 10**7))
            os.unlink(clock)
            self.assertFalse(box.clock_set(now, "etc/clic/hotspot.toml", root))
            os.makedirs(os.path.join(root, "run/systemd/timesync"))
            with open(os.path.join(root, "run/systemd/timesync/synchronized"), "w", encoding="ascii"):
                self.assertTrue(box.clock_set(now, "etc/clic/hotspot.toml", root))

    def test_what_is_reported(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "status.json")
            status.write(status.collect({"state": "on"}, True), path)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertEqual(set(report), {"time", "clock_set", "hotspot", "uplink", "disk", "memory", "uptime"})
        self.assertEqual(report["hotspot"], {"state": "on"})
        self.assertGreater(report["memory"]["total"], report["memory"]["available"])
        self.assertGreater(report["disk"]["size"], report["disk"]["free"])


if __name__ == "__main__":
    unittest.main()
