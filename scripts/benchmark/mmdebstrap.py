"""mmdebstrap, given exactly the packages of one of our builds, from a repository on the local disk."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .measure import AS_ROOT, Failed, Sample, remove, run, say
from .ours import Ours

BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = "/usr/bin/qemu-aarch64-static"
# ELF, 64 bit, little endian, executable or shared, AArch64: as Debian's qemu-user-static registers it. F: opened at
# once, so that it also works within a chroot.
REGISTRATION = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    f":{QEMU}:F"
)
# In namespaces of our own (a kernel from 6.7 on gives each user namespace its own table of interpreters).
REGISTER = f"""
mount -t binfmt_misc binfmt_misc {BINFMT} || exit 1
printf %s '{REGISTRATION}' >{BINFMT}/register || exit 1
# postfix's script fails where no network interface is up.
ip link set lo up || exit 1
exec "$@"
"""


class Mmdebstrap:
    def __init__(self, ours: Ours, work: Path) -> None:
        self.ours, self.work, self.log = ours, work, work / "mmdebstrap.log"

    def repository(self, board: str) -> Path:
        """A flat repository of a build's packages. mmdebstrap's apt reads it as another user: the files are copies
        that all may read, and they are in the page cache, as ours are."""
        where = self.work / f"repository-{board}"
        if where.exists():
            return where
        say(f"  {board}: a repository of the same packages for mmdebstrap")
        where.mkdir(mode=0o755)
        with open(where / "Packages", "w", encoding="utf-8") as index:
            for number, package in enumerate(self.ours.manifest(board)["packages"]):
                file = where / f"{number}.deb"
                shutil.copyfile(self.ours.deb(package), file)
                file.chmod(0o644)
                control = subprocess.run(
                    ["dpkg-deb", "--field", file], check=True, stdout=subprocess.PIPE, text=True
                ).stdout.rstrip("\n")
                index.write(f"{control}\nFilename: ./{file.name}\nSize: {package['size']}\nSHA256: {package['sha256']}\n\n")
        return where

    def tree(self, board: str, arch: str) -> Sample:
        """Makes a tree, as a tar file. Gives its cost; the tar is at `tar(board)`."""
        repository = self.repository(board)
        manifest = self.ours.manifest(board)
        tar = self.tar(board)
        names = ",".join(package["name"] for package in manifest["packages"])
        # Our packages are for a merged /usr, which mmdebstrap's own hook makes. What its other hook does, upgrading a
        # stand-in for usr-is-merged, the list of packages does as well.
        argv = ["mmdebstrap", f"--architectures={arch}", "--variant=essential", f"--include={names}",
                '--setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh "$1"']
        env = {**os.environ, "SOURCE_DATE_EPOCH": str(manifest["image"]["epoch"]), "TMPDIR": str(self.work / "tmp")}
        (self.work / "tmp").mkdir(mode=0o1777, exist_ok=True)
        (self.work / "tmp").chmod(0o1777)
        own = subprocess.run(["dpkg", "--print-architecture"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        wrapper = []
        if arch == own or (BINFMT / "qemu-aarch64").exists():
            argv.append("--mode=unshare")
        else:
            argv.append("--mode=root")
            wrapper = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--pid", "--net", "--fork",
                       "--kill-child", "--mount-proc", "--", "sh", "-c", REGISTER, "sh"]
        # No suite: mmdebstrap would look for essential packages in the suite of that name only, and this repository has none.
        argv += ["", str(tar), f"deb [trusted=yes] copy:{repository} ./"]
        result = run([*wrapper, *argv], self.log, env=env)
        result["tar_bytes"] = tar.stat().st_size
        self.compare(tar, manifest)
        result["packages"] = len(manifest["packages"])
        return result

    def tar(self, board: str) -> Path:
        return self.work / f"mmdebstrap-{board}.tar"

    def compare(self, tar: Path, manifest: dict[str, Any]) -> None:
        """Fails unless both trees have the same packages in the same versions, all configured."""
        status = subprocess.run(
            ["tar", "--extract", "--to-stdout", "--file", tar, "./var/lib/dpkg/status"],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout
        theirs = set()
        for paragraph in status.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
            if fields.get("Status") == "install ok installed":
                theirs.add((fields["Package"], fields["Architecture"], fields["Version"]))
        ours = {(package["name"], package["arch"], package["version"]) for package in manifest["packages"]}
        if theirs != ours:
            raise Failed(
                f"not the same packages, so nothing to compare: only mmdebstrap has {sorted(theirs - ours)[:5]}, "
                f"only we have {sorted(ours - theirs)[:5]}"
            )

    def image(self, board: str) -> Sample:
        """`mke2fs -d` of the unpacked tree, and a copy of the file system to its place in a disk image."""
        tree, fs, disk = (self.work / name for name in ("unpacked", "root.ext4", "disk.img"))
        tree.mkdir()
        # A user namespace makes no devices, and an image needs none: /dev is the kernel's.
        run([*AS_ROOT, "tar", "--extract", "--preserve-permissions", "--numeric-owner", "--exclude=./dev/*", "--file",
             self.tar(board), "--directory", tree], self.log)
        root = next(part for part in self.ours.manifest(board)["disk"]["partitions"] if part["name"] == "root")
        script = (
            'mke2fs -q -t ext4 -d "$1" "$2" "$4"k && truncate --size="$6" "$3" && '
            'dd if="$2" of="$3" bs=1M seek="$5" oflag=seek_bytes conv=sparse,notrunc status=none'
        )
        size, first = root["sectors"] // 2, root["first_sector"] * 512
        try:
            return run([*AS_ROOT, "sh", "-ec", script, "sh", tree, fs, disk, str(size), str(first),
                        str(self.ours.manifest(board)["image"]["size"])], self.log)
        finally:
            for path in (tree, fs, disk):
                remove(path)
