"""What is remembered on the device, in /var/lib/clic/services.

`state.json`: what was switched on or off here. `journal.json`: the change that is under way; there only until it has ended.
`portal.json`: what is on, for the portal. Readers see old or new, never half (disk.write).
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from clic import disk
from clic.disk import Root
from clic.services.definitions import Service

STATE = "/var/lib/clic/services"
LOCK = "/run/clic-service.lock"


class Store:
    def __init__(self, root: Root, services: dict[str, Service]) -> None:
        self.root = root
        self.services = services

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self.root.read(f"{STATE}/{name}"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, name: str, value: object) -> None:
        disk.make_directory(self.root.at(STATE))
        disk.write(self.root.at(f"{STATE}/{name}"), json.dumps(value, ensure_ascii=False).encode() + b"\n", 0o644)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One change at a time. The kernel lets go of it when the program ends, however it ends."""
        os.makedirs(os.path.dirname(self.root.at(LOCK)), exist_ok=True)
        with open(self.root.at(LOCK), "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def state(self, service: Service) -> str:
        """`enabled` or `dormant`: as it was switched here, else as it came."""
        changed = (self._read("state.json") or {}).get("services", {})
        found = changed.get(service.name, {}).get("state")
        return found if found in ("enabled", "dormant") else service.state

    def enabled(self) -> list[Service]:
        return [service for service in self.services.values() if self.state(service) == "enabled"]

    def note(self, service: Service, state: str) -> None:
        """Remembers a service's state, and tells the portal."""
        if self.state(service) != state:
            changed = (self._read("state.json") or {}).get("services", {})
            changed[service.name] = {"state": state, "since": int(time.time())}
            self._write("state.json", {"schema": 1, "services": changed})
        self.tell_portal()

    def tell_portal(self) -> None:
        tiles = [{
            "name": service.name, "kind": service.kind, "category": service.category, "title": service.title,
            "description": service.description, "url": service.link,
        } for service in self.enabled()]
        report = {"schema": 1, "services": tiles}
        if self._read("portal.json") != report:
            self._write("portal.json", report)

    # -- a change that is under way

    def journal(self) -> dict[str, Any] | None:
        """The change that has not ended, or None."""
        found = self._read("journal.json")
        return found if found and found.get("service") in self.services else None

    def write_journal(self, journal: dict[str, Any]) -> None:
        self._write("journal.json", {"schema": 1, **journal})

    def forget_journal(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.root.at(f"{STATE}/journal.json"))
        disk.sync_directory(self.root.at(STATE))
