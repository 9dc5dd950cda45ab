"""Running a program and seeing what it costs: time, processor, memory, disk."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Root of a user namespace with all ids of this user: it may read, make and remove files of any owner in a tree.
AS_ROOT = ["unshare", "--user", "--map-root-user", "--map-auto", "--"]


# What a run cost and gave, by name; sizes in bytes, times in seconds.
Sample = dict[str, Any]


class Failed(Exception):
    """The benchmark cannot go on; the text says what failed and what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def high_water(root: int) -> tuple[int, str]:
    """The highest VmHWM (bytes) among a process and its descendants now, and that process's name."""
    children: dict[int, list[int]] = {}
    peaks: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fields = {}
        try:
            with open(f"/proc/{entry}/status", encoding="utf-8", errors="replace") as status:
                for line in status:
                    key, _, value = line.partition(":")
                    if key in ("Name", "PPid", "VmHWM"):
                        fields[key] = value.strip()
        except OSError:
            continue  # it ended meanwhile
        children.setdefault(int(fields.get("PPid", 0)), []).append(int(entry))
        peaks[int(entry)] = (int(fields.get("VmHWM", "0 kB").split()[0]) * 1024, fields.get("Name", "?"))
    found: tuple[int, str] = (0, "")
    todo = [root]
    while todo:
        pid = todo.pop()
        found = max(found, peaks.get(pid, (0, "")))
        todo += children.get(pid, [])
    return found


def disk_use(*paths: Path) -> int:
    """Bytes that directories take on disk, whoever owns what is in them; a file with two names counts once."""
    there = [str(path) for path in paths if os.path.lexists(path)]
    if not there:
        return 0
    # Files come and go while a build runs: du's complaints about these are no news.
    output = subprocess.run(
        [*AS_ROOT, "du", "--summarize", "--total", "--block-size=1", *there],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
        start_new_session=True,
    ).stdout
    return int(output.splitlines()[-1].split()[0])


def remove(path: Path) -> None:
    """Removes a tree, whoever owns what is in it."""
    subprocess.run([*AS_ROOT, "rm", "--recursive", "--force", str(path)], check=True, start_new_session=True)


class Sampler(threading.Thread):
    """Looks at a running program now and then; it costs the program time, so it never runs beside a timing."""

    def __init__(self, pid: int, dirs: Sequence[Path]) -> None:
        super().__init__(daemon=True)
        self.pid, self.dirs, self.over = pid, dirs, threading.Event()
        self.memory, self.process, self.disk = 0, "", 0

    def run(self) -> None:
        ticks = 0
        while not self.over.wait(0.1):
            self.memory, self.process = max((self.memory, self.process), high_water(self.pid))
            if ticks % 10 == 0:
                self.disk = max(self.disk, disk_use(*self.dirs))
            ticks += 1


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a program as Ctrl-C would, and by force if it does not listen."""
    for number, patience in ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                if os.waitpid(process.pid, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                return
            time.sleep(0.05)


def run(argv: Sequence[str | Path], log: Path, *, env: dict[str, str] | None = None, cwd: Path | None = None,
        heard: Callable[[float, str], bool | None] | None = None, sample: Sequence[Path] | None = None,
        may_fail: bool = False) -> Sample:
    """Runs a program to its end. What it says goes to the file `log`; `heard(seconds, line)` is told of each line on
    its standard output, and ends the program by returning True. `sample`: directories to watch, along with the
    memory. Gives a dict: seconds, cpu (user + system, all descendants), maxrss (bytes of the largest descendant)."""
    with open(log, "ab") as out:
        # What the one before left to be written would be written at the cost of this one.
        os.sync()
        begun = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in argv], env=env, cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if heard else out, stderr=out, start_new_session=True,
        )
        sampler = Sampler(process.pid, sample) if sample is not None else None
        stopped = False
        try:
            if sampler:
                sampler.start()
            if heard and process.stdout:
                for line in process.stdout:
                    out.write(line)
                    if heard(time.monotonic() - begun, line.decode(errors="replace")):
                        stopped = True
                        break
                if stopped:
                    stop(process)
                    return {}
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            stop(process)
            raise
        finally:
            if sampler:
                sampler.over.set()
                sampler.join()
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 and not may_fail:
        raise Failed(f"{' '.join(map(str, argv[:12]))} ... ended with {process.returncode}:\n{tail(log)}")
    result: Sample = {
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "maxrss": used.ru_maxrss * 1024,
    }
    if may_fail:
        result["code"] = process.returncode
    if sampler:
        result["sampled"] = {"memory": sampler.memory, "process": sampler.process, "disk": sampler.disk}
    return result
