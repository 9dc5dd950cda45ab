"""What a boot test asks of the hotspot: as a guest, with a radio of its own in a network namespace of its own.

The radios are simulated by the image's own kernel (mac80211_hwsim); everything else is what real guests meet. Each
command can be repeated, says what it saw, and exits with 1 when something was wrong.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from clic.checks import crowd as hundred
from clic.checks.command import by_name, expect, main
from clic.hotspot import settings as s

# A module of this package, run by name.
PYTHON = (sys.executable, "-IB", "-m")
SETTINGS = s.load()
BOX = SETTINGS.gateway
HOME = f"http://{SETTINGS.domain}/"
GUESTS = ("clic-guest1", "clic-guest2")
WORK = "/run/clic-checks"

# Each system's questions, as it asks them: host and path, then what it takes for "online".
SYSTEMS = {
    "Android, ChromeOS": ("connectivitycheck.gstatic.com", "/generate_204", 204, ""),
    "Android, second try": ("play.googleapis.com", "/generate_204", 204, ""),
    "iOS, macOS": ("captive.apple.com", "/hotspot-detect.html", 200, "<BODY>Success</BODY>"),
    "older iOS": ("www.apple.com", "/library/test/success.html", 200, "<BODY>Success</BODY>"),
    "Windows 10, 11": ("www.msftconnecttest.com", "/connecttest.txt", 200, "Microsoft Connect Test"),
    "Windows 8 and older": ("www.msftncsi.com", "/ncsi.txt", 200, "Microsoft NCSI"),
    "Firefox": ("detectportal.firefox.com", "/success.txt?ipv4", 200, "success\n"),
    "Firefox, page": ("detectportal.firefox.com", "/canonical.html", 200, "captive-portal"),
    "GNOME": ("nmcheck.gnome.org", "/check_network_status.txt", 200, "NetworkManager is online"),
    "Debian": ("network-test.debian.org", "/nm", 200, "NetworkManager is online"),
    "Ubuntu": ("connectivity-check.ubuntu.com", "/", 204, ""),
}


Seen = TypeVar("Seen")


def run(*words: str, timeout: float = 60) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    expect(done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def inside(name: str, *words: str, module: str = "guest") -> tuple[str, ...]:
    """A module of this package in a guest's namespace."""
    return ("ip", "netns", "exec", name, *PYTHON, f"clic.checks.{module}", *words)


def guest(name: str, *words: str, timeout: float = 60, module: str = "guest") -> Any:
    """An action of guest.py in a guest's namespace: its answer."""
    return json.loads(run(*inside(name, *words, module=module), timeout=timeout))


