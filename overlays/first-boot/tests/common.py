"""The overlay's programs, as the tests import them, and devices made of directories to try them on."""

import contextlib
import io
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "files")
PROGRAMS = os.path.join(FILES, "usr/lib/clic/first-boot")
MAIN = os.path.join(PROGRAMS, "main.py")
sys.path.insert(0, PROGRAMS)

import disk  # noqa: E402
import runner  # noqa: E402

# An ordinary user's PATH leaves out where Debian puts servers.
os.environ["PATH"] += ":/usr/sbin:/sbin"


class Device:
    """A directory that stands for a device's root."""

    def __init__(self, **steps):
        self.path = tempfile.mkdtemp(prefix="clic-test-")
        self.root = disk.Root(self.path)
        self.write("/etc/hostname", "box\n")
        os.makedirs(self.root.at("/usr/lib/clic/first-boot.d"))
        for name, text in steps.items():
            self.step(name.strip("_").replace("_", "-"), text)

    def step(self, name, text):
        self.write(f"/usr/lib/clic/first-boot.d/{name}.toml", f'schema = 1\ntitle = "{name}"\n{text}')

    def write(self, path, data):
        place = self.root.at(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())

    def read(self, path):
        return self.root.read(path).decode()

    def mode(self, path):
        return os.stat(self.root.at(path)).st_mode & 0o7777

    def run(self):
        """All steps; whether everything is done, and what was said."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            done = runner.run_all(self.root)
        return done, said.getvalue()

    def names_below(self, path="/"):
        return [os.path.join(directory, name)
                for directory, below, files in os.walk(self.root.at(path)) for name in below + files]

    def remove(self):
        shutil.rmtree(self.path)


@contextlib.contextmanager
def device(**steps):
    made = Device(**steps)
    try:
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def programs(**texts):
    """Fake programs, as shell scripts, found before the real ones."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in texts.items():
            path = os.path.join(directory, name.replace("_", "-"))
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n# A fake {name} for a test.\n{text}\n")
            os.chmod(path, 0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{directory}:{before}"
        try:
            yield directory
        finally:
            os.environ["PATH"] = before


def needed(program):
    """A missing program fails a test: one that is left out proves nothing."""
    found = shutil.which(program)
    if not found:
        raise AssertionError(f"{program} is not installed: apt-get install {program}")
    return found
