"""Our own builds: a tree of recipes for the benchmark, and the cases that are measured in it."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from .measure import Failed, Sample, disk_use, remove, run, say

FIRST, SECOND, FOREIGN = "x86-pc", "second-pc", "raspberry-pi"
# What a store has that was fetched, not made.
FETCHED = ("downloads", "apt")
# Nothing reads the one while a tree is made; the initramfs is made from the other.
UNREAD = "overlays/base/files/etc/ssh/sshd_config.d/10-clic.conf"
READ = "overlays/base/files/etc/initramfs-tools/conf.d/clic"


class Ours:
    def __init__(self, clic: Path, tree: Path, work: Path, packages: list[str], seed: Path | None = None) -> None:
        self.clic, self.work = clic, work
        self.tree, self.store, self.out = work / "tree", work / "store", work / "out"
        self.log = work / "ours.log"
        self.env = {**os.environ, "CLIC_CACHE": str(self.store), "NO_COLOR": "1"}
        self.originals: dict[str, str] = {}
        self.locked: set[str] = set()
        self.make_tree(tree, packages)
        if seed:
            self.store.mkdir(mode=0o700)
            for name in FETCHED:
                run(["cp", "--recursive", "--link", seed / name, self.store / name], self.log)

    def make_tree(self, tree: Path, packages: list[str]) -> None:
        for part in ("boards", "overlays"):
            shutil.copytree(tree / part, self.tree / part, symlinks=True)
        (self.tree / "recipes").mkdir()
        words = ", ".join(json.dumps(name) for name in packages)
        # Two that write /etc/resolv.conf conflict.
        overlays = ["base"] if "resolvconf" in packages else ["base", "resolved"]
        (self.tree / "recipes/bench.toml").write_text(
            'schema = 1\ntitle = "Benchmark"\nsuite = "bookworm"\n'
            f"overlays = {json.dumps(overlays)}\nboards = {json.dumps([FIRST, SECOND, FOREIGN])}\npackages = [{words}]\n"
        )
        # Another kernel, and less firmware: another board of the same architecture.
        board = (tree / f"boards/{FIRST}.toml").read_text()
        second = board.replace('"linux-image-amd64"', '"linux-image-cloud-amd64"')
        second = re.sub(r'^\s*"firmware-realtek",\n', "", second, flags=re.MULTILINE)
        if second.count("\n") != board.count("\n") - 1 or "linux-image-cloud-amd64" not in second:
            raise Failed(f"boards/{FIRST}.toml is not as this script knows it: adapt make_tree in scripts/benchmark/ours.py")
        (self.tree / f"boards/{SECOND}.toml").write_text(second)

    def prepare(self, board: str) -> None:
        """Locks the board's packages and downloads them."""
        if board in self.locked:
            return
        say(f"  {board}: resolving and downloading")
        run([self.clic, "--root", self.tree, "lock", "bench", "--board", board], self.log, env=self.env)
        fetching = True

        def heard(_: float, line: str) -> bool:
            nonlocal fetching
            event = json.loads(line)
            if event.get("event") == "end" and event.get("stage") == "download":
                fetching = False
            # The next stage is the first that makes something.
            return not fetching and bool(event.get("event") == "start")

        run([self.clic, "--root", self.tree, "--json", "build", "bench", "--board", board, "--locked", "--out", self.out],
            self.log, env=self.env, heard=heard)
        self.locked.add(board)

    def forget(self) -> None:
        """Takes all from the store that was made, and leaves what was fetched. The images go too."""
        remove(self.out)
        for entry in os.listdir(self.store):
            if entry not in FETCHED:
                remove(self.store / entry)

    def touch(self, path: str, number: int) -> None:
        """Changes an overlay's file, in another way with each number."""
        file = self.tree / path
        self.originals.setdefault(path, file.read_text())
        file.write_text(f"{self.originals[path]}\n# change {number}\n")

    def restore(self) -> None:
        for path, text in self.originals.items():
            (self.tree / path).write_text(text)

    def build(self, board: str, *, sample: bool = False) -> Sample:
        """One build: its cost, its stages, and the seconds of its root tree (from after the download to before
        the image)."""
        at: dict[tuple[str, str], float] = {}
        busy: dict[tuple[str, str], float] = {}
        now: dict[str, tuple[str, float]] = {}

        def heard(seconds: float, line: str) -> None:
            event = json.loads(line)
            kind, stage = event.get("event"), event.get("stage")
            if kind in ("start", "end"):
                at[kind, stage] = seconds
            # What a stage is busy with, until it says something else.
            if kind in ("message", "end") and stage in now:
                text, since = now.pop(stage)
                busy[stage, text] = busy.get((stage, text), 0) + seconds - since
            if kind == "message":
                now[stage] = (event["text"], seconds)

        argv: list[str | Path] = [self.clic, "--root", self.tree, "--json", "build", "bench", "--board", board]
        argv += ["--locked", "--offline", "--out", self.out]
        dirs = [self.store, self.out] if sample else None
        result = run(argv, self.log, env=self.env, heard=heard, sample=dirs)
        manifest = self.manifest(board)
        result["stages"] = [[stage["stage"], stage["seconds"], stage["why"]] for stage in manifest["build"]["stages"]]
        if ("start", "image") in at and ("end", "download") in at:
            result["tree"] = at["start", "image"] - at["end", "download"]
        longest = sorted(busy.items(), key=lambda item: -item[1])[:15]
        result["longest"] = [[stage, text, took] for (stage, text), took in longest if stage != "download"]
        result["starts"] = manifest["build"].get("starts")
        return result

    def cold(self, board: str, **options: Any) -> Sample:
        self.forget()
        result = self.build(board, **options)
        if board == FOREIGN:
            # The native side can vanish without a word; figures of a build without it are none of ours.
            starts = result["starts"]
            if os.uname().machine == "x86_64" and (not starts or starts["native"] <= starts["emulated"]):
                raise Failed(f"programs of the {board} tree were not run natively ({starts}): these figures mean nothing")
        return result

    def watched(self, board: str) -> Sample:
        """One more cold build, watched while it runs, which costs time: its memory, and its peak on disk."""
        result = self.cold(board, sample=True)
        manifest = self.manifest(board)
        result["mapped"] = manifest["image"]["mapped"]
        result["store"] = {entry: disk_use(self.store / entry) for entry in sorted(os.listdir(self.store))}
        # The other boards' packages are in the store as well.
        mine = disk_use(*(self.deb(package) for package in manifest["packages"]))
        result["others"] = max(0, result["store"]["downloads"] - mine)
        result["store"]["downloads"] -= result["others"]
        result["disk"] = result["sampled"]["disk"] - result["others"]
        return result

    def manifest(self, board: str) -> Any:
        return json.loads((self.out / f"bench-{board}.manifest.json").read_text())

    def log_of(self, board: str) -> str:
        return (self.store / "logs" / f"bench-{board}.log").read_text(errors="replace")

    def deb(self, package: dict[str, Any]) -> Path:
        sha256: str = package["sha256"]
        return self.store / "downloads/sha256" / sha256[:2] / sha256
