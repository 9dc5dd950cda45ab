"""A box made of a directory, with fake systemctl, yunohost and nginx."""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any
from unittest import mock

from clic import disk
from clic.services import definitions
from clic.services.store import Store

# The program, as tests start it: with their own PYTHONPATH, so without the isolation that it has on a device.
MAIN = (sys.executable, "-B", "-m", "clic.services")

# What the fakes have in common: they write down each call; a program can be told to fail, or to end the caller (a power cut)
# before or after the call with a number.
FAKE = """#!/usr/bin/python3 -S
# A fake {name} for a test.
import json, os, signal, sys, time
state_path = os.environ["CLIC_TEST"] + "/fake.json"
with open(state_path) as file:
    state = json.load(file)
def save():
    with open(state_path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(state_path + ".new", state_path)
words = sys.argv[1:]
call = " ".join(["{name}", *words])
asks = words[0] == "show" or "info" in words
if not asks:
    state["calls"].append(call)
    if state["cut"] == len(state["calls"]) and not state["after"]:
        save()
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
for part in state["fail"]:
    if part in call:
        save()
        sys.exit("no luck with " + part)
{body}
save()
if not asks and state["cut"] == len(state["calls"]) and state["after"]:
    os.kill(os.getppid(), signal.SIGKILL)
"""
SYSTEMCTL = """
units = [word for word in words if word.endswith((".service", ".socket"))]
if words[0] == "show":
    unit = units[0]
    print("LoadState=" + ("loaded" if unit in state["units"] else "not-found"))
    print("ActiveState=" + ("active" if unit in state["active"] else state["dead"]))
    print("ActiveEnterTimestampMonotonic=" + str(time.monotonic_ns() // 1000 if unit in state["flappy"] else 0))
    if unit in state["flappy"] and unit in state["active"] and "ActiveEnter" in call:
        state["active"].remove(unit)
        state["dead"] = "failed"
    print("UnitFileState=" + ("enabled" if unit in state["enabled"] else "disabled"))
elif words[0] in ("enable", "disable"):
    for unit in units:
        for what in ("enabled", "active"):
            if words[0] == "enable" and unit not in state[what] and not (what == "active" and unit in state["broken"]):
                state[what].append(unit)
            if words[0] == "disable" and unit in state[what]:
                state[what].remove(unit)
"""
YUNOHOST = """
action, permission = words[2], words[3]
allowed = state["allowed"].setdefault(permission, ["all_users"])
if action == "info":
    print(json.dumps({"allowed": allowed, "show_tile": permission in state["tiles"]}))
elif action == "update":
    state["tiles"] = [p for p in state["tiles"] if p != permission] + ([permission] if words[-1] == "True" else [])
elif action == "add":
    allowed += words[4:]
elif action == "remove":
    state["allowed"][permission] = [group for group in allowed if group not in words[4:]]
"""
NGINX = """
parts = os.environ["CLIC_TEST"] + "/etc/nginx/clic.d/services"
for name in os.listdir(parts) if os.path.isdir(parts) else []:
    if name.endswith(".conf") and "nonsense" in open(parts + "/" + name).read():
        sys.exit("nginx: unknown directive nonsense")
"""
DPKG = """
for package in words[2:]:
    print(package, "installed" if package in state["packages"] else "not-installed")
"""

PADS = """
schema = 1
kind = "yunohost-app"
state = "dormant"
category = "writing"
units = ["pads.service", "pads-db.service"]
ram = 104857600
disk = 1048576
domain = "pads.clic.internal"
path = "/pads"
title = { fr = "Pads", en = "Notepads" }
[yunohost]
app = "etherpad"
"""
WIKI = """
schema = 1
kind = "debian"
state = "dormant"
units = ["wiki.service"]
packages = ["wiki"]
path = "/wiki"
title = { fr = "Wiki", en = "Wiki" }
[nginx]
text = "location /wiki/ { return 204; }"
"""
BOOKS = """
schema = 1
kind = "static"
state = "enabled"
path = "/books"
title = { fr = "Livres", en = "Books" }
[nginx]
root = "/srv/books"
"""


class Box:
    def __init__(self, **services: str) -> None:
        self.path = tempfile.mkdtemp(prefix="clic-test-")
        self.root = disk.Root(self.path)
        self.bin = os.path.join(self.path, "bin")
        for name, body in (("systemctl", SYSTEMCTL), ("yunohost", YUNOHOST), ("nginx", NGINX), ("dpkg-query", DPKG)):
            self.write(f"/bin/{name}", FAKE.replace("{name}", name).replace("{body}", body))
            os.chmod(self.root.at(f"/bin/{name}"), stat.S_IRWXU)
        self.set(calls=[], cut=0, after=False, fail=[], broken=[], flappy=[], dead="inactive", enabled=[], active=[], tiles=[],
                 allowed={}, units=["pads.service", "pads-db.service", "wiki.service"], packages=["wiki"])
        self.write("/proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 1000000 kB\n")
        self.write("/etc/yunohost/installed", "")
        self.write("/etc/yunohost/apps/etherpad/settings.yml", "")
        os.makedirs(self.root.at("/var/lib"))
        for name, text in services.items():
            self.write(f"/usr/share/clic/services.d/{name}.toml", text)

    def set(self, **more: Any) -> None:
        path = os.path.join(self.path, "fake.json")
        state = self.fake() if os.path.exists(path) else {}
        self.write("/fake.json", json.dumps(state | more))

    def fake(self) -> Any:
        with open(os.path.join(self.path, "fake.json"), encoding="utf-8") as file:
            return json.load(file)

    def write(self, path: str, text: str) -> None:
        place = self.root.at(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, path: str) -> str:
        return self.root.read(path).decode()

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "CLIC_TEST": self.path, "LC_ALL": "C.UTF-8"}

    def run(self, *words: str, locale: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*MAIN, "--root", self.path, *words], capture_output=True, text=True,
                              env=self.environment | {"LC_ALL": locale})

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        done = self.run(*words, "--json")
        return done.returncode, json.loads(done.stdout)

    @contextlib.contextmanager
    def here(self) -> Iterator[Store]:
        """With the fakes for the programs of this process."""
        with mock.patch.dict(os.environ, self.environment):
            yield Store(self.root, definitions.load_all(self.root)[0])

    def tiles(self) -> list[str]:
        return [tile["name"] for tile in json.loads(self.read("/var/lib/clic/services/portal.json"))["services"]]

    def parts(self) -> list[str]:
        path = self.root.at("/etc/nginx/clic.d/services")
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def state_files(self) -> list[str]:
        path = self.root.at("/var/lib/clic/services")
        return sorted(os.listdir(path)) if os.path.isdir(path) else []


@contextlib.contextmanager
def box(**services: str) -> Iterator[Box]:
    made = Box(**services)
    try:
        yield made
    finally:
        shutil.rmtree(made.path)
