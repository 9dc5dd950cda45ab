"""What a boot test asks of the hotspot while the box has an uplink: an internet in a network namespace.

It is plugged in as anywhere: a veth pair is the cable, whose near end has a cable's name (20-wired.network), and address,
route and name server come by DHCP. Like hotspot.py, whose guests must have joined. The one who asks here has never
pressed "Continue".
"""

import contextlib
import http.server
import ipaddress
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse
from typing import Any

from clic.checks import hotspot as h
from clic.checks.command import Wrong, by_name, expect, main
from clic.hotspot import settings as s

INTERNET = "clic-internet"
CABLE = "eth-check"
GUEST = h.GUESTS[1]

# The place that lends its internet. No recipe can give this network to guests: shared address space (RFC 6598).
ROUTER = "100.64.77.1"
PLACE = f"{ROUTER}/24"
# Others in networks of the place, one of each private range (RFC 1918).
NEIGHBOURS = ("10.213.77.9", "172.30.77.9", "192.168.213.9")
# Name servers that the box asks, whatever a place offers: as resolv.conf(5) has them, from the overlay that has it do so.
RESOLVERS = "/usr/lib/clic/checks/resolv.conf"
# Whatever is asked for in the internet: TEST-NET-3 (RFC 5737).
SOMEWHERE = "203.0.113.80"

DNSMASQ = f"""
interface=away
bind-interfaces
user=root
no-resolv
no-hosts
address=/#/{SOMEWHERE}
dhcp-range=100.64.77.10,100.64.77.20,255.255.255.0,1h
dhcp-leasefile={h.WORK}/internet-leases
dhcp-authoritative
no-ping
"""


