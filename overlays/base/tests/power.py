"""A disk whose power can be cut at any moment, as unkind as disks are allowed to be.

What was not synced may be lost, in any order: a file whose data was not, is half of it; a name in a directory that was not,
is the old one, or is not there.
"""

import os
import random
from collections.abc import Callable
from typing import Any, Self
from unittest import mock

CHANGES = ("open", "replace", "rename", "fsync", "mkdir", "chmod", "fchmod", "fchown", "unlink", "rmdir", "symlink")


class Cut(BaseException):
    """The power is gone. No error that a program could handle."""


class Power:
    """Use as a context manager: the power goes before the change of the disk with this number."""

    def __init__(self, at: int, unkind: bool = True) -> None:
        self.at = at
        self.unkind = unkind
        self.count = 0
        self._real = {name: getattr(os, name) for name in CHANGES}
        self._patches: list[Any] = []
        self._unsynced_files: set[str] = set()
        # In order, with what each was before: its data, or None where there was none.
        self._unsynced_names: list[tuple[str, bytes | None]] = []

    def __enter__(self) -> Self:
        for name in CHANGES:
            patch = mock.patch.object(os, name, self._watching(name))
            patch.start()
            self._patches.append(patch)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for patch in self._patches:
            patch.stop()
        if kind is Cut and self.unkind:
            self._lose()
        return kind is Cut

    def _watching(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*words: Any, **more: Any) -> Any:
            if name == "open" and not words[1] & os.O_CREAT:
                return real(*words, **more)
            self.count += 1
            if self.count == self.at:
                raise Cut
            if name in ("replace", "rename"):
                self._remember_name(words[1], words[0])
            result = real(*words, **more)
            if name == "open":
                self._unsynced_files.add(os.path.abspath(words[0]))
            if name == "fsync":
                self._synced(os.readlink(f"/proc/self/fd/{words[0]}"))
            return result

        return call

    def _remember_name(self, new: str, old: str) -> None:
        before = None
        if os.path.isfile(new):
            with open(new, "rb") as file:
                before = file.read()
        self._unsynced_names.append((os.path.abspath(new), before))
        # The data goes with the name.
        if os.path.abspath(old) in self._unsynced_files:
            self._unsynced_files.remove(os.path.abspath(old))
            self._unsynced_files.add(os.path.abspath(new))

    def _synced(self, path: str) -> None:
        self._unsynced_files.discard(path)
        self._unsynced_names = [entry for entry in self._unsynced_names if os.path.dirname(entry[0]) != path]

    def _lose(self) -> None:
        for path in self._unsynced_files:
            if os.path.isfile(path) and random.random() < 0.5:
                os.truncate(path, os.path.getsize(path) // 2)
        kept: set[str] = set()
        for path, before in reversed(self._unsynced_names):
            if path in kept or random.random() < 0.5:
                kept.add(path)
            elif before is None:
                if os.path.exists(path):
                    os.unlink(path)
            elif os.path.isdir(os.path.dirname(path)):
                with open(path, "wb") as file:
                    file.write(before)
