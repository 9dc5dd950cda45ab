"""The supervisor with real hostapds, whose driver does nothing; only what needs a radio is replaced."""

import contextlib
import io
import os
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from typing import Any, NoReturn
from unittest import mock

from clic.hotspot import radio, supervisor
from clic.hotspot.access_point import AccessPoint
from helpers import needed
from hotspot_settings import settings

CHANNELS = (("2.4", 1), ("2.4", 6), ("2.4", 11))


class Supervised(unittest.TestCase):
    def setUp(self) -> None:
        needed("hostapd")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        # What there is: pairs of wiphy and interface, whether they can be an access point, and which channels work.
        self.there, self.can_ap, self.working = [("phy0", "lo")], True, {1, 6, 11}
        self.points: list[AccessPoint] = []
        self.states: list[dict[str, Any]] = []
        replace = {
            "clic.hotspot.supervisor.CONTROL": self.directory,
            "clic.hotspot.supervisor.CONFIGURATION": os.path.join(self.directory, "hostapd.conf"),
            "clic.hotspot.supervisor.DENIED": os.path.join(self.directory, "hostapd.deny"),
            # Any that is there.
            "clic.hotspot.supervisor.s.BRIDGE": "lo",
            "clic.hotspot.supervisor.isolate": lambda *_: None,
            "clic.hotspot.supervisor.AccessPoint": self.point,
            "clic.hotspot.supervisor.LOOK": 0.2,
            "clic.hotspot.supervisor.Supervisor.tell_names": lambda _self, _online: None,
            "clic.hotspot.supervisor.pauses": lambda: iter([0.1] * 100),
            "clic.hotspot.supervisor.status.write": lambda report: self.states.append(report["hotspot"]),
            "clic.hotspot.supervisor.radio.interfaces": lambda: self.there,
            "clic.hotspot.supervisor.radio.find": lambda: [radio.Radio(*pair, self.can_ap, CHANNELS) for pair in self.there],
            "clic.hotspot.supervisor.radio.unblock": lambda: None,
            "clic.hotspot.supervisor.radio.iw": lambda *_, **__: "",
            "clic.hotspot.supervisor.radio.neighbours": lambda _: None,
            "clic.hotspot.supervisor.radio.hostapd_conf": self.configuration,
        }
        for target, value in replace.items():
            patch = mock.patch(target, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.supervisor = supervisor.Supervisor(settings(), "0" * 32)
        self.supervisor.stopping = Soon()

    def configuration(
        self, found: radio.Radio, _settings: object, _ssid: object, _band: object, channel: int, control: str
    ) -> str:
        driver = "none" if channel in self.working else "nl80211"
        lines = [f"interface={found.interface}", f"driver={driver}", f"ctrl_interface={control}", "ssid=x", "hw_mode=g",
                 f"channel={channel}", ""]
        return "\n".join(lines)

    def point(self, *words: str) -> AccessPoint:
        self.points.append(AccessPoint(*words))
        return self.points[-1]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.redirect_stdout(io.StringIO()):
            thread = threading.Thread(target=self.supervisor.forever)
            thread.start()
            try:
                yield
            finally:
                self.supervisor.stopping.set()
                thread.join(20)
        self.assertFalse(thread.is_alive())
        self.assertFalse([point for point in self.points if point.alive()], "a hostapd was left behind")

    def wait_for(self, state: str, **more: object) -> dict[str, Any]:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            now = self.supervisor.hotspot
            if now["state"] == state and all(now[key] == value for key, value in more.items()):
                return now
            time.sleep(0.02)
        raise AssertionError(f"never {state} {more}: {self.supervisor.hotspot}")

    def test_on_and_off(self) -> None:
        with self.running():
            now = self.wait_for("on", channel=1, band="2.4", interface="lo", clients=0)
            self.assertEqual(now["security"], "open")
            # lo has this address, and nobody joins under the bridge's.
            self.assertIn("00:00:00:00:00:00", self.points[-1].ask("DENY_ACL SHOW"))
        self.assertEqual(self.states[-1]["state"], "on")

    def test_a_channel_that_does_not_work_is_followed_by_the_next(self) -> None:
        self.working = {11}
        with self.running():
            self.wait_for("on", channel=11)
        self.assertEqual(len(self.points), 3)

    def test_no_channel_works_until_one_does(self) -> None:
        self.working = set()
        with self.running():
            now = self.wait_for("failed")
            self.assertRegex(now["why"], "lo, channel 11: .*nl80211")
            self.assertIsNone(now["channel"])
            self.working = {6}
            self.wait_for("on", channel=6)

    def test_a_radio_that_comes_late_and_goes(self) -> None:
        self.there = []
        with self.running():
            self.wait_for("no-radio")
            self.there = [("phy0", "lo")]
            self.wait_for("on")
            # What hostapd does when its interface is pulled out is to end, or to say so.
            self.there = []
            self.points[-1]._process.kill()
            self.wait_for("no-radio", interface=None)
            self.there = [("phy0", "lo")]
            self.wait_for("on")

    def test_a_radio_that_can_not(self) -> None:
        self.can_ap = False
        with self.running():
            self.assertIn("lo can't be an access point", self.wait_for("unable")["why"])
            # Another radio is plugged in.
            self.can_ap, self.there = True, [("phy1", "lo")]
            self.wait_for("on")

    def test_hostapd_that_dies_is_started_again(self) -> None:
        with self.running():
            self.wait_for("on")
            self.points[-1]._process.kill()
            self.wait_for("starting")
            self.wait_for("on")
        self.assertEqual(len(self.points), 2)

    def test_hostapd_that_switches_itself_off_is_started_again(self) -> None:
        with self.running():
            self.wait_for("on")
            self.assertEqual(self.points[-1].ask("DISABLE"), "OK\n")
            self.wait_for("starting")
            self.wait_for("on")
        self.assertEqual(len(self.points), 2)

    def test_a_disk_that_is_full_stops_nothing(self) -> None:
        def full(_: object) -> NoReturn:
            raise OSError(28, "No space left on device")

        with mock.patch("clic.hotspot.supervisor.status.write", full), self.running():
            self.wait_for("on")


class Soon(threading.Event):
    """Waits for less than it is asked to, so that a test is quick."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0.05 if timeout is None else min(timeout, 0.05))


if __name__ == "__main__":
    unittest.main()
