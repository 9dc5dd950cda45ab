"""What a boot test asks of services on the real device: with services of its own, which it removes again, and with those that
the image carries.

Each command can be repeated, says what it saw, and exits with 1 when something was wrong.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from clic.checks import hotspot
from clic.checks.command import by_name, expect, main

DEFINITIONS = "/usr/share/clic/services.d"
STATE = "/var/lib/clic/services"
# Nobody else's: removed with all that belongs to them.
PAGES, PROGRAM, GREEDY, BROKEN = "clic-check-pages", "clic-check-program", "clic-check-greedy", "clic-check-broken"
ALL = (PAGES, PROGRAM, GREEDY, BROKEN)
UNITS = {PROGRAM: f"{PROGRAM}.service", BROKEN: f"{BROKEN}.service"}
PORT = 8971
TEXT = "a page of the boot test"


def definition(name: str, more: str) -> str:
    title = f'title = {{ fr = "{name}", en = "{name}" }}'
    return f'schema = 1\nstate = "dormant"\npath = "/{name}"\n{title}\n{more}'


FILES = {
    f"{DEFINITIONS}/{PAGES}.toml": definition(PAGES, f'kind = "static"\n[nginx]\nroot = "/srv/{PAGES}"\n'),
    f"/srv/{PAGES}/index.html": f"<!doctype html><title>x</title>{TEXT}\n",
    f"{DEFINITIONS}/{PROGRAM}.toml": definition(
        PROGRAM, f'kind = "debian"\nunits = ["{UNITS[PROGRAM]}"]\nram = 1048576\n[nginx]\nport = {PORT}\n'),
    f"/srv/{PROGRAM}/{PROGRAM}/index.html": f"<!doctype html><title>x</title>{TEXT}\n",
    f"/etc/systemd/system/{UNITS[PROGRAM]}":
        f"[Service]\nExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/{PROGRAM} {PORT}\n"
        "DynamicUser=yes\n[Install]\nWantedBy=multi-user.target\n",
    f"{DEFINITIONS}/{GREEDY}.toml": definition(GREEDY, f'kind = "debian"\ndisk = {1 << 50}\nram = {1 << 50}\n'),
    f"{DEFINITIONS}/{BROKEN}.toml": definition(BROKEN, f'kind = "debian"\nunits = ["{UNITS[BROKEN]}"]\n'),
    f"/etc/systemd/system/{UNITS[BROKEN]}":
        "[Service]\nExecStart=/usr/bin/false\nRestart=no\n[Install]\nWantedBy=multi-user.target\n",
}


def service(*words: str) -> tuple[int, dict[str, Any]]:
    """clic-service's exit code and JSON."""
    done = subprocess.run(["clic-service", *words, "--json"], capture_output=True, text=True, timeout=300)
    expect(done.stdout, f"clic-service {' '.join(words)} said nothing: {done.stderr}")
    return done.returncode, json.loads(done.stdout)


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=120).stdout.strip()


