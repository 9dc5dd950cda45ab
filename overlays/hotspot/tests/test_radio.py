import collections
import itertools
import os
import subprocess
import tempfile
import time
import unittest
from typing import Any

from clic.hotspot import radio
from clic.hotspot.access_point import AccessPoint
from helpers import needed
from hotspot_settings import settings

PHY = """\
Wiphy phy0
	wiphy index: 0
	Device supports RSN-IBSS.
	Supported interface modes:
		 * IBSS
		 * managed
		 * AP
		 * AP/VLAN
		 * monitor
	Band 1:
		Capabilities: 0x107e
			HT20/HT40
		Frequencies:
			* 2412 MHz [1] (20.0 dBm)
			* 2437 MHz [6] (20.0 dBm)
			* 2462 MHz [11] (20.0 dBm)
			* 2467 MHz [12] (20.0 dBm) (no IR)
			* 2484 MHz [14] (disabled)
	Band 2:
		Capabilities: 0x107e
			HT20/HT40
		VHT Capabilities (0x00000000):
		Frequencies:
			* 5180.0 MHz [36] (20.0 dBm)
			* 5260 MHz [52] (20.0 dBm) (no IR, radar detection)
			* 5745 MHz [149] (disabled)
	Supported commands:
		 * new_interface
	Device supports SAE with AUTHENTICATE command
"""


class Parse(unittest.TestCase):
    def test_a_radio_of_two_bands(self) -> None:
        found = radio.parse("phy0", "wlan0", PHY)
        self.assertTrue(found.can_ap and found.vht and found.sae)
        self.assertEqual(found.channels, (("2.4", 1), ("2.4", 6), ("2.4", 11), ("5", 36)))
        self.assertEqual(sorted(found.ht), ["2.4", "5"])

    def test_a_station_only(self) -> None:
        found = radio.parse("phy0", "wlan0", PHY.replace("\t\t * AP\n", ""))
        self.assertFalse(found.can_ap)

    def test_one_that_vanished(self) -> None:
        found = radio.parse("phy0", "wlan0", "")
        self.assertFalse(found.can_ap)
        self.assertEqual(found.channels, ())

    def test_heard(self) -> None:
        text = "BSS 02:00(on wlan0)\n\tfreq: 2412\nBSS 04:00\n\tfreq: 2437.0\n\tfreq: 5180\n\tfreq: 60480\n"
        self.assertEqual(radio.heard(text), {("2.4", 1): 1, ("2.4", 6): 1, ("5", 36): 1})


class Attempts(unittest.TestCase):
    def setUp(self) -> None:
        self.radio = radio.parse("phy0", "wlan0", PHY)

    def order(self, around: dict[radio.Channel, int] | None = None, **changes: Any) -> list[radio.Channel]:
        return radio.attempts(self.radio, settings(**changes), collections.Counter(around or {}))

    def test_automatic(self) -> None:
        self.assertEqual(self.order(), [("2.4", 1), ("2.4", 6), ("2.4", 11), ("5", 36)])

    def test_the_quietest_is_first_and_neighbours_overlap(self) -> None:
        around = {("2.4", 1): 3, ("2.4", 8): 2}
        self.assertEqual(self.order(around)[:3], [("2.4", 6), ("2.4", 11), ("2.4", 1)])

    def test_a_fixed_channel_has_others_behind_it(self) -> None:
        self.assertEqual(self.order(channel=11), [("2.4", 11), ("2.4", 1), ("2.4", 6), ("5", 36)])
        self.assertEqual(self.order(channel=48)[0], ("5", 48))

    def test_a_band_that_does_not_work_falls_back(self) -> None:
        self.assertEqual(self.order(band="5")[:2], [("5", 36), ("2.4", 1)])


class Hostapd(unittest.TestCase):
    """The real hostapd reads what it is told."""

    def said(self, text: str) -> str:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "hostapd.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            done = subprocess.run([needed("hostapd"), path], capture_output=True, text=True, timeout=20)
        return done.stdout + done.stderr

    def test_every_variant_is_understood(self) -> None:
        # There is no such radio, so it ends, but only after it has understood everything.
        radios = [
            radio.Radio("phy9", "clicnone0", True, (), ("2.4", "5"), True, True),
            radio.Radio("phy9", "clicnone0", True),
        ]
        for found, band, passphrase, hidden in itertools.product(
            radios, ("2.4", "5"), ("", "12345678", ' a "#= b' + "x" * 55), (False, True)
        ):
            text = radio.hostapd_conf(
                found, settings(passphrase=passphrase, hidden=hidden), "É" * 16, band,
                6 if band == "2.4" else 36, "/nonexistent",
            )
            said = self.said(text)
            self.assertNotRegex(said, r"Line \d+|errors found", text)
            self.assertIn("nl80211", said)

    def test_a_mistake_would_be_seen(self) -> None:
        self.assertRegex(self.said("interface=x\ndriver=nl80211\nsssid=x\n"), "Line 3")

    def test_no_name_gets_out_of_its_line(self) -> None:
        text = radio.hostapd_conf(
            radio.Radio("phy9", "clicnone0"), settings(), "x\nchannel=1", "2.4", 6, "/nonexistent"
        )
        self.assertEqual(text.count("channel="), 1)


class Running(unittest.TestCase):
    """A real hostapd with its driver that does nothing."""

    def start(self, directory: str, text: str) -> AccessPoint:
        path = os.path.join(directory, "hostapd.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        needed("hostapd")
        return AccessPoint(path, "lo", directory)

    def test_start_ask_and_stop(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            point = self.start(directory, f"interface=lo\ndriver=none\nctrl_interface={directory}\nssid=x\n")
            try:
                self.assertTrue(point.started(lambda: False))
                self.assertEqual(point.clients(), 0)
                self.assertEqual(sorted(os.listdir(directory)), ["hostapd.conf", "lo"])
            finally:
                point.stop()
            self.assertFalse(point.alive())
            self.assertIsNone(AccessPoint.clients(point))

    def test_one_that_fails_says_why_and_soon(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            point = self.start(directory, "interface=clicnone0\ndriver=nl80211\nssid=x\nhw_mode=g\nchannel=1\n")
            begun = time.monotonic()
            try:
                self.assertFalse(point.started(lambda: False))
            finally:
                point.stop()
            self.assertLess(time.monotonic() - begun, 10)
            self.assertIn("nl80211", point.last)

    def test_giving_up_is_possible(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            point = self.start(directory, "interface=lo\ndriver=none\nssid=x\n")
            try:
                self.assertFalse(point.started(lambda: True))
            finally:
                point.stop()


if __name__ == "__main__":
    unittest.main()
