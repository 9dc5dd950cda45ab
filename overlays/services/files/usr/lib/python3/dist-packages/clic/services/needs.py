"""What a service needs before it is switched on, looked at before anything is changed, and said in numbers."""

import os
from typing import Any

from clic.disk import Root
from clic.services import machine
from clic.services.definitions import Service
from clic.services.store import Store
from clic.services.words import say, size, text

# Left on the disk and in memory for everything else: logs, and the moment in which two programs start at once. Bytes.
DISK_RESERVE = 64 << 20
MEMORY_RESERVE = 32 << 20


# One reason: `code` for programs, `text` for people, and its numbers.
Problem = dict[str, Any]


def problem(code: str, **more: Any) -> Problem:
    numbers: Problem = {key: more[key] for key in ("needed", "there") if key in more}
    shown = more | {key: size(value) for key, value in numbers.items()}
    return {"code": code, "text": say(code, **shown), **numbers}


def free_disk(root: Root) -> int:
    """Bytes that an ordinary program can still write."""
    info = os.statvfs(root.at("/var/lib"))
    # A file system can be out of names while it has room.
    return info.f_bavail * info.f_frsize if info.f_favail or not info.f_files else 0


def free_memory(root: Root) -> int:
    """Bytes that programs can still get without swapping, as the kernel estimates it (proc_meminfo(5))."""
    for line in root.read("/proc/meminfo").decode().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 0


def to_enable(store: Store, service: Service) -> list[Problem]:
    """Why it can't be switched on: a list, empty if it can."""
    root, found = store.root, []
    there, needed = free_disk(root), service.disk + DISK_RESERVE
    if there < needed:
        found.append(problem("disk-full", needed=needed, there=there))
    there, needed = free_memory(root), service.ram + MEMORY_RESERVE
    if service.ram and there < needed:
        on = [f"{other.name} ({size(other.ram)})" for other in store.enabled() if other.ram]
        code, more = ("memory-short-on", {"names": ", ".join(on)}) if on else ("memory-short", {})
        found.append(problem(code, needed=needed, there=there, **more) | {"code": "memory-short"})
    for package in machine.missing_packages(service.packages):
        found.append(problem("package-missing", package=package))
    for unit in machine.unit_states(service.units):
        if unit["load"] == "masked":
            found.append(problem("unit-masked", unit=unit["unit"]))
        elif unit["load"] != "loaded":
            found.append(problem("unit-missing", unit=unit["unit"]))
    return found + _yunohost(root, service) + _others(store, service)


def to_disable(store: Store, service: Service) -> list[Problem]:
    """Why it can't be switched off."""
    return [problem("needed-by", title=text(other.title), name=other.name)
            for other in store.enabled() if service.name in other.needs]


def _yunohost(root: Root, service: Service) -> list[Problem]:
    if not service.yunohost:
        return []
    if not root.exists("/etc/yunohost/installed"):
        return [problem("no-yunohost")]
    app, apps = service.yunohost["app"], "/etc/yunohost/apps"
    # The directory is for root alone; who may not look can't say that it is missing.
    hidden = root.exists(apps) and not os.access(root.at(apps), os.X_OK)
    return [] if hidden or root.exists(f"{apps}/{app}") else [problem("no-app", app=app)]


def _others(store: Store, service: Service) -> list[Problem]:
    found = []
    on = {other.name: other for other in store.enabled() if other.name != service.name}
    for name in service.needs:
        if name not in store.services:
            found.append(problem("needs-unknown", name=name))
        elif name not in on:
            found.append(problem("needs-service", title=text(store.services[name].title), name=name))
    for other in on.values():
        if other.name in service.conflicts or service.name in other.conflicts:
            found.append(problem("conflict", title=text(other.title), name=other.name))
        elif service.path and (other.domain, other.path) == (service.domain, service.path):
            where = f"{service.domain}{service.path}"
            found.append(problem("path-taken", path=where, title=text(other.title), name=other.name))
    return found
