"""Other public builders from Debian's packages, each tried for real as the ordinary user that runs this."""

import ast
import itertools
import re
import subprocess
import textwrap
from pathlib import Path

from .measure import AS_ROOT, Sample, remove, run, say, tail

NAMESPACE = [*AS_ROOT[:-1], "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
PACKAGES = ["mmdebstrap", "debos", "vmdb2", "mkosi"]


def version(package: str) -> str | None:
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Version}", package]
    words = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.split()
    return words[1] if words[:1] == ["ii"] else None


def attempts(work: Path, mirror: str, packages: list[str]) -> list[tuple[str, str, list[str]]]:
    """Name, what is special about the way it is started, and the command: an image or tree of the packages."""
    names = "\n".join(f"      - {name}" for name in packages)
    (work / "vmdb2.yaml").write_text(
        textwrap.dedent(
            """\
            steps:
              - mkimg: "{{ output }}"
                size: 4G
              - mklabel: gpt
                device: "{{ output }}"
              - mkpart: primary
                device: "{{ output }}"
                start: 0%
                end: 100%
                tag: /
              - kpartx: "{{ output }}"
              - mkfs: ext4
                partition: /
              - mount: /
            """
        )
        + f"  - debootstrap: bookworm\n    mirror: {mirror}\n    target: /\n"
        + f"  - apt: install\n    packages:\n{names}\n    tag: /\n"
    )
    (work / "debos.yaml").write_text(
        "architecture: amd64\nactions:\n  - action: debootstrap\n    suite: bookworm\n"
        f"    mirror: {mirror}\n    variant: minbase\n    components: [main]\n"
        f"  - action: apt\n    packages:\n{names}\n  - action: pack\n    file: debos.tar\n    compression: none\n"
    )
    mkosi = ["mkosi", "--distribution=debian", "--release=bookworm", f"--mirror={mirror}", "--format=tar",
             "--without-tests", "--force", "--output=mkosi.tar",
             *(f"--package={name}" for name in packages), "build"]
    debos = ["debos", f"--artifactdir={work}", "--scratchsize=8G", "debos.yaml"]
    return [
        ("vmdb2", "as the user", ["vmdb2", "--verbose", "--output", "vmdb2.img", "vmdb2.yaml"]),
        ("vmdb2", "root of a user namespace", [*NAMESPACE, "vmdb2", "--verbose", "--output", "vmdb2.img", "vmdb2.yaml"]),
        ("debos", "as the user", debos),
        ("debos", "root of a user namespace", [*NAMESPACE, debos[0], "--disable-fakemachine", *debos[1:]]),
        ("mkosi", "as the user", mkosi),
        ("mkosi", "root of a user namespace", [*NAMESPACE, *mkosi]),
    ]


def complaint(log: Path, mirror: str) -> str:
    """The line of a log that says why, without paths and addresses of this machine."""
    lines = [line.strip() for line in tail(log, 200).splitlines() if line.strip()]
    # vmdb2 says what it started, and of what went wrong only that it did.
    before = itertools.takewhile(lambda line: "ERROR" not in line, lines)
    ran = [line.removeprefix("Exec: ") for line in before if line.startswith("Exec: ")]
    if ran:
        return f"{' '.join(ast.literal_eval(ran[-1]))} failed, which makes loop devices"
    # The system's own words say more than those of the programs above it.
    for signs in (("not permitted", "as root", "denied", "Cannot install"), ("error", "fail", "cannot", "unable")):
        bad = [line for line in lines if any(sign.lower() in line.lower() for sign in signs)]
        if bad:
            break
    line = (bad or lines or ["it said nothing"])[-1][:200]
    line = re.sub(r"^[0-9/]+ [0-9:]+ ", "", line)
    return re.sub(r"/[^\s']*/", ".../", line.replace(mirror, "..."))


def run_all(work: Path, mirror: str) -> list[Sample]:
    """A row for each way to start each builder, with a small set of packages: it shows what runs at all. One that does
    is worth a comparison of its own."""
    rows = []
    for number in range(len(attempts(work, mirror, ["openssh-server"]))):
        where = work / "others"
        where.mkdir()
        name, how, argv = attempts(where, mirror, ["openssh-server"])[number]
        row: Sample = {"name": name, "how": how, "version": version(name)}
        rows.append(row)
        if row["version"] is None:
            row["why"] = f"not installed (apt install {name})"
        else:
            say(f"  {name}, {how}")
            result = run(argv, where / "log", cwd=where, may_fail=True)
            row.update(result)
            if result["code"] != 0:
                row["why"] = complaint(where / "log", mirror)
        remove(where)
    return rows
