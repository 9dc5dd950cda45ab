"""What a service is made of on the device: units, permissions, and its place in nginx. Each can be done again, and undone."""

import json
import os
import subprocess
import time

from clic import disk
from clic.disk import Root
from clic.services.definitions import Service
from clic.services.words import say

SNIPPETS = "/etc/nginx/clic.d/services"
# YunoHost writes to LDAP and makes its single sign-on's settings anew each time.
YUNOHOST_SECONDS = 300
NGINX_SECONDS = 60
# More than a unit's own TimeoutStartSec is (90 s) where it says none.
SYSTEMCTL_SECONDS = 120
# What somebody may send a service that says nothing about uploads: a long text, which fits into memory.
LONGEST_TEXT = 65536
# A program that can't read its settings says so within this time, and ends.
SETTLE_SECONDS = 1


class Failed(Exception):
    """Why something could not be done, for whoever asked."""


class Interrupted(Failed):
    """Somebody stopped it."""


def run(*words: str, seconds: float = SYSTEMCTL_SECONDS) -> str:
    """Runs a program that must succeed."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=seconds,
                              stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
    except FileNotFoundError:
        raise Failed(say("no-program", program=words[0])) from None
    except subprocess.TimeoutExpired:
        raise Failed(say("too-slow", what=" ".join(words), seconds=seconds)) from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failed(f"{' '.join(words)}: {' | '.join(lines[-3:]) or done.returncode}")
    return done.stdout


def unit_states(units: list[str]) -> list[dict[str, str]]:
    """What systemd says of each: a dictionary with `unit`, `load`, `active` and `enabled`."""
    found = []
    for unit in units:
        values = _show(unit, "LoadState", "ActiveState", "UnitFileState")
        found.append({"unit": unit, "load": values.get("LoadState", "unknown"),
                      "active": values.get("ActiveState", "unknown"), "enabled": values.get("UnitFileState", "") or "unknown"})
    return found


def _show(unit: str, *properties: str) -> dict[str, str]:
    shown = subprocess.run(["systemctl", "show", f"--property={','.join(properties)}", unit],
                           capture_output=True, text=True, timeout=SYSTEMCTL_SECONDS).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def _settled(unit: str) -> bool:
    """Whether it has been active for a moment. systemd counts microseconds of the clock that time.monotonic reads."""
    since = _show(unit, "ActiveEnterTimestampMonotonic").get("ActiveEnterTimestampMonotonic", "")
    return not since.isdigit() or time.monotonic() - int(since) / 1e6 >= SETTLE_SECONDS


def missing_packages(packages: list[str]) -> list[str]:
    if not packages:
        return []
    told = subprocess.run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
                          capture_output=True, text=True, timeout=60).stdout
    installed = {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


# -- on


def switch_on(root: Root, service: Service) -> None:
    if service.units:
        run("systemctl", "enable", "--now", *service.units, seconds=SYSTEMCTL_SECONDS + service.start_seconds)
        _wait_until_up(service)
    for permission in service.permissions:
        run("yunohost", "user", "permission", "update", permission, "--show_tile", "True", seconds=YUNOHOST_SECONDS)
        missing = _groups(service, permission, have=False)
        if missing:
            run("yunohost", "user", "permission", "add", permission, *missing, seconds=YUNOHOST_SECONDS)
    if service.nginx:
        place(root, service)
        # Whether it changed or not: whoever wrote it may have been ended before nginx was told.
        reload_nginx()


def _wait_until_up(service: Service) -> None:
    """A program can start, and end again a moment later. Until all are active, and a port answers where there is one."""
    end = time.monotonic() + service.start_seconds
    while True:
        states = unit_states(service.units)
        down = [unit["unit"] for unit in states if unit["active"] != "active"]
        failed = [unit["unit"] for unit in states if unit["active"] == "failed"]
        silent = service.nginx.get("port", 0) if not down else 0
        if failed:
            raise Failed(say("unit-failed", unit=failed[0]))
        if not down and all(map(_settled, service.units)) and (not silent or _answers(silent)):
            return
        if time.monotonic() > end:
            raise Failed(say("port-silent", port=silent, seconds=service.start_seconds) if silent and not down else
                         say("unit-down", unit=(down or service.units)[0], seconds=service.start_seconds))
        time.sleep(0.5)


def _answers(port: int) -> bool:
    # ss of iproute2, rather than a connection: programs take one without a request for an attack.
    listening = subprocess.run(["ss", "--no-header", "--listening", "--tcp", "--numeric", f"sport = :{port}"],
                               capture_output=True, text=True, timeout=10).stdout
    return bool(listening.strip())


# -- off


def switch_off(root: Root, service: Service) -> None:
    """In the other order: nobody is led to something that is gone."""
    if service.nginx:
        unplace(root, service)
        reload_nginx()
    for permission in service.permissions:
        run("yunohost", "user", "permission", "update", permission, "--show_tile", "False", seconds=YUNOHOST_SECONDS)
        there = _groups(service, permission, have=True)
        if there:
            run("yunohost", "user", "permission", "remove", permission, *there, seconds=YUNOHOST_SECONDS)
    if service.units:
        run("systemctl", "disable", "--now", *service.units)


def _groups(service: Service, permission: str, have: bool) -> list[str]:
    """Groups of the service that have the permission already, or that do not."""
    told = run("yunohost", "user", "permission", "info", permission, "--json", seconds=YUNOHOST_SECONDS)
    try:
        allowed = json.loads(told)["allowed"]
    except (ValueError, KeyError, TypeError):
        raise Failed(say("not-understood", program="yunohost user permission info", what=permission)) from None
    return [group for group in service.yunohost["groups"] if (group in allowed) == have]


# -- nginx


def snippet(service: Service) -> str:
    """Its part of the portal's server."""
    path, nginx = service.path, service.nginx
    if nginx["text"]:
        body = nginx["text"].rstrip() + "\n"
    elif nginx["port"]:
        body = (f"location {path}/ {{\n    proxy_pass http://127.0.0.1:{nginx['port']};\n    proxy_http_version 1.1;\n"
                "    proxy_set_header Host $http_host;\n    proxy_set_header X-Real-IP $remote_addr;\n"
                "    # For pages that keep a connection open (WebSocket).\n"
                "    proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection $http_connection;\n"
                f"    proxy_read_timeout 300s;\n{_limits(nginx['uploads'])}"
                "    include snippets/clic-headers-of-others.conf;\n}\n")
    else:
        body = (f"location {path}/ {{\n    alias {nginx['root']}/;\n    index index.html;\n"
                f"    disable_symlinks on from={nginx['root']};\n"
                "    include snippets/clic-headers-of-others.conf;\n    add_header Cache-Control no-cache always;\n}\n")
    if not nginx["text"]:
        body += f"location = {path} {{\n    return 301 {path}/;\n}}\n"
    return f"# Written by clic-service while {service.name} is on.\n{body}"