class Page(http.server.BaseHTTPRequestHandler):
    """One short page for every address, which tells who asked: the answer of a page that is made for looks, too."""

    def do_GET(self) -> None:
        body = page_for(self.client_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def page_for(address: str) -> str:
    return f"the internet, asked by {address}\n"


def serve() -> None:
    """In the namespace: the page on every port that is asked for. 443 speaks no TLS, but whoever reaches it connects."""
    for port in {80, 443, urllib.parse.urlsplit(h.SETTINGS.uplink_check).port or 80}:
        server = http.server.ThreadingHTTPServer(("", port), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    # It is ended when it has done its work: no reason to say so.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print("true", flush=True)
    signal.pause()


def inside(*words: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", INTERNET, *words)


def take_away() -> None:
    """Nothing is left of the internet, whatever there was of it."""
    for name in ("internet", "internet-dnsmasq"):
        h.end(f"{h.WORK}/{name}.pid")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{h.WORK}/{name}.pid")
    if os.path.exists(f"/sys/class/net/{CABLE}"):
        h.run("ip", "link", "delete", CABLE)
    if INTERNET in h.run("ip", "netns", "list").split():
        h.run("ip", "netns", "delete", INTERNET)


def name_servers(path: str = RESOLVERS) -> set[str]:
    """IPv4 addresses of name servers that are asked besides the place's own."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        return set()
    given = [words[1] for words in lines if len(words) == 2 and words[0] == "nameserver"]
    return {address for address in given if ipaddress.ip_address(address).version == 4}


def addresses() -> list[str]:
    """What is somewhere in that internet. Guests' own network is not: the box would look for it on the wifi."""
    found = {SOMEWHERE, *NEIGHBOURS, *name_servers()}
    with contextlib.suppress(ValueError):
        found.add(str(ipaddress.ip_address(urllib.parse.urlsplit(h.SETTINGS.uplink_check).hostname or "")))
    return [address for address in sorted(found) if not local(address)]


def local(address: str) -> bool:
    return ipaddress.ip_address(address) in h.SETTINGS.interface.network


def plug() -> None:
    """A cable with internet is plugged in: the box notices, and says so."""
    take_away()
    os.makedirs(h.WORK, exist_ok=True)
    h.run("ip", "netns", "add", INTERNET)
    h.run("ip", "link", "add", CABLE, "type", "veth", "peer", "name", "away", "netns", INTERNET)
    for address, device in ((PLACE, "away"), *((f"{address}/32", "lo") for address in addresses())):
        h.run("ip", "-n", INTERNET, "address", "add", address, "dev", device)
    for device in ("lo", "away"):
        h.run("ip", "-n", INTERNET, "link", "set", device, "up")
    s.write_whole(f"{h.WORK}/internet-dnsmasq.conf", DNSMASQ)
    h.run(*inside("dnsmasq", f"--conf-file={h.WORK}/internet-dnsmasq.conf", f"--pid-file={h.WORK}/internet-dnsmasq.pid"))
    server = subprocess.Popen(
        inside(*h.PYTHON, "clic.checks.internet", "serve"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, text=True,
    )
    s.write_whole(f"{h.WORK}/internet.pid", str(server.pid))
    expect(h.next_line(server) == "true\n", "the internet did not begin")
    begun = time.monotonic()
    h.wait_for("the box sees the uplink", 90, lambda: h.status()["uplink"])
    print(f"seen {time.monotonic() - begun:.0f} s later, with address {box()}")
    page = h.guest(GUEST, "get", f"{h.HOME}status.json")
    seen = json.loads(page["body"])
    expect(seen["uplink"] is True, f"a guest is told of no uplink: {seen}")
    expect(seen["online"] is h.SETTINGS.share_uplink, f"a guest is told that online is {seen['online']}")


def box() -> str:
    """The box's address on the cable."""
    found = json.loads(h.run("ip", "-4", "-json", "address", "show", "dev", CABLE))
    expect(found and found[0]["addr_info"], f"{CABLE} has no address")
    return str(found[0]["addr_info"][0]["local"])


def resolved(name: str) -> list[str] | None:
    """What a guest is told, or nothing while the name server starts anew."""
    try:
        return list(h.guest(GUEST, "resolve", name, h.BOX)["addresses"])
    except Wrong:
        return None


# -- what a guest sees


def names() -> None:
    """With an uplink that is shared, no name is spoofed, and the box's own are still the box."""
    h.wait_for("guests ask the internet for names", 60, lambda: resolved("example.com") == [SOMEWHERE])
    for name in ("www.google.com", "dns.msftncsi.com"):
        expect(resolved(name) == [SOMEWHERE], f"{name}: {resolved(name)}")
    h.names(online=True)


def no_names() -> None:
    """With one that is not, nothing changes."""
    h.names()


def state() -> Any:
    return json.loads(h.guest(GUEST, "get", f"{h.HOME}captive/state")["body"])


def lent() -> None:
    """Guests reach the internet by the box's address, and nobody asks them to sign in."""
    expected = page_for(box())
    for host, path, *_ in [("example.com", "/"), *h.SYSTEMS.values()]:
        answer = h.guest(GUEST, "get", f"http://{host}{path}")
        expect(answer["status"] == 200 and answer["body"] == expected, f"{host}{path}: {answer}, not {expected!r}")
    answer = h.guest(GUEST, "connect", SOMEWHERE, "443")
    expect(answer["result"] == "connected", f"port 443 of {SOMEWHERE}: {answer}")
    # A phone that remembers what a name meant before.
    answer = h.guest(GUEST, "get", f"http://{s.SPOOFED}/generate_204")
    expect(answer["status"] == 204, f"a guest with a stale name: {answer}")
    expect(state() == {"accepted": False, "online": True}, f"{state()}")


def kept() -> None:
    """Guests reach nothing of the internet, though the box does."""
    answer = h.guest(GUEST, "get", f"http://{SOMEWHERE}/")
    expect(answer["status"] == 302 and answer["location"] == f"{h.HOME}captive/", f"{SOMEWHERE}: {answer}")
    answer = h.guest(GUEST, "connect", SOMEWHERE, "443")
    expect(answer["result"] == "refused" and answer["seconds"] < 1, f"port 443 of {SOMEWHERE}: {answer}")
    answer = h.guest(GUEST, "get", "http://connectivitycheck.gstatic.com/generate_204")
    expect(answer["status"] == 302, f"a guest is told that there is internet: {answer}")
    expect(state() == {"accepted": False, "online": False}, f"{state()}")


def neighbours(wanted: bool = True) -> None:
    """The network that the uplink comes from. Port 443, which the box never answers for others."""
    for address in (ROUTER, *filter(lambda address: not local(address), NEIGHBOURS)):
        answer = h.guest(GUEST, "connect", address, "443")
        expect((answer["result"] == "connected") == wanted, f"{address}: {answer}")
        # connect gives up after 5.
        expect(answer["seconds"] < 4, f"{address} keeps a guest waiting: {answer}")


def no_neighbours() -> None:
    neighbours(False)


def outside() -> None:
    """Nobody on the cable reaches guests, or what the box has for guests alone."""
    here = box()
    h.run("ip", "-n", INTERNET, "route", "replace", str(h.SETTINGS.interface.network), "via", here)
    with h.started(GUEST, "listen", "4242"):
        address = h.guest(GUEST, "address")
        expect(h.guest(GUEST, "connect", address, "4242")["result"] == "connected", "no guest to reach")
        for where, port in ((address, "4242"), (here, "53"), (here, "2080")):
            answer = h.guest(INTERNET, "connect", where, port)
            expect(answer["result"] != "connected", f"reached from outside: port {port} of {where}")
    # Not by the box's address on that side either, which only others are to know.
    answer = h.guest(GUEST, "connect", here, "80")
    expect(answer["result"] != "connected", f"a guest reaches the box at {here}")


def unplug() -> None:
    """The cable is pulled: the box notices, and the captive portal is back for those who have not accepted."""
    try:
        begun = time.monotonic()
        if INTERNET in h.run("ip", "netns", "list").split():
            h.run("ip", "-n", INTERNET, "link", "set", "away", "down")
        h.wait_for("the box sees no uplink", 90, lambda: not h.status()["uplink"])
        h.wait_for("names lead to the captive portal", 60, lambda: resolved("example.com") == [s.SPOOFED])
        print(f"offline {time.monotonic() - begun:.0f} s after the cable was pulled")
        h.names()
        h.probes(False, GUEST)
    finally:
        take_away()


COMMANDS = by_name(plug, serve, names, no_names, lent, kept, neighbours, no_neighbours, outside, unplug)

if __name__ == "__main__":
    main(COMMANDS)
