"""What was measured, as JSON and as a page."""

import argparse
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .measure import Sample
from .others import version

GB, MB = 1e9, 1e6


def results(cases: dict[str, list[Sample]], clic: Path, packages: list[str], begun: float, args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the page is made from."""
    def output(*argv: str | Path) -> str:
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    cpu = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    tools = {name: version(name) for name in ("mmdebstrap", "debos", "vmdb2", "mkosi", "qemu-user-static", "e2fsprogs", "apt", "dpkg")}
    flags = ["--only", ",".join(args.only), "--runs", str(args.runs)]
    if args.foreign_runs:
        flags += ["--foreign-runs", str(args.foreign_runs)]
    flags += ["--foreign-mmdebstrap-runs", str(args.foreign_mmdebstrap_runs)]
    if args.without_mmdebstrap:
        flags.append("--without-mmdebstrap")
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime(begun)),
        "minutes": (time.time() - begun) / 60,
        "command": shlex.join(["scripts/bench", *flags]),
        "machine": {
            "processor": cpu[0] if cpu else platform.machine(),
            "processors": os.cpu_count(),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "kernel": platform.release(),
            "load_at_end": os.getloadavg()[0],
        },
        "tools": {"clic": output(clic, "--version").split()[-1], **{name: value for name, value in tools.items() if value}},
        "asked": len(packages),
        "packages_file": "scripts/bench-packages.txt" if args.packages.name == "bench-packages.txt" else args.packages.name,
        "cases": cases,
    }


class Figures:
    """Medians of the samples that there are; None of those that there are not."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.cases = found["cases"]

    def of(self, case: str, key: str = "seconds") -> float | None:
        values = [sample[key] for sample in self.cases.get(case, []) if key in sample]
        return median(values) if values else None

    def stage(self, case: str, name: str) -> float | None:
        samples = self.cases.get(case, [])
        sums = [sum(seconds for stage, seconds, _ in sample["stages"] if stage == name) for sample in samples]
        return median(sums) if sums else None


def ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def memory(figures: Figures) -> float | None:
    """The peak of any process of ours, in any build of this run."""
    peaks = []
    for case, samples in figures.cases.items():
        if case.endswith("/ours") or case.startswith(("warm/", "watched/")):
            peaks += [sample["maxrss"] for sample in samples]
            peaks += [sample["sampled"]["memory"] for sample in samples if "sampled" in sample]
    return max(peaks, default=None)


def limits(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures that are promised, those of them that were measured: what, value, limit, unit, met."""
    figures = Figures(found)
    own = figures.of("amd64/ours")
    watched = figures.cases.get("watched/amd64", [{}])[0]
    rows = [
        ("amd64 root tree, cold, against mmdebstrap", ratio(figures.of("amd64/ours", "tree"), figures.of("amd64/mmdebstrap")), 0.5, ""),
        ("arm64 root tree on x86, cold, against mmdebstrap", ratio(figures.of("arm64/ours", "tree"), figures.of("arm64/mmdebstrap")), 0.10, ""),
        ("arm64 root tree against our own for amd64", ratio(figures.of("arm64/ours", "tree"), figures.of("amd64/ours", "tree")), 2, ""),
        ("rebuild, nothing changed", figures.of("warm/nothing"), 1.5, "s"),
        ("one overlay file changed, to the finished image, against cold", ratio(figures.of("warm/unread"), own), 0.15, ""),
        ("the same, a file that the initramfs is made from", ratio(figures.of("warm/read"), own), None, ""),
        ("second board of the same architecture, against the first", ratio(figures.of("warm/second-board"), own), 0.35, ""),
        ("writing the image, against `mke2fs -d` and a copy", ratio(figures.stage("amd64/ours", "image"), figures.of("image/mke2fs")), None, ""),
        ("peak memory of any process", ratio(memory(figures), GB), 1.5, "GB"),
        ("store, scratch space and image on disk, against the image's used bytes",
         ratio(watched.get("disk"), watched.get("mapped")), 4, ""),
    ]
    return [
        {"what": what, "value": value, "limit": limit, "unit": unit, "met": limit is None or value <= limit}
        for what, value, limit, unit in rows
        if value is not None
    ]


def table(head: list[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def page(found: dict[str, Any]) -> str:
    figures, parts = Figures(found), []
    machine = found["machine"]
    parts.append(
        "# Benchmarks\n\n"
        "Written by `scripts/bench --write docs/benchmarks.md`, not by hand. The script builds the same packages in the same\n"
        "versions with CLIC! and with mmdebstrap, in turns, on one machine, and compares both trees. Everything is downloaded\n"
        "beforehand. Seconds are wall time, medians of all runs; ratios are of these medians.\n"
    )
    parts.append(
        "## Machine\n\n"
        + table(["what", "which"], [
            ["date", f"{found['date']} ({found['minutes']:.0f} minutes)"],
            ["processor", f"{machine['processor']}, {machine['processors']} threads"],
            ["memory", f"{machine['memory'] / GB:.0f} GB"],
            ["kernel", f"Linux {machine['kernel']}"],
            ["load at the end", f"{machine['load_at_end']:.1f}"],
            ["packages", f"{found['asked']} names ({found['packages_file']}), what they need, kernel and boot loader"],
            *[[name, text] for name, text in found["tools"].items()],
        ])
    )
    promised = limits(found)
    if promised:
        parts.append("## Limits\n\n" + table(["figure", "measured", "at most", ""], [
            [row["what"], f"{row['value']:.2f} {row['unit']}".strip(), "" if row["limit"] is None else f"{row['limit']:g} {row['unit']}".strip(),
             "" if row["limit"] is None else "met" if row["met"] else "**missed**"]
            for row in promised
        ]))
    parts.append(trees(figures))
    parts.append(warm(figures))
    parts.append(stages(figures))
    parts.append(costs(figures))
    parts.append(builders(found["cases"].get("others", [])))
    parts.append(
        "## Run it again\n\n"
        "On Debian bookworm, as an ordinary user, with no other programs running:\n\n"
        f"    scripts/bench --setup\n    {found['command']} --write docs/benchmarks.md --json bench.json\n\n"
        "The time for a root tree starts after the download and ends before the image is written. mmdebstrap's time is its whole\n"
        "run, from a repository on the local disk to an uncompressed tar on the same disk (`--variant=essential` and every\n"
        "package by name). Its arm64 programs are emulated by qemu-user-static, registered with the kernel.\n"
    )
    return "\n".join(part for part in parts if part)


def trees(figures: Figures) -> str:
    rows = []
    for arch in ("amd64", "arm64"):
        for who in ("ours", "mmdebstrap"):
            samples = figures.cases.get(f"{arch}/{who}", [])
            if not samples:
                continue
            key = "tree" if who == "ours" else "seconds"
            rows.append([
                arch, "clic" if who == "ours" else who, seconds(figures.of(f"{arch}/{who}", key)),
                seconds(figures.of(f"{arch}/ours")) if who == "ours" else "a tree only",
                seconds(figures.of(f"{arch}/{who}", "cpu")),
                ", ".join(f"{sample[key]:.1f}" for sample in samples),
                str(samples[0].get("packages", "")),
            ])
    if not rows:
        return ""
    return "## Cold: nothing but downloads in the store\n\n" + table(
        ["architecture", "builder", "root tree", "to the finished image", "processor time", "each run (s)", "packages"], rows)


def warm(figures: Figures) -> str:
    names = {
        "warm/nothing": "nothing changed", "warm/unread": "one overlay file changed, which nothing reads",
        "warm/read": "one overlay file changed, which the initramfs is made from",
        "warm/second-board": "second board of the same architecture",
    }
    rows = [
        [text, seconds(figures.of(case)), f"{ratio(figures.of(case), figures.of('amd64/ours')):.3f}",
         ", ".join(f"{sample['seconds']:.1f}" for sample in figures.cases[case])]
        for case, text in names.items()
        if case in figures.cases
    ]
    if not rows:
        return ""
    return "## Warm: after a cold build for x86-pc\n\n" + table(
        ["what changed", "to the finished image", "against cold", "each run (s)"], rows)


def stages(figures: Figures) -> str:
    cases = {
        "amd64/ours": "amd64, cold", "arm64/ours": "arm64, cold", "warm/nothing": "nothing changed",
        "warm/unread": "unread file", "warm/read": "read file", "warm/second-board": "second board",
    }
    cases = {case: text for case, text in cases.items() if case in figures.cases}
    names = []
    for case in cases:
        for stage, _, _ in figures.cases[case][0]["stages"]:
            if stage not in names:
                names.append(stage)
    rows = [[name, *(seconds(figures.stage(case, name)) for case in cases)] for name in names]
    if not rows:
        return ""
    text = "## Our stages\n\n" + table(["stage", *cases.values()], rows)
    if "image/mke2fs" in figures.cases:
        text += (f"\n`mke2fs -d` of the same packages' tree (mmdebstrap's) and a copy into a disk image: "
                 f"{seconds(figures.of('image/mke2fs'))}; our stage `image` does the same.\n")
    for case in ("amd64/ours", "arm64/ours"):
        longest = figures.cases.get(case, [{}])[0].get("longest", [])[:10]
        if longest:
            named = ", ".join(f"{what} {took:.1f} s" for _, what, took in longest)
            text += f"\nWhat took longest ({cases[case]}, first run): {named}.\n"
    starts = [sample["starts"] for sample in figures.cases.get("arm64/ours", []) if sample.get("starts")]
    if starts:
        text += f"\narm64 programs started: {starts[0]['native']} by native twins, {starts[0]['emulated']} emulated.\n"
    return text


def costs(figures: Figures) -> str:
    samples = figures.cases.get("watched/amd64")
    if not samples:
        return ""
    sample = samples[0]
    sampled = sample["sampled"]
    rows = [
        ["peak memory of any process, all builds of this run", f"{(memory(figures) or 0) / MB:.0f} MB"],
        ["largest process of the watched build", f"{sampled['memory'] / MB:.0f} MB (`{sampled['process']}`)"],
        ["used bytes of the image", f"{sample['mapped'] / MB:.0f} MB"],
        ["peak on disk: store, scratch space, image", f"{sample['disk'] / MB:.0f} MB"],
        *[[f"afterwards: store, {name}", f"{size / MB:.0f} MB"] for name, size in sample["store"].items() if size >= MB],
    ]
    return "## Memory and disk (x86-pc, cold)\n\n" + table(["what", "how much"], rows)


def builders(rows: list[Sample]) -> str:
    if not rows:
        return ""
    shown = [
        [row["name"], row["version"] or "", row["how"], f"no: {row['why']}".replace("|", "\\|") if "why" in row else f"{row['seconds']:.1f} s"]
        for row in rows
    ]
    return (
        "## Other builders\n\n"
        "Other builders as Debian packages them, run without root rights to build one package (openssh-server), downloads\n"
        "included: do they run at all?\n\n" + table(["builder", "version", "started", "runs"], shown)
    )