def end(pid_file: str) -> None:
    """Ends the program that wrote this file, if there is one."""
    try:
        with open(pid_file, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        pass


def status() -> Any:
    with open(f"{s.RUN}/status.json", encoding="utf-8") as file:
        return json.load(file)


def wait_for(what: str, seconds: float, question: Callable[[], Seen]) -> Seen:
    end = time.monotonic() + seconds
    while True:
        seen = question()
        if seen:
            return seen
        expect(time.monotonic() < end, f"not within {seconds} s: {what}; status: {status()['hotspot']}")
        time.sleep(1)


def state_is(state: str) -> Callable[[], bool]:
    return lambda: status()["hotspot"]["state"] == state


def on_since(moment: float) -> Callable[[], bool]:
    """Whether the hotspot is on, by a report that is younger: the last one outlives whoever wrote it."""
    return lambda: os.stat(f"{s.RUN}/status.json").st_mtime > moment and state_is("on")()


# -- radios and guests


def radios() -> None:
    """Gives the box three radios; the hotspot takes one, and each guest gets another."""
    run("modprobe", "mac80211_hwsim", "radios=3")
    wait_for("the hotspot is on", 90, state_is("on"))
    hotspot = status()["hotspot"]
    os.makedirs(WORK, exist_ok=True)
    left = [path for path in sorted(os.listdir("/sys/class/net")) if os.path.exists(f"/sys/class/net/{path}/phy80211")]
    left.remove(hotspot["interface"])
    for name in GUESTS:
        if name in run("ip", "netns", "list").split():
            continue
        with open(f"/sys/class/net/{left.pop(0)}/phy80211/name", encoding="ascii") as file:
            phy = file.read().strip()
        run("ip", "netns", "add", name)
        run("iw", "phy", phy, "set", "netns", "name", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    print(f"{hotspot['ssid']} is on, channel {hotspot['channel']}")


def associate(name: str) -> None:
    """Joins the wifi as a phone does: by its name, with the passphrase if there is one."""
    quoted = status()["hotspot"]["ssid"].encode().hex()
    key = f'psk="{SETTINGS.passphrase}"\nkey_mgmt=WPA-PSK SAE\nieee80211w=1' if SETTINGS.passphrase else "key_mgmt=NONE"
    s.write_whole(f"{WORK}/{name}.conf", f"network={{\nssid={quoted}\nscan_ssid=1\n{key}\n}}\n", 0o600)
    interface = guest(name, "interface")
    if not guest(name, "associated"):
        pid = f"{WORK}/{name}.pid"
        end(pid)
        run("ip", "netns", "exec", name, "wpa_supplicant", "-B", "-P", pid, "-D", "nl80211", "-i", interface,
            "-c", f"{WORK}/{name}.conf")
    wait_for(f"{name} is associated", 60, lambda: guest(name, "associated"))


def lease(name: str) -> None:
    """Asks for an address by DHCP, and sets what comes."""
    answer = guest(name, "lease")
    address = answer["ip"]
    first, last = SETTINGS.dhcp_range
    expect(
        tuple(map(int, first.split("."))) <= tuple(map(int, address.split("."))) <= tuple(map(int, last.split("."))),
        f"{address} is not from {first} to {last}",
    )
    expect(answer["router"] == answer["dns"] == BOX, f"not everything is at {BOX}: {answer}")
    print(f"{name} has {address}")


def join() -> None:
    for name in GUESTS:
        associate(name)
        lease(name)
    wait_for("both guests are counted", 30, lambda: status()["hotspot"]["clients"] == len(GUESTS))


# -- what a guest sees


def names(online: bool = False) -> None:
    for name in (SETTINGS.domain, f"some.service.{SETTINGS.domain}", f"{os.uname().nodename}.local"):
        for server in (BOX, "192.0.2.53"):
            answer = guest(GUESTS[0], "resolve", name, server)
            expect(answer["addresses"] == [BOX], f"{name}, asked of {server}: {answer}")
    if not online:
        for name in ("example.com", "www.google.com", "nowhere"):
            answer = guest(GUESTS[0], "resolve", name, BOX)
            expect(answer["addresses"] == [s.SPOOFED] and answer["ttl"] == 0, f"{name}: {answer}")
        answer = guest(GUESTS[0], "resolve", "dns.msftncsi.com", BOX)
        expect(answer["addresses"] == ["131.107.255.255"], f"dns.msftncsi.com: {answer}")


def probes(accepted: bool, name: str = GUESTS[0]) -> None:
    """Every system's questions, by name and over the network."""
    for system, (host, path, code, text) in SYSTEMS.items():
        answer = guest(name, "get", f"http://{host}{path}")
        seen = f"{system} asked {host}{path} and got {answer['status']} {answer.get('location', '')}"
        if accepted:
            expect(answer["status"] == code and text in answer["body"], seen)
        else:
            expect(answer["status"] == 302 and answer["location"] == f"{HOME}captive/", seen)
            expect(len(answer["body"]) > 4, f"{seen}, with too short a body")
        print(seen)


def probes_before() -> None:
    probes(False)


def accept() -> None:
    page = guest(GUESTS[0], "get", f"{HOME}captive/")
    expect(page["status"] == 200 and "/captive/continue" in page["body"], f"no page to accept: {page}")
    answer = guest(GUESTS[0], "post", f"{HOME}captive/continue")
    expect(answer["status"] == 303 and answer["location"] == "/", f"{answer}")
    state = guest(GUESTS[0], "get", f"{HOME}captive/state")
    expect('"accepted": true' in state["body"], f"{state}")
    other = guest(GUESTS[1], "get", f"{HOME}captive/state")
    expect('"accepted": false' in other["body"], f"one guest accepted for another: {other}")


def probes_after() -> None:
    accept()
    probes(True)


def portal() -> None:
    for name in GUESTS:
        for url in (HOME, f"http://{BOX}/", f"http://{os.uname().nodename}.local/"):
            answer = guest(name, "get", url)
            expect(answer["status"] == 200 and "<html" in answer["body"], f"{url}: {answer}")
    answer = guest(GUESTS[0], "get", f"{HOME}status.json")
    expect(json.loads(answer["body"])["hotspot"]["state"] == "on", f"{answer}")


def tls() -> None:
    for address in (s.SPOOFED,) if SETTINGS.share_uplink else (s.SPOOFED, "192.0.2.1"):
        answer = guest(GUESTS[0], "connect", address, "443")
        expect(answer["result"] == "refused" and answer["seconds"] < 1, f"port 443 of {address}: {answer}")


@contextlib.contextmanager
def started(name: str, *words: str, module: str = "guest") -> Iterator[subprocess.Popen[str]]:
    """An action of guest.py that goes on meanwhile, and has said that it has begun."""
    with subprocess.Popen(inside(name, *words, module=module), stdout=subprocess.PIPE, text=True) as process:
        try:
            expect(next_line(process) == "true\n", f"{name}: {words[0]} did not begin")
            yield process
        finally:
            process.terminate()


def next_line(process: subprocess.Popen[str]) -> str:
    """What it prints next; nothing once it has ended."""
    return process.stdout.readline() if process.stdout else ""


def apart(wanted: bool = True) -> None:
    """Two guests do not reach each other, neither directly nor by way of the box."""
    one, two = GUESTS
    port = "4242"
    with started(two, "listen", port):
        other = guest(two, "address")
        try:
            expect(guest(two, "connect", other, port)["result"] == "connected", f"{two} does not answer even itself")
            for way in ("directly", "by way of the box"):
                answer = guest(one, "connect", other, port)
                expect((answer["result"] != "connected") == wanted, f"{one} to {two} at {other} {way}: {answer}")
                guest(one, "route", other, BOX)
        finally:
            guest(one, "unroute", other)


def together() -> None:
    apart(False)


def admin() -> None:
    expect(guest(GUESTS[0], "connect", BOX, "22")["result"] == "connected", "a guest does not reach SSH")


def no_admin() -> None:
    """What is for the keepers of the box is not there for guests."""
    for port in ("22", "111", "8080", "6787"):
        answer = guest(GUESTS[0], "connect", BOX, port)
        expect(answer["result"] == "refused" and answer["seconds"] < 1, f"port {port}: {answer}")
    for line in run("ip", "-4", "-oneline", "address", "show", "scope", "global").splitlines():
        found = re.search(r"^\d+: (\S+)\s+inet ([0-9.]+)/", line)
        if found and found[1] != s.BRIDGE:
            answer = guest(GUESTS[0], "connect", found[2], "22")
            expect(answer["result"] != "connected", f"a guest reaches the box at {found[2]}: {answer}")


# -- faults


def logged() -> int:
    """Bytes of nginx's logs."""
    return sum(entry.stat().st_size for entry in os.scandir("/var/log/nginx"))


def nasty() -> None:
    """One guest holds as many connections as it gets, and asks as fast as it can. The other notices nothing, nor the card."""
    before = logged()
    answer = guest(GUESTS[0], "hold", SETTINGS.domain, GUESTS[1], timeout=120)
    expect(answer["held"] <= 64, f"one guest holds {answer['held']} connections")
    expect("429" in answer["codes"], f"nothing was refused: {answer}")
    expect(logged() - before < 4096, f"nginx wrote {logged() - before} bytes about it")
    print(answer)


def bad_faith() -> None:
    """One guest takes, claims and holds whatever he can (bad_faith.py). The other is served meanwhile."""
    bad, good = GUESTS
    address, network = guest(good, "address"), str(SETTINGS.interface.network)
    station = run("ip", "netns", "exec", good, "cat", f"/sys/class/net/{guest(good, 'interface')}/address").strip()
    if SETTINGS.isolate:
        with started(bad, "overhear", "6", module="bad_faith") as process:
            # Asks everybody: who would hear it could answer.
            lease(good)
            heard = json.loads(next_line(process) or "[]")
        expect(station not in heard, f"{bad} hears what {good} asks everybody: {heard}")
    with started(bad, "all_at_once", BOX, network, address, module="bad_faith") as process:
        for _ in range(3):
            lease(good)
            page = guest(good, "get", HOME)
            expect(page["status"] == 200, f"another guest is not served: {page}")
        got = json.loads(next_line(process) or "{}")
    expect(got and got["addresses"] == 0, f"one guest got addresses in the name of others: {got}")
    expect(0 < got["connections"] <= 64, f"one guest holds more than its share, or none: {got}")
    near = json.loads(run("ip", "-4", "-json", "neighbour", "show", "dev", s.BRIDGE))
    expect(len(near) < 32, f"the box remembers {len(near)} neighbours")
    expect([one.get("lladdr") for one in near if one["dst"] == address] == [station], f"{address} is not at {station}: {near}")
    print(f"{got}; {good} has {address} all the time")


def crowd() -> None:
    """A hundred guests join at once: each asks three systems' questions and opens the page."""
    with hundred.joined(BOX, str(SETTINGS.interface.network)) as guests:
        answer = guest(hundred.NAME, SETTINGS.domain, *guests, timeout=300, module="crowd")
    expect(answer["errors"] == 0, f"{answer}")
    print(answer)


def replug() -> None:
    """The radio goes, and comes again."""
    for name in GUESTS:
        if name in run("ip", "netns", "list").split():
            end(f"{WORK}/{name}.pid")
            run("ip", "netns", "delete", name)
    # Radios come back from a namespace that ends, a moment later.
    time.sleep(2)
    run("modprobe", "--remove", "mac80211_hwsim")
    wait_for("the hotspot says that there is no radio", 30, state_is("no-radio"))
    radios()
    join()


def clock() -> None:
    """A box whose clock starts in 1970 serves all the same."""
    before, counted = time.time(), time.monotonic()
    try:
        time.clock_settime(time.CLOCK_REALTIME, 3600)
        run("systemctl", "restart", "clic-captive.service", "clic-hotspot.service")
        time.sleep(1)
        wait_for("the hotspot is on", 60, state_is("on"))
        join()
        probes_after()
    finally:
        time.clock_settime(time.CLOCK_REALTIME, before + time.monotonic() - counted)


COMMANDS = by_name(
    radios, join, names, probes_before, probes_after, portal, tls, apart, together, admin, no_admin, nasty, bad_faith, crowd,
    replug, clock
)


if __name__ == "__main__":
    main(COMMANDS)