def _limits(uploads: int) -> str:
    """How much somebody may send. Nothing of it is written to the card on its way: that is the service's to do, or not."""
    if uploads <= LONGEST_TEXT:
        return f"    client_max_body_size {LONGEST_TEXT};\n    client_body_buffer_size {LONGEST_TEXT};\n"
    return f"    client_max_body_size {uploads};\n    proxy_request_buffering off;\n"


def place(root: Root, service: Service) -> None:
    """Writes its part, if it is not there already."""
    path, text = root.at(f"{SNIPPETS}/{service.name}.conf"), snippet(service).encode()
    try:
        with open(path, "rb") as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    disk.make_directory(os.path.dirname(path))
    disk.write(path, text, 0o644)


def unplace(root: Root, service: Service) -> None:
    path = root.at(f"{SNIPPETS}/{service.name}.conf")
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    disk.sync_directory(os.path.dirname(path))


def reload_nginx() -> None:
    run("nginx", "-t", seconds=NGINX_SECONDS)
    before = _workers()
    # Only if it runs: else it reads everything when it starts.
    run("systemctl", "try-reload-or-restart", "nginx.service", seconds=NGINX_SECONDS)
    # It is told, and reads for a while: so long people get the old answers.
    end = time.monotonic() + NGINX_SECONDS
    while before & _workers():
        if time.monotonic() > end:
            raise Failed(say("too-slow", what="nginx", seconds=NGINX_SECONDS))
        time.sleep(0.1)


def _workers(proc: str = "/proc") -> set[str]:
    """nginx's processes that take requests. One that ends its last ones says so in its title."""
    main = _show("nginx.service", "MainPID").get("MainPID", "0")
    try:
        with open(f"{proc}/{main}/task/{main}/children", encoding="ascii") as file:
            children = file.read().split()
    except FileNotFoundError:
        return set()
    found = set()
    for child in children:
        try:
            with open(f"{proc}/{child}/cmdline", "rb") as file:
                title = file.read().rstrip(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if title == b"nginx: worker process":
            found.add(child)
    return found