def page(path: str) -> tuple[int, str]:
    """Status and text of a page of the portal, as a guest's browser gets it."""
    request = urllib.request.Request(f"http://127.0.0.1{path}", headers={"Host": "clic.local"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def tiles() -> list[str]:
    return [tile["name"] for tile in json.loads(page("/services.json")[1])["services"]]


def clean() -> None:
    for name in ALL:
        subprocess.run(["clic-service", "disable", name], capture_output=True, timeout=300)
    for path in FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    for name in ALL:
        shutil.rmtree(f"/srv/{name}", ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        with open(f"{STATE}/state.json", encoding="utf-8") as file:
            state = json.load(file)
        state["services"] = {name: entry for name, entry in state["services"].items() if name not in ALL}
        with open(f"{STATE}/state.json", "w", encoding="utf-8") as file:
            json.dump(state, file)
    systemctl("daemon-reload")
    systemctl("reset-failed")


@contextlib.contextmanager
def fixture() -> Iterator[None]:
    clean()
    try:
        for path, text in FILES.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o644)
        systemctl("daemon-reload")
        yield
    finally:
        clean()


def switches() -> None:
    """Services are switched on and off: pages, and a program behind nginx."""
    with fixture():
        for name in (PAGES, PROGRAM):
            expect(page(f"/{name}/")[0] == 404 and name not in tiles(), f"{name} is there before it is on")
            code, answer = service("enable", name)
            expect(code == 0 and answer["changed"], f"{name} was not switched on: {answer}")
            status, text = page(f"/{name}/")
            expect(status == 200 and TEXT in text, f"/{name}/ answers {status}")
            expect(name in tiles(), f"{name} has no tile")
            code, answer = service("enable", name)
            expect(code == 0 and not answer["changed"], f"a second time is not taken: {answer}")
        expect(systemctl("is-enabled", UNITS[PROGRAM]) == "enabled", "it would not start at the next boot")
        for name in (PAGES, PROGRAM):
            code, answer = service("disable", name)
            expect(code == 0 and answer["changed"], f"{name} was not switched off: {answer}")
            expect(page(f"/{name}/")[0] == 404 and name not in tiles(), f"{name} is there after it was switched off")
        expect(systemctl("is-active", UNITS[PROGRAM]) == "inactive", "it runs on")
    print("switched on and off: pages, and a program")


def refuses() -> None:
    """What there is no room for is refused in numbers, and what does not come up is undone."""
    with fixture():
        code, answer = service("enable", GREEDY)
        found = {problem["code"]: problem for problem in answer["problems"]}
        expect(code == 1 and set(found) == {"disk-full", "memory-short"}, f"not refused: {answer}")
        expect(found["disk-full"]["needed"] > found["disk-full"]["there"] > 0, f"no numbers: {found}")
        code, answer = service("enable", BROKEN)
        expect(code == 1 and not answer["changed"] and answer["state"] == "dormant", f"not undone: {answer}")
        expect(systemctl("is-enabled", UNITS[BROKEN]) == "disabled", "a unit that failed is enabled")
        expect(not os.path.exists(f"{STATE}/journal.json"), "the change has not ended")
    print("refused, and undone")


def recovers() -> None:
    """Killed in the middle, it is ended by the unit that runs at the next boot."""
    with fixture():
        process = subprocess.Popen(["python3", "-IB", "-m", "clic.services", "enable", PROGRAM])
        end = time.monotonic() + 60
        while not os.path.exists(f"{STATE}/journal.json") and process.poll() is None:
            expect(time.monotonic() < end, "it does not begin")
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        expect(os.path.exists(f"{STATE}/journal.json"), "it had ended already")
        systemctl("start", "clic-service-recover.service")
        expect(systemctl("show", "--property=Result", "--value", "clic-service-recover.service") == "success", "it failed")
        expect(not os.path.exists(f"{STATE}/journal.json"), "the change has not ended")
        status, text = page(f"/{PROGRAM}/")
        expect(status == 200 and TEXT in text and PROGRAM in tiles(), f"/{PROGRAM}/ answers {status}")
    print("ended by clic-service-recover.service")


def carried() -> None:
    """What this image carries, used by a guest of the hotspot: what is on, and what is dormant, switched on for that."""
    clean()
    hotspot.radios()
    hotspot.join()
    used = []
    for found in service("list")[1]["services"]:
        name, dormant = found["name"], found["state"] == "dormant"
        url = found["url"] if "://" in found["url"] else hotspot.HOME.rstrip("/") + found["url"]
        if dormant:
            code, answer = service("enable", name)
            expect(code == 0 and answer["changed"], f"{name} was not switched on: {answer}")
        try:
            answer = hotspot.guest(hotspot.GUESTS[0], "get", url)
            expect(answer["status"] == 200, f"a guest gets {answer['status']} at {url}: {answer['body'][:200]}")
        finally:
            if dormant:
                code, answer = service("disable", name)
        expect(not dormant or code == 0, f"{name} was not switched off: {answer}")
        used.append(f"{url} ({'dormant' if dormant else 'on'})")
    print(f"used by a guest: {', '.join(used) or 'this image carries none'}")


if __name__ == "__main__":
    main(by_name(switches, refuses, recovers, carried))
