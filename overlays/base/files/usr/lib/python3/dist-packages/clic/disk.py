"""Files that are whole after a power cut: the old ones or the new ones, never half of one.

Every change of the disk that first boot makes is made here, so that tests can cut the power at each of them.
"""

import contextlib
import glob
import os
import shutil

# Of a file: uid and gid, or None to leave it to whoever writes.
Owner = tuple[int, int] | None

# Links that a path may lead through (path_resolution(7) allows 40).
MOST_LINKS = 40


class Root:
    """The tree that is worked on: `/`, or a directory that stands for it."""

    def __init__(self, path: str = "/") -> None:
        self.path = os.path.abspath(path)

    def at(self, path: str) -> str:
        """Where a path of the tree lies."""
        return os.path.join(self.path, path.lstrip("/"))

    def real(self, path: str) -> str:
        """A path of the tree without links, as a program sees it that has this tree for its root."""
        done, todo, links = "/", path.split("/"), 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                done = os.path.dirname(done)
                continue
            here = os.path.join(done, part)
            if not os.path.islink(self.at(here)):
                done = here
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(f"{path}: too many links")
            target = os.readlink(self.at(here))
            if target.startswith("/"):
                done = "/"
            todo = target.split("/") + todo
        return done

    def exists(self, path: str) -> bool:
        return os.path.exists(self.at(self.real(path)))

    def glob(self, pattern: str) -> list[str]:
        """Paths of the tree that match, in order. A pattern without * or ? is a path, whether it is there or not."""
        if not glob.has_magic(pattern):
            return [pattern]
        return sorted(f"/{found}" for found in glob.glob(pattern.lstrip("/"), root_dir=self.path))

    def read(self, path: str) -> bytes:
        with open(self.at(self.real(path)), "rb") as file:
            return file.read()


def sync_directory(path: str) -> None:
    """Makes names on the disk what they are in memory: without this, a new name can be gone after a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    """For files that another program wrote."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str, mode: int = 0o755) -> None:
    """Makes a directory with its parents, if it is not there."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_directory(parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    # Not mkdir's own mode, which depends on the umask.
    os.chmod(path, mode)
    sync_directory(parent)


def write(path: str, data: bytes, mode: int = 0o600, owner: Owner = None) -> None:
    """Writes a file whole: under a temporary name, to the disk, then under its own name."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.clic-new")
    # What a power cut left. O_EXCL below: nobody puts a link there in between.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        # A full disk is not to be filled by what failed.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(directory)


def remove_tree(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
        sync_directory(os.path.dirname(path))
