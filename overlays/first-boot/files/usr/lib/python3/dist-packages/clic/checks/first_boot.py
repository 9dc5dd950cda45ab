"""What a boot test asks of first boot on the real device: with a step and a service of its own, which it removes again.

Each command can be repeated, says what it saw, and exits with 1 when something was wrong.
"""

import contextlib
import json
import os
import shutil
import subprocess
from typing import Any

from clic.checks.command import by_name, expect, main

STEP = "99-check"
STEP_FILE = f"/usr/lib/clic/first-boot.d/{STEP}.toml"
UNIT = "clic-check-first-boot.service"
UNIT_FILE = f"/run/systemd/system/{UNIT}"
STATE = "/var/lib/clic/first-boot"
SECRET = "/run/clic-check-secret"

# Fails as long as this is not there.
OPENED = "/run/clic-check-opened"

STEP_TEXT = f"""schema = 1
title = "a step of the boot test"
before = ["{UNIT}"]
secrets = ["{SECRET}"]

[[apply]]
run = ["sh", "-c", "test -e {OPENED} && od -An -N16 -tx1 /dev/urandom > {SECRET}"]
"""
UNIT_TEXT = f"""[Unit]
Description=A service of the boot test

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/test -s {SECRET}
"""


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=120)


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def clean() -> None:
    systemctl("stop", UNIT, f"clic-first-boot@{STEP}.service")
    for path in (STEP_FILE, UNIT_FILE, SECRET, OPENED, f"{STATE}/steps/{STEP}.json"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    shutil.rmtree(f"{STATE}/work/{STEP}", ignore_errors=True)
    systemctl("daemon-reload")
    systemctl("reset-failed")


def step() -> dict[str, Any]:
    """How a step stands, as the program tells it."""
    told = subprocess.run(["clic-first-boot", "status", "--json"], capture_output=True, timeout=60)
    return next(step for step in json.loads(told.stdout)["steps"] if step["name"] == STEP)


def waits() -> None:
    """A service does not start without its step, and does once the step has succeeded."""
    clean()
    try:
        write(STEP_FILE, STEP_TEXT)
        write(UNIT_FILE, UNIT_TEXT)
        systemctl("daemon-reload")
        started = systemctl("start", UNIT)
        expect(started.returncode != 0, f"{UNIT} started without its secret")
        expect(systemctl("is-active", UNIT).stdout.strip() == "inactive", f"{UNIT} is not down")
        expect(step()["state"] == "failed" and "exit code 1" in step()["why"], f"not told as failed: {step()}")
        write(OPENED, "")
        started = systemctl("start", UNIT)
        expect(started.returncode == 0, f"{UNIT} did not start: {started.stderr.strip()}")
        expect(step()["state"] == "done", f"not told as done: {step()}")
        # Once it is done, nothing is made again.
        with open(SECRET, "rb") as file:
            before = file.read()
        systemctl("restart", f"clic-first-boot@{STEP}.service")
        with open(SECRET, "rb") as file:
            expect(file.read() == before, "the secret was made a second time")
        print(f"{UNIT} waited for {STEP}")
    finally:
        clean()


if __name__ == "__main__":
    main(by_name(waits))
