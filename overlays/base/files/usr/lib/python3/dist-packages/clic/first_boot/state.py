"""What first boot remembers in /var/lib/clic/first-boot, and what it says of itself.

`image.json`: hashes of secrets as they were before the first step, so that a secret which every device has in common is
noticed. `steps/STEP.json`: how the step ended. `done`: the names of all steps' files, once nothing is left to do.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from clic import disk
from clic.disk import Root
from clic.first_boot import steps
from clic.first_boot.steps import Step
from clic.first_boot.work import STATE

IMAGE = f"{STATE}/image.json"
DONE = f"{STATE}/done"
# Somebody has set up the box: written by the setup, read by nginx (snippets/clic-setup.conf).
SET_UP = "/var/lib/clic/set-up"
LOCKS = "/run/clic-first-boot"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_hash(root: Root, path: str) -> str | None:
    """Hash of a file, or None where there is none."""
    try:
        return sha256(root.read(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


@contextlib.contextmanager
def lock(root: Root, name: str, wait: bool = True) -> Iterator[bool]:
    """Whoever holds it works on this step. Yields whether it was got; the kernel lets go when the program ends."""
    os.makedirs(root.at(LOCKS), 0o700, exist_ok=True)
    with open(root.at(f"{LOCKS}/{name}"), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _read(root: Root, path: str) -> Any:
    try:
        return json.loads(root.read(path))
    except (FileNotFoundError, ValueError):
        return None


def _write(root: Root, path: str, value: object) -> None:
    disk.make_directory(os.path.dirname(root.at(path)), 0o700)
    disk.write(root.at(path), json.dumps(value, indent=1).encode() + b"\n")


def take_inventory(root: Root) -> None:
    """Notes what the image has in place of secrets. Once, before any step has changed one."""
    with lock(root, "image"):
        if os.path.exists(root.at(IMAGE)):
            return
        found, _ = steps.load_all(root)
        paths = [path for step in found for path in step.secret_paths(root)]
        _write(root, IMAGE, {path: file_hash(root, path) for path in paths})


def image_hashes(root: Root) -> dict[str, str | None]:
    return _read(root, IMAGE) or {}


def result(root: Root, name: str) -> dict[str, Any]:
    """How a step ended: `state` is `done` or `failed`. Without a result, it has not ended yet."""
    found = _read(root, f"{STATE}/steps/{name}.json")
    return found if isinstance(found, dict) and found.get("state") in ("done", "failed") else {"state": "waiting"}


def is_done(root: Root, name: str) -> bool:
    return bool(result(root, name)["state"] == "done")


def note(root: Root, name: str, state: str, **more: object) -> None:
    _write(root, f"{STATE}/steps/{name}.json", {"state": state, "at": int(time.time()), **more})


def all_done(root: Root) -> bool:
    """Whether nothing is left to do, for the steps that there are now."""
    try:
        noted = root.read(DONE).decode().split()
    except FileNotFoundError:
        return False
    return noted == [f"{name}.toml" for name in steps.names(root)]


def note_all_done(root: Root) -> None:
    """What generators compare with `ls` of the steps' directory."""
    names = "".join(f"{name}.toml\n" for name in steps.names(root))
    disk.write(root.at(DONE), names.encode(), 0o644)


def status(root: Root) -> dict[str, Any]:
    """What `clic-first-boot status --json` says."""
    found, wrong = steps.load_all(root)
    report = []
    for step in found:
        entry = {"name": step.name, "title": step.title, "state": "not-needed"}
        if step.applies(root):
            ended = result(root, step.name)
            entry |= {key: value for key, value in ended.items() if key in ("state", "why", "at", "seconds")}
            if ended["state"] != "done":
                with lock(root, step.name, wait=False) as free:
                    entry["state"] = entry["state"] if free else "running"
        report.append(entry)
    report += [{"name": name, "title": "", "state": "failed", "why": why} for name, why in wrong.items()]
    states = {entry["state"] for entry in report}
    overall = "done" if all_done(root) else next((s for s in ("running", "failed") if s in states), "waiting")
    return {"state": overall, "set_up": os.path.exists(root.at(SET_UP)), "steps": sorted(report, key=lambda e: e["name"])}


def secrets(root: Root) -> list[dict[str, Any]]:
    """What `clic-first-boot secrets --json` says: every declared secret of this device, without telling it.

    `state` is `own`, `image` (as the image had it), `missing`, or `waiting` for a value whose step is not done.
    """
    image = image_hashes(root)
    report: list[dict[str, Any]] = []

    def add(step: Step, name: str, value: str | None, state: str) -> None:
        report.append({"step": step.name, "secret": name, "sha256": value, "state": state, "as_image": state == "image"})

    for step in steps.load_all(root)[0]:
        if not step.applies(root):
            continue
        for path in step.secret_paths(root):
            value = file_hash(root, path)
            # Before the first step, what is there is the image's.
            as_image = value == image.get(path) if image else True
            add(step, path, value, "missing" if value is None else "image" if as_image else "own")
        for pattern in step.never_in_image:
            for path in root.glob(pattern):
                value = file_hash(root, path)
                # Others make it, or not.
                if value not in (None, sha256(b"")):
                    add(step, path, value, "own")
        known = result(root, step.name).get("values", {})
        for replace in step.tables["replace"]:
            value = known.get(replace["value"])
            add(step, f"value:{replace['value']}", value, "own" if value else "waiting")
    return report
