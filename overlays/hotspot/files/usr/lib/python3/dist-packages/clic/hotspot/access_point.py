"""hostapd, from its start to its end."""

import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable

# A channel that works is up within a second or two; with a busy radio it has been seen to take ten.
START_SECONDS = 30


class AccessPoint:
    """A running hostapd. It writes what happens on its standard output."""

    def __init__(self, configuration: str, interface: str, control: str) -> None:
        self.interface = interface
        self.control = control
        self.enabled = False
        self.last = ""
        self.begun = time.monotonic()
        self._rest = b""
        self._process = subprocess.Popen(
            ["hostapd", configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        # There is one, as asked for above.
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    def fileno(self) -> int:
        return self._output.fileno()

    def wait(self, seconds: float) -> None:
        """Waits until it says something, and reads it."""
        select.select([self], [], [], seconds)
        self.read()

    def read(self) -> None:
        while True:
            try:
                data = os.read(self.fileno(), 4096)
            except BlockingIOError:
                return
            if not data:
                return
            # A line without an end is no reason to fill the memory.
            *lines, self._rest = (self._rest + data)[-65536:].split(b"\n")
            for line in lines:
                self._note(line.decode("utf-8", "replace").strip())

    def _note(self, line: str) -> None:
        if re.search(r"\bAP-ENABLED\b", line):
            self.enabled = True
        elif re.search(r"\bAP-DISABLED\b|\bINTERFACE-DISABLED\b", line):
            self.enabled = False
        elif line and not re.search(r"AP-STA-|CTRL-EVENT|interface state|: STA |hostapd_free_hapd_data", line):
            # Kept as the reason if it ends now.
            self.last = line[:200]
            print(f"hostapd: {line}", flush=True)

    def started(self, stop: Callable[[], bool]) -> bool:
        """Whether it comes up, waiting for it. `stop` says whether to give up."""
        while not self.enabled and not stop():
            if not self.alive() or time.monotonic() - self.begun > START_SECONDS:
                return False
            self.wait(0.5)
        return self.enabled

    def alive(self) -> bool:
        return self._process.poll() is None

    def clients(self) -> int | None:
        """How many stations are associated; `None` if it does not say."""
        match = re.search(r"^num_sta\[0\]=(\d+)$", self.ask("STATUS"), re.MULTILINE)
        return int(match.group(1)) if match else None

    def ask(self, command: str) -> str:
        """One command over the control socket. Empty when there is no answer within a second."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
            control.settimeout(1)
            try:
                # An empty name: the kernel gives one that nobody has (unix(7), autobind), for the answer to come to.
                control.bind("")
                control.connect(f"{self.control}/{self.interface}")
                control.send(command.encode())
                return control.recv(4096).decode("utf-8", "replace")
            except OSError:
                return ""

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.read()
        self._output.close()
