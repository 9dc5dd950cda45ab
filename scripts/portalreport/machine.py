"""The box itself: a copy of an image in QEMU, as an ordinary user. The machine is the one of clic's own boot tests
(builder/vm/src/qemu.rs), a PC with BIOS, with one port open to this machine alone."""

import http.client
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from .common import Failed, say

PROGRAM = "qemu-system-x86_64"
# Bytes that the copy is larger than the image, as a card is; a hole.
GROWTH = 2 << 30
# Seconds until port 80 answers, for a machine that is emulated on a busy one.
BOOT = 600


class Machine:
    def __init__(self, image: Path, host: str) -> None:
        self.image, self.host = image, host
        self.directory = tempfile.TemporaryDirectory(prefix="clic-portal-", dir="/var/tmp", ignore_cleanup_errors=True)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._wait(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> subprocess.Popen[bytes]:
        work = Path(self.directory.name)
        disk = work / "disk.img"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", "--no-preserve=mode", self.image, disk], check=True)
        os.truncate(disk, disk.stat().st_size + GROWTH)
        self.port = free_port()
        accel = ["-accel", "kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else []
        argv = [
            PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-name", "portal-report", "-machine", "q35",
            *accel, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-vga", "std",
            "-drive", "file=disk.img,format=raw,if=none,id=disk,cache=unsafe",
            "-device", "ide-hd,drive=disk,bus=ide.0,bootindex=0", "-boot", "strict=on",
            "-serial", "file:console.log",
            # `restrict`: the box reaches nothing, whatever it asks for.
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:80",
            "-device", "e1000,netdev=net,romfile=",
        ]
        say(f"booting a copy of {self.image}")
        with (work / "qemu.log").open("wb") as log:
            process = subprocess.Popen(argv, cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        self.process = process
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < BOOT:
            if process.poll() is not None:
                raise Failed(f"QEMU ended with {process.returncode}: {self._tail('qemu.log')}")
            if answers(self.port, self.host):
                say(f"it answers after {time.monotonic() - begun:.0f} s")
                return
            time.sleep(2)
        raise Failed(f"port 80 did not answer within {BOOT} seconds; the console's last words:\n{self._tail('console.log')}")

    def _tail(self, name: str) -> str:
        path = Path(self.directory.name) / name
        return "\n".join(path.read_text(errors="replace").splitlines()[-10:]) if path.exists() else ""

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.directory.cleanup()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, host: str) -> bool:
    """Whether the box serves its status: the last thing to be there, a moment after its pages."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        for path in ("/status.json", "/captive/state", "/"):
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                return False
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
