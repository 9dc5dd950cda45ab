"""The guests' network without a radio: the real rules, bridge and dnsmasq, with guests in network namespaces.

Everything is in namespaces of an ordinary user, which end with the program that made them. A guest's cable stands for the
radio: the bridge keeps its ports apart like hostapd its stations.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Any

import jinja2

from clic.hotspot import names
from helpers import needed
from hotspot_settings import settings

RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../files/etc/nftables.d/clic-hotspot.conf")
SETTINGS = settings()
BOX, NETWORK = SETTINGS.gateway, str(SETTINGS.interface.network)
BAD_FAITH = "import sys; from clic.checks import bad_faith as b; b.PATIENCE = 1; b.main(sys.argv[1:])"
BEGIN = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip link set lo up
ip link add hotspot0 type bridge
ip link set hotspot0 up
ip address add {address} dev hotspot0
echo ready
exec sleep infinity
"""
GUEST = """
set -e
ip netns add {name}
ip link add to-{name} type veth peer name wlan0 netns {name}
ip link set to-{name} master hotspot0
ip link set to-{name} up
bridge link set dev to-{name} isolated on
ip -n {name} link set lo up
ip -n {name} link set wlan0 up
"""


def rules(**changes: object) -> str:
    """The overlay's rules, as the builder makes them."""
    values: dict[str, object] = {
        "address": SETTINGS.address, "isolate": True, "share_uplink": False, "guests_reach_admin": False
    }
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["split"] = str.split
    with open(RULES, encoding="utf-8") as file:
        text = environment.from_string(file.read()).render(values | changes)
    # Not each kernel that builds has this, and here is one bridge alone.
    text = re.sub(r'meta [io]brname "hotspot0" ', "", text)
    return re.sub(r'include "[^"]*"', "", text)


class Box(unittest.TestCase):
    """A box with its bridge, its rules and its name server."""

    def setUp(self) -> None:
        for program in ("nft", "dnsmasq", "ip", "bridge", "unshare", "nsenter"):
            needed(program)
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.inside = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", BEGIN.format(address=SETTINGS.address)],
            stdout=subprocess.PIPE, text=True,
        )
        self.addCleanup(self.end, self.inside)
        assert self.inside.stdout and self.inside.stdout.readline() == "ready\n", "no namespaces"
        self.addCleanup(self.inside.stdout.close)
        self.load(rules())
        self.dnsmasq()

    @staticmethod
    def end(process: subprocess.Popen[Any]) -> None:
        process.kill()
        process.wait()

    def words(self, *words: str) -> list[str]:
        into = ["nsenter", f"--target={self.inside.pid}", "--user", "--net", "--mount", "--preserve-credentials"]
        return [*into, *words]

    def run_in(self, *words: str, text: str | None = None) -> str:
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        done = subprocess.run(self.words(*words), input=text, capture_output=True, text=True, timeout=60, env=environment)
        self.assertEqual(done.returncode, 0, f"{' '.join(words)}: {done.stderr}{done.stdout}")
        return done.stdout

    def load(self, text: str) -> None:
        self.run_in("nft", "-f", "-", text=text)

    def dnsmasq(self) -> None:
        text = names.dnsmasq_conf(SETTINGS, "box", False, "/nonexistent")
        text = text.replace("/run/clic/dhcp/leases", f"{self.directory}/leases")
        path = f"{self.directory}/dnsmasq.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        # Not --keep-in-foreground: in a user namespace of one user there is no other to become.
        server = subprocess.Popen(
            self.words(needed("dnsmasq"), "--no-daemon", f"--conf-file={path}", "--pid-file"), stderr=subprocess.DEVNULL
        )
        self.addCleanup(self.end, server)
        deadline = time.monotonic() + 20
        while ":53 " not in self.run_in("ss", "--no-header", "--listening", "--udp", "--numeric"):
            self.assertIsNone(server.poll(), "dnsmasq ended")
            self.assertLess(time.monotonic(), deadline, "dnsmasq does not listen")
            time.sleep(0.1)

    def guest(self, name: str) -> None:
        """Somebody joins the wifi."""
        self.run_in("sh", "-c", GUEST.format(name=name))

    def start(self, name: str, *words: str, module: str = "bad_faith") -> subprocess.Popen[str]:
        # What is not emulated needs less patience.
        program = ("-c", BAD_FAITH) if module == "bad_faith" else ("-m", f"clic.checks.{module}")
        command = ("ip", "netns", "exec", name, sys.executable, "-B", *program, *words)
        return subprocess.Popen(self.words(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def act(self, name: str, *words: str, module: str = "bad_faith") -> Any:
        """What a guest does: the answer."""
        process = self.start(name, *words, module=module)
        told, wrong = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, f"{words}: {wrong}")
        return json.loads(told.splitlines()[-1])

    def hardware(self, name: str) -> str:
        return self.run_in("ip", "netns", "exec", name, "cat", "/sys/class/net/wlan0/address").strip()

    def neighbours(self) -> dict[str, str]:
        """Which hardware address the box has for each IP address."""
        found = json.loads(self.run_in("ip", "-4", "-json", "neighbour", "show", "dev", "hotspot0") or "[]")
        return {one["dst"]: one.get("lladdr", "") for one in found}
