"""Keeps the hotspot on: finds a radio, finds a channel that works, and starts again whatever ends.

Nothing here is needed for the box to boot. Without a radio, or with one that can't be an access point, it waits for a
better one and says so in the journal and in /run/clic/status.json.
"""

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from clic.hotspot import names, radio, status, uplink
from clic.hotspot import settings as s
from clic.hotspot.access_point import AccessPoint
from clic.hotspot.guests import Leases

CONTROL = f"{s.RUN}/hostapd"
CONFIGURATION = f"{s.RUN}/private/hostapd.conf"
DNSMASQ = f"{s.RUN}/private/dnsmasq.conf"
# Who may not join.
DENIED = f"{s.RUN}/private/hostapd.deny"

# Seconds between two looks for a radio; between two reports when nothing changed; the longest pause after failures.
LOOK = 3
REPORT = 10
LONGEST_PAUSE = 60


class Supervisor:
    def __init__(self, settings: s.Settings, machine_id: str) -> None:
        self.settings = settings
        self.ssid = settings.full_ssid(machine_id)
        self.uplink = uplink.Uplink(settings.uplink_check)
        self.stopping = threading.Event()
        self.hotspot: dict[str, Any] = {
            "state": "starting",
            "why": "",
            "ssid": self.ssid,
            "address": settings.gateway,
            "domain": settings.domain,
            "hidden": settings.hidden,
            "security": "wpa" if settings.passphrase else "open",
            "band": None,
            "channel": None,
            "interface": None,
            "clients": 0,
        }
        self._names: str | None = None
        self._leases = Leases()
        self._crowded = False
        self._reported: tuple[object, float] = (None, 0.0)

    # -- what others see

    def say(self, state: str, why: str = "", **more: object) -> None:
        """Changes the state. Each change is one line of the journal."""
        if (state, why) != (self.hotspot["state"], self.hotspot["why"]):
            print(f"hotspot: {state}{': ' if why else ''}{why}", flush=True)
        off = {} if state == "on" else {"band": None, "channel": None, "interface": None, "clients": 0}
        self.hotspot = {**self.hotspot, **off, "state": state, "why": why, **more}
        self.tick()

    def tick(self) -> None:
        """What is due: names that follow the uplink, and the report."""
        present = self.uplink.present
        self._crowded = names.is_crowded(self.settings, self._leases.count(), self._crowded)
        self.tell_names(present and self.settings.share_uplink)
        seen, now = (self.hotspot, present), time.monotonic()
        if seen != self._reported[0] or now - self._reported[1] >= REPORT:
            self._reported = (seen, now)
            try:
                # `online` is what guests get, `uplink` what the box has.
                status.write(status.collect(self.hotspot, present) | {
                    "online": present and self.settings.share_uplink
                })
            except OSError as error:
                print(f"status: not written: {error}", flush=True)

    def tell_names(self, online: bool) -> None:
        """Gives dnsmasq another configuration when it changed. It reads what names mean only when it starts."""
        text = names.dnsmasq_conf(self.settings, os.uname().nodename, online, crowded=self._crowded)
        if text == self._names:
            return
        try:
            s.write_whole(DNSMASQ, text)
        except OSError as error:
            print(f"names: not written: {error}", flush=True)
            return
        if self._names is not None:
            short = ", and their addresses are short-lived: many are given" if self._crowded else ""
            print(f"names: guests are {'online' if online else 'offline'}{short}", flush=True)
        self._names = text
        subprocess.run(["systemctl", "--no-block", "restart", "clic-hotspot-names.service"], timeout=30, check=False)

    # -- radios

    def forever(self) -> None:
        waits, failed_with = pauses(), None
        while not self.stopping.is_set():
            there = radio.interfaces()
            if not there:
                self.say("no-radio", "no wireless network interface was found")
                self.rest(LOOK)
                continue
            radio.unblock()
            radio.iw("reg", "set", self.settings.country)
            # The kernel reads its database, and then radios say what they may do there.
            self.stopping.wait(1)
            capable = [found for found in radio.find() if found.can_ap]
            if not capable:
                which = ", ".join(interface for _, interface in there)
                self.say("unable", f"{which} can't be an access point")
                self.rest(LONGEST_PAUSE, until_changed_from=there)
                continue
            if there != failed_with:
                waits = pauses()
            failed_with = None if any(self.serve(found) for found in capable) else there
            # A radio that comes up and falls over is not to keep the processor busy either.
            self.rest(next(waits) if failed_with else LOOK, until_changed_from=there)

    def serve(self, found: radio.Radio) -> bool:
        """Tries channels of a radio until one works, then stays as long as it does. False when none did."""
        self.say("starting", f"trying {found.interface}")
        around = radio.neighbours(found.interface) if not self.settings.channel else None
        why = f"{found.interface} has no channel that may be used in {self.settings.country}"
        for band, channel in radio.attempts(found, self.settings, around):
            if self.stopping.is_set():
                return False
            self.tick()
            text = radio.hostapd_conf(found, self.settings, self.ssid, band, channel, CONTROL)
            # A station under the bridge's own hardware address: the kernel would complain of each of its frames in the journal.
            s.write_whole(DENIED, radio.address(s.BRIDGE))
            s.write_whole(CONFIGURATION, f"{text}deny_mac_file={DENIED}\n", 0o600)
            point = AccessPoint(CONFIGURATION, found.interface, CONTROL)
            try:
                if point.started(self.stopping.is_set):
                    self.stay(point, band, channel)
                    return True
            finally:
                point.stop()
            why = f"{found.interface}, channel {channel}: {point.last or 'hostapd did not start'}"
            print(f"hotspot: {why}", flush=True)
        if not self.stopping.is_set():
            self.say("failed", why)
        return False

    def stay(self, point: AccessPoint, band: str, channel: int) -> None:
        isolate(point.interface, self.settings.isolate)
        self.say("on", band=band, channel=channel, interface=point.interface)
        while point.alive() and point.enabled and not self.stopping.is_set():
            # Ends early when hostapd says something, such as that a guest came.
            point.wait(LOOK)
            clients = point.clients()
            if clients is not None:
                self.hotspot = {**self.hotspot, "clients": clients}
            self.tick()
        if not self.stopping.is_set():
            gone = "was unplugged" if not radio.exists(point.interface) else point.last or "hostapd ended"
            self.say("starting", f"{point.interface}: {gone}")

    def rest(self, seconds: float, until_changed_from: list[tuple[str, str]] | None = None) -> None:
        """Waits, and ends early when a radio comes or goes."""
        end = time.monotonic() + seconds
        while not self.stopping.is_set() and time.monotonic() < end:
            if until_changed_from is not None and radio.interfaces() != until_changed_from:
                return
            self.tick()
            self.stopping.wait(1)


def pauses() -> Iterator[float]:
    """Seconds to wait after each failure."""
    return itertools.chain((2, 5, 15, 30), itertools.repeat(LONGEST_PAUSE))


def isolate(interface: str, wanted: bool) -> None:
    """hostapd keeps guests of one radio apart; this does it in the bridge, for whatever else joins it."""
    state = "on" if wanted else "off"
    subprocess.run(["bridge", "link", "set", "dev", interface, "isolated", state], timeout=10, check=False)


def main() -> None:
    supervisor = Supervisor(s.load(), s.machine_id())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    os.makedirs(CONTROL, 0o700, exist_ok=True)
    supervisor.uplink.watch()
    supervisor.forever()


if __name__ == "__main__":
    main()
