"""A disk whose power can be cut at any moment, as unkind as disks are allowed to be.

What was not synced may be lost, in any order: a file whose data was not, is half of it; a name in a directory that was not,
is the old one, or is not there.
"""

import os
import random
from unittest import mock

CHANGES = ("open", "replace", "rename", "fsync", "mkdir", "chmod", "fchmod", "fchown", "unlink", "rmdir", "symlink")


class Cut(BaseException):
    """The power is gone. No error that a program could handle."""


class Power:
    """Use as a context manager: the power goes before the change of the disk with this number."""

    def __init__(self, at, unkind=True):
        self.at = at
        self.unkind = unkind
        self.count = 0
        self._real = {name: getattr(os, name) for name in CHANGES}
        self._patches = []
        self._unsynced_files = {}
        self._unsynced_names = []

    def __enter__(self):
        for name in CHANGES:
            patch = mock.patch.object(os, name, self._watching(name))
            patch.start()
            self._patches.append(patch)
        return self

    def __exit__(self, kind, *_):
        for patch in self._patches:
            patch.stop()
        if kind is Cut and self.unkind:
            self._lose()
        return kind is Cut

    def _watching(self, name):
        real = self._real[name]

        def call(*words, **more):
            if name == "open" and not words[1] & os.O_CREAT:
                return real(*words, **more)
            self.count += 1
            if self.count == self.at:
                raise Cut
            if name in ("replace", "rename"):
                self._remember_name(words[1], words[0])
            result = real(*words, **more)
            if name == "open":
                self._unsynced_files[os.path.abspath(words[0])] = True
            if name == "fsync":
                self._synced(os.readlink(f"/proc/self/fd/{words[0]}"))
            return result

        return call

    def _remember_name(self, new, old):
        before = None
        if os.path.isfile(new):
            with open(new, "rb") as file:
                before = file.read()
        self._unsynced_names.append((os.path.abspath(new), before))
        # The data goes with the name.
        if self._unsynced_files.pop(os.path.abspath(old), None):
            self._unsynced_files[os.path.abspath(new)] = True

    def _synced(self, path):
        self._unsynced_files.pop(path, None)
        self._unsynced_names = [entry for entry in self._unsynced_names if os.path.dirname(entry[0]) != path]

    def _lose(self):
        for path in self._unsynced_files:
            if os.path.isfile(path) and random.random() < 0.5:
                os.truncate(path, os.path.getsize(path) // 2)
        kept = set()
        for path, before in reversed(self._unsynced_names):
            if path in kept or random.random() < 0.5:
                kept.add(path)
            elif before is None:
                if os.path.exists(path):
                    os.unlink(path)
            elif os.path.isdir(os.path.dirname(path)):
                with open(path, "wb") as file:
                    file.write(before)
