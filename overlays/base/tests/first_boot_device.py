"""Devices made of directories, to try first boot on."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

from clic import disk
from clic.first_boot import runner

# The program, as tests start it: with their own PYTHONPATH, so without the isolation that it has on a device.
MAIN = (sys.executable, "-B", "-m", "clic.first_boot")


class Device:
    """A directory that stands for a device's root."""

    def __init__(self, **steps: str) -> None:
        self.path = tempfile.mkdtemp(prefix="clic-test-")
        self.root = disk.Root(self.path)
        self.write("/etc/hostname", "box\n")
        os.makedirs(self.root.at("/usr/lib/clic/first-boot.d"))
        for name, text in steps.items():
            self.step(name.strip("_").replace("_", "-"), text)

    def step(self, name: str, text: str) -> None:
        self.write(f"/usr/lib/clic/first-boot.d/{name}.toml", f'schema = 1\ntitle = "{name}"\n{text}')

    def write(self, path: str, data: str | bytes) -> None:
        place = self.root.at(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())

    def read(self, path: str) -> str:
        return self.root.read(path).decode()

    def mode(self, path: str) -> int:
        return os.stat(self.root.at(path)).st_mode & 0o7777

    def run(self) -> tuple[bool, str]:
        """All steps; whether everything is done, and what was said."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            done = runner.run_all(self.root)
        return done, said.getvalue()

    def names_below(self, path: str = "/") -> list[str]:
        return [os.path.join(directory, name)
                for directory, below, files in os.walk(self.root.at(path)) for name in below + files]

    def remove(self) -> None:
        shutil.rmtree(self.path)


@contextlib.contextmanager
def device(**steps: str) -> Iterator[Device]:
    made = Device(**steps)
    try:
        yield made
    finally:
        made.remove()
