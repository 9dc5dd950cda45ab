"""What a boot test does to the hotspot, and then asks of it as a guest: it serves again, without a hand.

Like hotspot.py, whose guests must have joined. A power cut takes the tester's own way into the device with it, so that
is tested from outside.
"""

import errno
import json
import os
import tempfile
import time
from typing import IO

from clic.checks import hotspot as h
from clic.checks.command import Wrong, by_name, expect, main
from clic.hotspot import settings as s

# hostapd belongs to the first.
SERVICES = ("clic-hotspot.service", "clic-hotspot-names.service", "clic-captive.service", "nginx.service")


def slow() -> None:
    """Guests who send and read as slowly as they can are sent away, and meanwhile others are served."""
    one, other = h.GUESTS
    with h.started(one, "slow", h.SETTINGS.domain) as process:
        begun = time.monotonic()
        page = h.guest(other, "get", h.HOME)
        expect(page["status"] == 200, f"another guest is kept out: {page}")
        seconds = round(time.monotonic() - begun, 1)
        ended = json.loads(h.next_line(process) or "{}")
    print(f"page for another guest after {seconds} s; slow ones ended after {ended}")
    for kind in ("head", "body", "answer"):
        # nginx's own limits are 15 and 30 seconds.
        expect(ended.get(kind) and ended[kind] < 75, f"slow with its {kind}: {ended}")
    held = h.guest(one, "ask_slowly", h.BOX, "30", timeout=120)
    expect(held <= 5, f"one guest holds {held} connections to the name server")


def fill(file: IO[bytes]) -> None:
    """Gives this file all that is left of its file system, with what only root may use."""
    end, piece = os.fstat(file.fileno()).st_size, 1 << 30
    while piece >= 4096:
        try:
            os.posix_fallocate(file.fileno(), end, piece)
            end += piece
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece //= 2
    try:
        os.pwrite(file.fileno(), bytes(4096), end)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return
        raise
    raise Wrong("the disk is not full")


def full() -> None:
    """Not a byte is free, and everything starts anew."""
    # A file without a name: however this ends, its space is free again.
    with tempfile.TemporaryFile(dir="/", buffering=0) as file:
        fill(file)
        h.run("systemctl", "restart", *SERVICES)
        moment = time.time()
        # Something may have found room meanwhile: the journal makes some when it finds none.
        fill(file)
        h.wait_for("the hotspot is on", 90, h.on_since(moment))
        h.join()
        h.probes_after()
        h.portal()
        fill(file)
        disk = h.status()["disk"]
        expect(disk["free"] == 0, f"the status says that there is room: {disk}")
        h.run("systemctl", "is-active", *SERVICES)


def control_group(unit: str) -> str:
    path = h.run("systemctl", "show", "--property=ControlGroup", "--value", unit).strip()
    expect(path, f"{unit} does not run")
    return f"/sys/fs/cgroup{path}"


def tear() -> None:
    """What programs leave that die while they write."""
    # dnsmasq writes its leases in place. The last line ends within a hardware address.
    path = f"{s.RUN}/dhcp/leases"
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    expect(lines, "there are no leases")
    os.truncate(path, sum(map(len, lines[:-1])) + 20)
    # Others write under another name first: what is left there must not be in the way.
    for name in ("status.json", "private/hostapd.conf", "private/dnsmasq.conf"):
        with open(f"{s.RUN}/{name}.new", "w", encoding="ascii") as file:
            file.write("{half")


def killed() -> None:
    """Every process of the hotspot dies in the same moment, while a guest reads the page."""
    one, other = h.GUESTS
    had = h.guest(one, "address")
    # The captive portal's program runs from the first question on.
    h.guest(one, "get", f"{h.HOME}captive/state")
    groups = [control_group(unit) for unit in SERVICES]
    with h.started(other, "visit", h.HOME, "150") as process:
        moment = time.time()
        for group in groups:
            with open(f"{group}/cgroup.kill", "w", encoding="ascii") as file:
                file.write("1")
        tear()
        h.wait_for("the hotspot is on", 90, h.on_since(moment))
        told = h.next_line(process).strip()
    expect(told, "the guest who was there does not get the page again")
    print(f"{other}: {told}")
    # As a phone: it comes back by itself, and asks for its address again.
    h.wait_for(f"{one} is back on the wifi", 60, lambda: h.guest(one, "associated"))
    h.lease(one)
    expect(h.guest(one, "address") == had, f"{one} had {had} before")
    h.probes_after()
    h.run("systemctl", "is-active", *SERVICES)


COMMANDS = by_name(slow, full, killed)

if __name__ == "__main__":
    main(COMMANDS)
