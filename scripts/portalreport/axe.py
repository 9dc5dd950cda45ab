"""axe-core, which finds what keeps people from using a page. It is fetched from npm's registry, wherever this machine's npm
has it from, and is exactly the one that is named here."""

import base64
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from .common import Failed, say
from .devtools import Tab

VERSION = "4.14.1"
# As npm states it (`npm view axe-core@VERSION dist.integrity`).
INTEGRITY = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def cached() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "clic" / f"axe-core-{VERSION}.tgz"


def is_it(data: bytes) -> bool:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode() == INTEGRITY


def source() -> str:
    """The text of axe.min.js."""
    archive = cached()
    if not archive.is_file() or not is_it(archive.read_bytes()):
        fetch(archive)
    with tarfile.open(archive) as package:
        script = package.extractfile("package/axe.min.js")
        if script is None:
            raise Failed(f"{archive} has no axe.min.js: remove it, and it is fetched again")
        return script.read().decode()


def fetch(archive: Path) -> None:
    say(f"fetching axe-core {VERSION}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as directory:
        argv = ["npm", "pack", "--silent", f"axe-core@{VERSION}"]
        done = subprocess.run(argv, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        packed = list(Path(directory).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            raise Failed(f"npm could not fetch axe-core {VERSION}:\n{done.stdout.strip()}")
        if not is_it(packed[0].read_bytes()):
            raise Failed(f"what npm fetched as axe-core {VERSION} is not what it should be ({INTEGRITY})")
        packed[0].replace(archive)


def run(tab: Tab, script: str) -> dict[str, Any]:
    """What axe finds in the page: `violations`, and `unsure` for what it leaves to people."""
    tab.evaluate(script + ";0")
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations", "incomplete"]}
    found = tab.evaluate(f"axe.run(document, {json.dumps(options)})", wait=True)
    return {"violations": brief(found["violations"]), "unsure": brief(found["incomplete"])}


def brief(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "rule": finding["id"],
            "impact": finding["impact"],
            "help": finding["help"],
            "tags": [tag for tag in finding["tags"] if tag.startswith(("wcag", "best"))],
            "places": [
                {
                    "element": " ".join(map(str, node["target"])),
                    "html": node["html"][:200],
                    "why": (node.get("failureSummary") or "")[:400],
                }
                for node in finding["nodes"]
            ],
        }
        for finding in findings
    ]
