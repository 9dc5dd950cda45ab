"""What a step makes, out of everybody's way until it is complete.

A step's work lies in /var/lib/clic/first-boot/work/STEP: `values/` and `tree/`, which has each file at its path. When all of
it is on the disk, `commit.json` is written, which lists the files. From then on the same files are put into place, however
often the power is cut: what a program may have seen already gets no second value.
"""

import grp
import json
import os
import pwd
import secrets
import signal
import string
import subprocess

from clic import disk
from clic.disk import Owner, Root
from clic.first_boot import certificate, steps
from clic.first_boot.steps import Step
from clic.schema import Table, Wrong

STATE = "/var/lib/clic/first-boot"
ALPHABETS = {"alnum": string.ascii_letters + string.digits, "hex": "0123456789abcdef"}
# A file with placeholders is settings, not a film.
LARGEST = 16 << 20
LAST_LINES = 5


class Failed(Exception):
    """Why a step did not succeed, for the journal."""


class Work:
    def __init__(self, root: Root, step: Step) -> None:
        self.root = root
        self.step = step
        self.path = root.at(f"{STATE}/work/{step.name}")
        self.tree = os.path.join(self.path, "tree")
        self.values_path = os.path.join(self.path, "values")
        self.commit_path = os.path.join(self.path, "commit.json")

    # -- until everything is made

    def committed(self) -> bool:
        return os.path.exists(self.commit_path)

    def prepare(self) -> None:
        """Makes everything and commits it. What was begun before is thrown away: nobody has seen it."""
        disk.remove_tree(self.path)
        for path in (self.tree, self.values_path):
            disk.make_directory(path, 0o700)
        self._make_values()
        for wanted in self.step.tables["certificate"]:
            self._make_certificate(wanted)
        for wanted in self.step.tables["command"]:
            self.run(wanted["run"])
        for wanted in self.step.tables["file"]:
            self._stage(wanted["path"], self._filled(wanted["text"]).encode(), wanted)
        for wanted in self.step.tables["replace"]:
            self._replace(wanted)
        self._commit()

    def _make_values(self) -> None:
        for wanted in self.step.tables["value"]:
            value = "".join(secrets.choice(ALPHABETS[wanted["alphabet"]]) for _ in range(wanted["length"]))
            disk.write(os.path.join(self.values_path, wanted["name"]), value.encode())

    def _make_certificate(self, wanted: Table) -> None:
        names = [self._filled(name) for name in wanted["names"]]
        key = certificate.make_key(wanted["algorithm"])
        made = certificate.self_signed(key, names, wanted["days"])
        self._stage(wanted["key"], key, wanted)
        self._stage(wanted["certificate"], made, {"mode": "0644", "owner": "root", "group": "root"})

    def _replace(self, wanted: Table) -> None:
        value, placeholder = self.values()[wanted["value"]].encode(), wanted["placeholder"].encode()
        found = False
        for path in (path for pattern in wanted["files"] for path in self.root.glob(pattern)):
            real = self.root.real(path)
            staged = os.path.join(self.tree, real.lstrip("/"))
            # Two placeholders can be in one file.
            source = staged if os.path.exists(staged) else self.root.at(real)
            try:
                info = os.stat(self.root.at(real))
                if info.st_size > LARGEST:
                    raise Failed(f"{path} has {info.st_size} bytes, too many for a file with placeholders")
                with open(source, "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                raise Failed(f"{path} is not there") from None
            if placeholder in data:
                found = True
                self._write_staged(real, data.replace(placeholder, value), info.st_mode & 0o7777,
                                   (info.st_uid, info.st_gid))
        if not found:
            raise Failed(f"the placeholder {wanted['placeholder']} is in none of {', '.join(wanted['files'])}")

    def _stage(self, path: str, data: bytes, wanted: Table) -> None:
        its_owner = owner(self.root, wanted["owner"], wanted["group"])
        self._write_staged(self.root.real(path), data, int(wanted["mode"], 8), its_owner)

    def _write_staged(self, path: str, data: bytes, mode: int, owner: Owner) -> None:
        staged = os.path.join(self.tree, path.lstrip("/"))
        disk.make_directory(os.path.dirname(staged), 0o700)
        disk.write(staged, data, mode, owner)

    def _commit(self) -> None:
        files = []
        for directory, below, names in os.walk(self.tree):
            below.sort()
            for name in sorted(names):
                path = os.path.join(directory, name)
                if os.path.islink(path) or not os.path.isfile(path):
                    raise Failed(f"/{os.path.relpath(path, self.tree)} is no ordinary file")
                disk.sync_file(path)
                info = os.stat(path)
                files.append({"path": f"/{os.path.relpath(path, self.tree)}", "mode": info.st_mode & 0o7777,
                              "uid": info.st_uid, "gid": info.st_gid})
            disk.sync_directory(directory)
        disk.write(self.commit_path, json.dumps({"files": files}).encode())

    # -- from then on

    def install(self) -> None:
        """Puts the files into place. Doing it again does no harm."""
        with open(self.commit_path, encoding="utf-8") as file:
            files = json.load(file)["files"]
        for entry in files:
            with open(os.path.join(self.tree, entry["path"].lstrip("/")), "rb") as file:
                data = file.read()
            place = self.root.at(self.root.real(entry["path"]))
            disk.make_directory(os.path.dirname(place))
            disk.write(place, data, entry["mode"], (entry["uid"], entry["gid"]))

    def apply(self) -> None:
        """Tells programs that hold a copy, such as a database. Repeated until the step is done."""
        for wanted in self.step.tables["apply"]:
            self.run(wanted["run"])
        if self.step.restart:
            # Only those that run already; --no-block, because they may be waiting for this step.
            self.run(["systemctl", "--no-block", "try-restart", *self.step.restart])

    def values(self) -> dict[str, str]:
        """The values by their names."""
        found = {}
        for wanted in self.step.tables["value"]:
            with open(os.path.join(self.values_path, wanted["name"]), encoding="ascii") as file:
                found[wanted["name"]] = file.read()
        return found

    def run(self, words: list[str]) -> None:
        """Runs a command of the step, which must end well and in time."""
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C.UTF-8", "HOME": "/root",
            "CLIC_ROOT": self.root.path, "CLIC_OUT": self.tree, "CLIC_VALUES": self.values_path,
        }
        what = " ".join(words[:3])
        try:
            process = subprocess.Popen(words, env=environment, cwd="/", stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise Failed(f"{what}: {error.strerror}") from None
        try:
            output, _ = process.communicate(timeout=self.step.timeout_seconds)
        except subprocess.TimeoutExpired:
            # With whatever it has started.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Failed(f"{what}: not ready after {self.step.timeout_seconds} s") from None
        if process.returncode != 0:
            raise Failed(f"{what}: exit code {process.returncode}{self._last_lines(output)}")

    def _last_lines(self, output: bytes) -> str:
        text = output.decode(errors="replace")
        # A program that complains may repeat what it was told, and the journal is kept.
        for value in self.values().values():
            text = text.replace(value, "***")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f": {' | '.join(lines[-LAST_LINES:])}" if lines else ""

    def _filled(self, text: str) -> str:
        """Text with @NAME@ replaced by the value of that name, or the host's name."""
        for name, value in {**self.values(), "hostname": hostname(self.root)}.items():
            text = text.replace(f"@{name}@", value)
        return text


def hostname(root: Root) -> str:
    try:
        return root.read("/etc/hostname").decode().strip() or "localhost"
    except FileNotFoundError:
        return "localhost"


def owner(root: Root, user: str, group: str) -> Owner:
    """uid and gid; None in a directory that stands for a device, whose people are not this machine's."""
    if root.path != "/":
        return None
    try:
        return pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Failed(f"there is no such user or group: {error.args[0]}") from None


def read_step(root: Root, name: str) -> Step:
    """A step, or why it can't be read as a failure of it."""
    try:
        return steps.load(root, name)
    except Wrong as error:
        raise Failed(str(error)) from None
